"""Adapter and simulator against each other, over a real socket: values, sequence, interruptions, refusals."""

import asyncio

import pytest

from adapters.mtconnect.simulator import Simulator
from adapters.mtconnect.tests.conftest import until
from gateway.sdk import AuthFault, Busy, Fault, LinkLost, OutOfStep, ProtocolFault

MOMENT = 1_711_846_800_123_456_789


def test_what_is_and_what_changes(run, kit):
    async def work():
        async with Simulator() as plant:
            machine = plant.device()
            machine.time = MOMENT
            machine.observe("x", "1.5", "SAMPLE")
            machine.observe("exec", "READY")
            machine.observe("sys", "Normal", "CONDITION")
            machine.observe("far", "UNAVAILABLE", "SAMPLE")
            feed = kit.feed(
                kit.tag("x"), kit.tag("exec", "string"), kit.tag("sys", "uint8"), kit.tag("far"), kit.tag("no")
            )
            other = kit.feed(kit.tag("exec_name", "string"), device="uuid-machine")
            async with kit.subscribed(kit.adapter(plant), feed, other):
                await until(lambda: feed.signs)
                expected = {"x": 1.5, "exec": "READY", "sys": 0, "far": "not_available", "no": "address_refused"}
                assert feed.last == expected
                assert other.last == {"exec_name": "READY"}
                assert {time for _, time, _ in feed.samples} == {0, MOMENT}, "0: refused, which has no time"
                machine.observe("sys", "Warning", native="W1")
                machine.observe("sys", "Fault", native="E1")
                machine.observe("x", "2.5")
                machine.observe("x", "warm")
                machine.observe("x", "3.5")
                await until(lambda: feed.last["x"] == 3.5)
                assert feed.of("x", False) == [1.5, 2.5, "undecodable", 3.5]
                assert feed.of("sys", False) == [0, 1, 2]
                machine.observe("sys", "Normal", native="E1")
                await until(lambda: feed.last["sys"] == 1)
                machine.observe("sys", "Normal")
                machine.observe("exec", "ACTIVE")
                await until(lambda: feed.last["sys"] == 0 and other.last == {"exec_name": "ACTIVE"})
                signs = feed.signs
                await until(lambda: feed.signs > signs + 2)
                assert not feed.of("x", True)
                assert plant.counters.sessions_most == 1

    run(work)


