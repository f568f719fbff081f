"""Sessions: what is granted is kept, what is refused is narrowed down, writes go out as they should."""

import asyncio

import pytest

from adapters.s7 import adapter
from adapters.s7 import session as session_module
from adapters.s7.simulator import Faults, Simulator
from gateway.sdk import (
    AuthFault,
    Busy,
    Fault,
    LinkLost,
    ProtocolFault,
    Quality,
    Readings,
)

REFUSED = Quality.ADDRESS_REFUSED


@pytest.mark.parametrize("pdu", [112, 240, 480, 960])
@pytest.mark.parametrize("jobs", [1, 3, 8])
def test_what_the_cpu_grants_is_never_exceeded(run, kit, pdu, jobs):
    async def work():
        async with Simulator() as sim:
            sim.cpu.grant_pdu, sim.cpu.grant_jobs = pdu, jobs
            tags = [*kit.words(1400), *kit.words(1300, block=2), kit.tag("DB3.DBB0", "string", length=254)]
            machine = sim.device(kit.device())
            for place, tag in enumerate(tags[:-1]):
                machine.set(tag, place)
            machine.set(tags[-1], "x" * 254)
            made = adapter(kit.connection(sim))
            plan = made.plan(kit.device(max_gap=0), tags)
            async with made.open() as session:
                assert (session.pdu, session.jobs) == (pdu, min(jobs, 4))
                for _ in range(2):
                    found = await kit.poll(session, plan, tags)
                    assert list(found.values()) == [*range(2700), "x" * 254]
            assert sim.counters.pdu_most <= pdu
            assert sim.counters.in_flight_most == min(jobs, 4)
            assert sim.counters.sessions_most == 1

    run(work)


def test_one_bad_value_costs_nobody(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)[:200] = b"\0\5" * 100
            machine = sim.device(kit.device())
            tags = kit.words(100)
            machine.refuse(tags[41])
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert len(plan.requests) == 1
                for turn in range(3):
                    before = sim.counters.reads
                    found = await kit.poll(session, plan, tags)
                    assert found == {tag.name: REFUSED if place == 41 else 5 for place, tag in enumerate(tags)}
                    assert sim.counters.reads - before <= (8 if turn == 0 else 1)

    run(work)


def test_a_block_that_is_shorter_or_missing(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1, 20)
            tags = [*kit.words(12), kit.tag("DB2.DBD0", "float32"), kit.tag("MW0")]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                found = list((await kit.poll(session, plan, tags)).values())
                assert found == [0] * 10 + [REFUSED] * 3 + [0]

    run(work)


def test_a_hole_between_values_costs_nobody(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)[10:12] = b"\0\7"
            sim.cpu.refuse((0x84, 1), 4, 5)
            tags = [kit.tag("DB1.DBD0", "float32"), kit.tag("DB1.DBW10")]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert len(plan.requests) == 1
                for _ in range(2):
                    assert await kit.poll(session, plan, tags) == {"DB1.DBD0": 0.0, "DB1.DBW10": 7}

    run(work)


def test_what_is_refused_is_asked_again_by_and_by(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "RETEST_POLLS", 5)
        async with Simulator() as sim:
            sim.cpu.block(1)[:8] = b"\0\5" * 4
            tags = [*kit.words(4), kit.tag("DB2.DBW0")]
            machine = sim.device(kit.device())
            machine.refuse(tags[2])
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert (await kit.poll(session, plan, tags))["DB1.DBW4"] is REFUSED
                machine.allow()
                sim.cpu.block(2)
                found = [(await kit.poll(session, plan, tags)) for _ in range(6)]
                assert [row["DB1.DBW4"] for row in found] == [REFUSED] * 4 + [5, 5]
                assert [row["DB2.DBW0"] for row in found] == [REFUSED] * 4 + [0, 0]
                before = sim.counters.reads
                await kit.poll(session, plan, tags)
                assert sim.counters.reads - before == 1  # all is merged again
                machine.refuse(tags[0])  # and what was good may go bad
                assert (await kit.poll(session, plan, tags))["DB1.DBW0"] is REFUSED
                assert (await kit.poll(session, plan, tags))["DB1.DBW2"] == 5

    run(work)


def test_searching_is_spread_over_polls(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "NARROW_JOBS", 3)
        async with Simulator() as sim:
            sim.cpu.grant_pdu = 112
            tags = kit.words(120)
            machine = sim.device(kit.device())
            for tag in tags:
                machine.set(tag, 1)
            for tag in tags[::2]:
                machine.refuse(tag)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                good = 0
                for _ in range(40):
                    before = sim.counters.reads
                    found = await kit.poll(session, plan, tags)
                    known = sum(len(jobs) for _, jobs in session._courses[id(plan)].steps)
                    assert sim.counters.reads - before <= known + 3 + 3
                    assert set(found.values()) <= {1, REFUSED}
                    assert good <= list(found.values()).count(1)
                    good = list(found.values()).count(1)
                assert list(found.values()) == [REFUSED, 1] * 60

    run(work)


