"""Polling and writing, through the simulator; limits; one bad node never disturbs the rest."""

import asyncio
from dataclasses import replace

import pytest
from asyncua import ua

from adapters.opcua import services
from adapters.opcua.session import RETEST_POLLS
from adapters.opcua.status import Refused
from gateway.sdk import LinkLost, ProtocolFault, Quality, TagFault, Timeout, Write


def tags_of(kit, count, kind="float64"):
    return [kit.tag(f"t{at}", kind, f"ns=2;s=t{at}") for at in range(count)]


def test_a_poll_and_its_limits(run, kit, made, sim):
    async def work():
        async with sim:
            tags = tags_of(kit, 30)
            for at, tag in enumerate(tags):
                sim.device(kit.device()).set(tag, at / 2)
            opcua = made(sim, delivery="poll", max_nodes=7)
            async with opcua.open() as session:
                plan = opcua.plan(kit.device(), tags)
                before = sim.counters.requests
                assert await kit.poll(session, plan) == {f"t{at}": at / 2 for at in range(30)}
                assert sim.counters.requests - before == 5
                assert (sim.counters.sessions_most, sim.counters.in_flight_most) == (1, 1)

    run(work)


def test_bad_nodes_and_good_ones_in_one_poll(run, kit, made, sim):
    async def work():
        async with sim:
            device = sim.device(kit.device())
            tags = [
                *tags_of(kit, 4),
                kit.tag("nowhere", address="nsu=urn:none;s=x"),
                kit.tag("path", address="/Objects/2:None"),
            ]
            for tag in tags[:3]:
                device.set(tag, 1.5)
            device.set(tags[1], 1.5, status=0x808C0000)
            opcua = made(sim, delivery="poll")
            async with opcua.open() as session:
                plan = opcua.plan(kit.device(), tags)
                expected = {
                    "t0": 1.5, "t1": Quality.SENSOR_FAILURE, "t2": 1.5, "t3": Quality.ADDRESS_REFUSED,
                    "nowhere": Quality.ADDRESS_REFUSED, "path": Quality.ADDRESS_REFUSED,
                }  # fmt: skip
                assert await kit.poll(session, plan) == expected
                device.set(tags[5], 2.5)
                device.refuse(tags[0])
                for _ in range(RETEST_POLLS):
                    found = await kit.poll(session, plan)
                assert found["path"] == 2.5
                assert found["t0"] is Quality.ADDRESS_REFUSED

    run(work)


def test_a_server_that_bears_less_than_it_says(run, kit, made, sim, monkeypatch):
    async def work():
        async with sim:
            tags = tags_of(kit, 20)
            for tag in tags:
                sim.device(kit.device()).set(tag, 1.0)
            aspace = sim.server.iserver.attribute_service
            plain = aspace.read
            sizes = []

            def picky(params):
                sizes.append(len(params.NodesToRead))
                if len(params.NodesToRead) > 8:
                    raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
                return plain(params)

            monkeypatch.setattr(aspace, "read", picky)
            opcua = made(sim, delivery="poll")
            async with opcua.open() as session:
                plan = opcua.plan(kit.device(), tags)
                assert set((await kit.poll(session, plan)).values()) == {1.0}
                assert session.server.bounds.read <= 8
                monkeypatch.setattr(
                    aspace, "read", lambda params: (_ for _ in ()).throw(ua.UaStatusCodeError(0x80100000))
                )
                with pytest.raises(Refused):
                    await kit.poll(session, plan)

    run(work)


def test_writing_and_refusals(run, kit, made, sim):
    async def work():
        async with sim:
            device = sim.device(kit.device())
            tags = [
                kit.tag("a", "int32", "ns=2;s=a"),
                kit.tag("b", "string", "ns=2;s=b"),
                kit.tag("c", address="ns=2;s=c"),
            ]
            device.set(tags[0], 1)
            device.set(tags[1], "x")
            opcua = made(sim, delivery="poll")
            async with opcua.open() as session:
                await session.write(kit.device(), [Write(tags[0], 7), Write(tags[1], "new")])
                plan = opcua.plan(kit.device(), tags)
                assert await kit.poll(session, plan) == {"a": 7, "b": "new", "c": Quality.ADDRESS_REFUSED}
                for write, why in (
                    (Write(tags[0], 2**40), "fit"),
                    (Write(tags[2], 1.0), "BadNodeIdUnknown"),
                    (Write(tags[1], 5), "built-in"),
                ):
                    with pytest.raises(TagFault, match=why):
                        await session.write(kit.device(), [write])
                with pytest.raises(TagFault, match="no such node"):
                    await session.write(kit.device(), [Write(kit.tag("d", address="nsu=urn:none;i=1"), 1.0)])
                sim.silent = True
                before = sim.counters.requests
                with pytest.raises(Timeout):
                    await session.write(kit.device(), [Write(tags[0], 8)])
                sim.silent = False
                await asyncio.sleep(0.1)
                assert sim.counters.requests == before, "what may have been written is not written again"

    run(work)


def test_a_late_answer_is_never_that_of_the_next_question(run, kit, made, sim, monkeypatch):
    async def work():
        async with sim:
            tags = tags_of(kit, 2)
            device = sim.device(kit.device())
            device.set(tags[0], 1.0)
            device.set(tags[1], 2.0)
            opcua = made(sim, delivery="poll", timeout="200ms")
            async with opcua.open() as session:
                first, second = (opcua.plan(kit.device(), [tag]) for tag in tags)
                await kit.poll(session, first)
                service = sim.server.iserver.attribute_service
                plain = sim.server.iserver.isession.read
                late = asyncio.Event()
                line = next(iter(sim.server.bserver.clients))
                whole = line.processor.session.read

                async def slow(params):
                    await late.wait()
                    return await whole(params)

                line.processor.session.read = slow
                with pytest.raises(Timeout):
                    await kit.poll(session, first)
                line.processor.session.read = whole
                late.set()
                assert await kit.poll(session, second) == {"t1": 2.0}
                assert await kit.poll(session, first) == {"t0": 1.0}
                assert (service, plain) != (None, None)

    run(work)


def test_answers_of_another_kind(run, kit, made, sim):
    async def work():
        async with sim, made(sim).open() as session:
            body = services.read_body([services.value_id(b"\0\x55")])
            data = await session.channel.send(services.READ, body, 1.0)
            with pytest.raises(ProtocolFault, match="another kind"):
                session.channel.status_of(services.WRITE, data)

    run(work)


def test_a_closed_session_says_so(run, kit, made, sim):
    async def work():
        async with sim:
            opcua = made(sim, delivery="poll")
            async with opcua.open() as session:
                plan = opcua.plan(kit.device(), tags_of(kit, 1))
            for _ in range(2):
                with pytest.raises(LinkLost):
                    await kit.poll(session, plan)
            assert replace(session.server.bounds, read=1).read == 1

    run(work)