def test_more_than_fits_one_part(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().observe("n", "0")
            feed = kit.feed(kit.tag("n", "int32"))
            async with kit.subscribed(kit.adapter(plant, count=3), feed):
                await until(lambda: feed.signs)
                for number in range(1, 20):
                    plant.device().observe("n", str(number))
                await until(lambda: feed.last["n"] == 19)
                assert feed.of("n", False) == list(range(20))

    run(work)


@pytest.mark.parametrize("unchunked", [False, True])
def test_what_was_missed_is_told_again(run, kit, unchunked):
    async def work():
        async with Simulator(path="/agent/one") as plant:
            plant.unchunked = unchunked
            plant.device().observe("n", "0")
            feed = kit.feed(kit.tag("n", "int32"))
            made = kit.adapter(plant, path="/agent/one", count=3)
            async with kit.subscribed(made, feed) as task:
                await until(lambda: feed.signs > 1)  # the stream has begun, on a connection of its own
                assert feed.settled == [True]
                plant.hang_up()
                with pytest.raises(LinkLost):
                    await task.future
            for number in range(1, 10):
                plant.device().observe("n", str(number))
            async with kit.subscribed(made, feed):
                await until(lambda: feed.last == {"n": 9} and feed.of("n", False)[-1] == 9)
                assert feed.of("n", True) == list(range(1, 10))
                assert feed.settled == [True, False]
                plant.device().observe("n", "10")
                await until(lambda: feed.last == {"n": 10})
                assert feed.of("n", False) == [0, 9, 10]

    run(work)


@pytest.mark.parametrize("restart", [False, True])
def test_what_the_agent_has_no_more_is_a_gap(run, kit, restart):
    async def work():
        async with Simulator(buffer=5) as plant:
            plant.device().observe("n", "0")
            feed = kit.feed(kit.tag("n", "int32"))
            made = kit.adapter(plant)
            async with kit.subscribed(made, feed):
                await until(lambda: feed.signs)
            for number in range(1, 4 if restart else 12):
                plant.device().observe("n", str(number))
            if restart:
                plant.agent.restart()
            async with kit.subscribed(made, feed):
                await until(lambda: feed.last["n"] in (3, 11))
                assert feed.of("n", True) == []
                assert feed.settled == [True, True]

    run(work)


def test_overtaken_or_started_anew_in_the_stream(run, kit):
    async def work(change, words):
        async with Simulator(buffer=5) as plant:
            plant.device().observe("n", "0")
            feed = kit.feed(kit.tag("n", "int32"))
            async with kit.subscribed(kit.adapter(plant), feed) as task:
                await until(lambda: feed.signs > 1)
                change(plant)
                with pytest.raises(LinkLost, match=words):
                    await task.future
                assert feed.last == {"n": 0}

    def overrun(plant):
        for number in range(30):
            plant.device().observe("n", str(number + 100))

    def anew(plant):
        plant.agent.instance += 1

    run(lambda: work(overrun, "cannot go on.*INTERNAL_ERROR"))
    run(lambda: work(anew, "anew"))


def test_a_stream_that_begins_with_an_error_or_later(run, kit):
    async def work():
        async with Simulator() as plant, kit.adapter(plant).open() as session:
            session._position.instance, session._position.next = 1, 5
            with pytest.raises(Busy):
                session._take(ERROR)
            with pytest.raises(LinkLost, match="overwritten"):
                session._take(STREAMS % (9, 12))

    run(work)


def test_a_buffer_smaller_than_a_part(run, kit):
    async def work():
        async with Simulator(buffer=5) as plant:
            plant.device().observe("n", "0")
            feed = kit.feed(kit.tag("n", "int32"))
            with pytest.raises(ProtocolFault, match="OUT_OF_RANGE"):
                async with kit.adapter(plant).open() as session:
                    await session.get("/sample", {"from": 1, "count": 6})
            async with kit.subscribed(kit.adapter(plant, count=500), feed):
                await until(lambda: feed.signs > 1)
                plant.device().observe("n", "1")
                await until(lambda: feed.last == {"n": 1})

    run(work)


def test_a_device_that_the_agent_does_not_have(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().observe("n", "1")
            feed, lost = kit.feed(kit.tag("n", "int32")), kit.feed(kit.tag("n", "int32"), device="press")
            async with kit.subscribed(kit.adapter(plant), feed, lost):
                await until(lambda: feed.signs)
                assert feed.last == {"n": 1}
                assert not lost.samples
                assert "no device press, but machine" in str(lost.faults[0])

    run(work)


def test_an_agent_that_falls_silent(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().observe("n", "1")
            feed = kit.feed(kit.tag("n", "int32"))
            async with kit.subscribed(kit.adapter(plant), feed) as task:
                await until(lambda: feed.signs)
                plant.device().silent = True
                assert plant.device().silent
                with pytest.raises(OutOfStep):
                    await task.future

    run(work)


@pytest.mark.parametrize(
    ("status", "fault"), [(401, AuthFault), (403, AuthFault), (503, Busy), (404, ProtocolFault), (200, ProtocolFault)]
)
def test_statuses(run, kit, status, fault):
    async def work():
        async with Simulator() as plant:
            plant.status = status
            async with kit.subscribed(kit.adapter(plant), kit.feed(kit.tag("n"))) as task:
                with pytest.raises(fault):
                    await task.future

    run(work)


def test_errors_of_the_agent(run, kit):
    async def work():
        async with Simulator() as plant, kit.adapter(plant).open() as session:
            for path, query, words in (
                ("/nothing", None, "INVALID_URI"),
                ("/sample", {"from": 99}, "OUT_OF_RANGE"),
            ):
                with pytest.raises(ProtocolFault, match=words):
                    await session.get(path, query)

    run(work)


async def answering(kit, answers, work):
    """Somebody who gives these answers, one after the other."""
    waiting = list(answers)

    async def talk(reader, writer):
        while waiting:
            await reader.readuntil(b"\r\n\r\n")
            body = waiting.pop(0)
            status, body = body if isinstance(body, tuple) else (200, body)
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        server.port = server.sockets[0].getsockname()[1]
        await work(server)
    await asyncio.sleep(0.05)


DEVICES = b'<MTConnectDevices><Devices><Device name="m"><DataItems><DataItem id="n"/></DataItems></Device></Devices></MTConnectDevices>'
HEADER = b'<Header instanceId="1" firstSequence="%d" nextSequence="%d"/>'
STREAMS = b"<MTConnectStreams>" + HEADER + b"</MTConnectStreams>"
ERROR = b'<MTConnectError><Errors><Error errorCode="TOO_MANY">x</Error></Errors></MTConnectError>'


@pytest.mark.parametrize(
    ("answers", "fault", "words"),
    [
        ([DEVICES, DEVICES], ProtocolFault, "without their numbers"),
        ([DEVICES, STREAMS % (1, 0)], ProtocolFault, "without their numbers"),
        ([DEVICES, STREAMS % (1, 5), ERROR], Busy, "TOO_MANY"),
        ([DEVICES, STREAMS % (1, 5), STREAMS % (1, 5)], LinkLost, "ended the stream"),
        ([(500, DEVICES)], Fault, "status 500"),
    ],
)
def test_other_answers(run, kit, answers, fault, words):
    async def work():
        async def ask(server):
            async with kit.subscribed(kit.adapter(server), kit.feed(kit.tag("n"))) as task:
                with pytest.raises(fault, match=words):
                    await task.future

        await answering(kit, answers, ask)

    run(work)


SOME = b'<Samples><X dataItemId="n" sequence="3" timestamp="2024-03-31T01:00:00Z">7</X></Samples></MTConnectStreams>'
OVERTAKEN = ERROR.replace(b"TOO_MANY", b"OUT_OF_RANGE")


@pytest.mark.parametrize(
    "parts", [[STREAMS % (4, 5)], [OVERTAKEN], [STREAMS.replace(b"</MTConnectStreams>", SOME) % (1, 4), OVERTAKEN]]
)
def test_overtaken_while_it_tells_again(run, kit, parts):
    async def work():
        async def ask(server):
            made = kit.adapter(server)
            made._position.instance, made._position.next = 1, 3
            feed = kit.feed(kit.tag("n"))
            async with kit.subscribed(made, feed):
                await until(lambda: feed.signs)
                assert feed.of("n", True) == ([7] if len(parts) > 1 else [])
                assert feed.settled == [True]
                assert made._position.next == 6

        await answering(kit, [DEVICES, STREAMS % (1, 5), *parts, STREAMS % (4, 6)], ask)

    run(work)


def test_a_tag_that_is_refused_makes_no_gap(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().observe("n", "0")
            made = kit.adapter(plant)
            feed = kit.feed(kit.tag("n"), kit.tag("no"))
            for number in (0, 1):
                plant.device().observe("n", str(number))
                async with kit.subscribed(made, feed):
                    await until(lambda number=number: feed.of("n", False)[-1:] == [number])
            assert feed.of("n", True) == [1]
            assert feed.settled == [True, False]

    run(work)