@pytest.mark.parametrize(
    ("code", "quality"),
    [(0x01, "device_failure"), (0x03, "auth"), (0x06, "function_refused"), (0x0A, "address_refused"),
     (0x77, "device_failure")],
)  # fmt: skip
def test_codes_of_items_become_qualities(run, kit, code, quality):
    async def work():
        async with Simulator() as sim:
            tags = [kit.tag("DB1.DBW0"), kit.tag("MW0")]
            sim.device(kit.device()).set(tags[0], 3)
            sim.device(kit.device()).refuse(tags[0], code)
            async with kit.session(sim) as session:
                found = await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)
            assert (found["DB1.DBW0"].label, found["MW0"]) == (quality, 0)

    run(work)


@pytest.mark.parametrize(
    ("error", "fault", "words"),
    [
        (0x8104, AuthFault, "Permit access with PUT/GET"),
        (0x8304, Busy, "no resources"),
        (0x8500, ProtocolFault, "larger than the PDU"),
        (0x8001, Busy, "present state"),
        (0xD241, AuthFault, "password"),
    ],
)
def test_errors_of_a_whole_telegram_concern_the_cpu(run, kit, error, fault, words):
    async def work():
        async with Simulator() as sim:
            tags = kit.words(3)
            sim.device(kit.device()).set(tags[0], 0)
            made = adapter(kit.connection(sim))
            async with made.open() as session:
                plan = made.plan(kit.device(), tags)
                sim.cpu.faults = Faults(error=error, times=1)
                with pytest.raises(fault, match=words):
                    await kit.poll(session, plan, tags)
                assert set((await kit.poll(session, plan, tags)).values()) == {0}

    run(work)


def test_an_error_of_a_telegram_that_concerns_its_tags_only(run, kit):
    async def work():
        async with Simulator() as sim:
            tags = [kit.tag("DB1.DBW0"), kit.tag("DB1.DBW2"), kit.tag("MW0")]
            sim.cpu.block(1)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                sim.cpu.faults = Faults(error=0x8702, times=1)
                assert await kit.poll(session, plan, tags) == {"DB1.DBW0": 0, "DB1.DBW2": 0, "MW0": REFUSED}

    run(work)


def test_put_get_switched_off(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.put_get = False
            async with kit.session(sim) as session:
                tags = kit.words(2)
                with pytest.raises(AuthFault, match="TIA Portal") as raised:
                    await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)
                assert raised.value.code == "put_get_disabled"

    run(work)


def test_a_tsap_that_is_not_there(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.remote_tsaps = {b"\3\1"}
            async with kit.session(sim):
                pass
            with pytest.raises(LinkLost, match=r"declines with reason 0x01.*TSAP 03.02") as raised:
                async with kit.session(sim, slot=2):
                    raise AssertionError
            assert raised.value.code == "session_refused"

    run(work)


@pytest.mark.parametrize("after", [1, 2])
def test_a_cpu_that_just_hangs_up_while_a_session_begins(run, kit, after):
    async def work():
        async def serve(reader, writer):
            for _ in range(after):
                size = (await reader.readexactly(4))[3]
                await reader.readexactly(size - 4)
                if _ + 1 < after:
                    writer.write(bytes.fromhex("03 00 00 0B 06 D0 00 01 00 00 00"))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        with pytest.raises(LinkLost, match="closes the connection") as raised:
            async with adapter(kit.connection(port=server.sockets[0].getsockname()[1])).open():
                raise AssertionError
        assert raised.value.code == "session_refused"
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    run(work)


def test_setup_that_is_refused(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.faults = Faults(error=0x8304)
            with pytest.raises(Busy, match="setup communication"):
                async with kit.session(sim):
                    raise AssertionError

    run(work)


def test_plans_that_are_remembered_are_few(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "REMEMBERED", 2)
        async with Simulator() as sim:
            sim.cpu.block(1)
            made = adapter(kit.connection(sim))
            async with made.open() as session:
                plans = [made.plan(kit.device(), kit.words(n + 1)) for n in range(4)]
                for plan in plans * 2:
                    await session.read(plan, Readings(len(plan.requests[0].tags), plan.table))
                    assert len(session._courses) <= 2

    run(work)


def test_identity(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.grant_pdu = 112  # the lists come in parts
            async with kit.session(sim) as session:
                found = dict(await session.identify())
                assert found == {
                    "vendor": "Siemens", "order_number": "6ES7 515-2AM01-0AB0", "firmware": "V2.8.1",
                    "station": "Xingsha", "module": "PLC_1", "serial_number": "S V-L9AA00000001",
                    "model": "CPU 1515-2 PN",
                }  # fmt: skip
                sim.cpu.identity = {}
                assert await session.identify() == ()
            sim.cpu.identity = {1: "x"}
            async with kit.session(sim) as session:
                sim.cpu._status = lambda *_: (bytes.fromhex("000112081284010500010000"), b"\xff\x09\0\1x")
                assert await session.identify() == ()  # a list that never ends
            async with kit.session(sim, timeout="60ms") as session:
                sim.cpu.faults = Faults(silent=True)
                assert await session.identify() == ()
                with pytest.raises(Fault):
                    await session.ask(session_module.codec.ask_status(0x1C, 0))

    run(work)
