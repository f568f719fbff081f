"""Reading: partial truth, limits kept, fences on lines without transaction ids, broadcasts."""

import time

import pytest

from adapters.modbus import adapter
from adapters.modbus import session as session_module
from adapters.modbus.simulator import Faults, Simulator
from gateway.model.quality import Quality
from gateway.sdk import Busy, Readings, Timeout, Write

REFUSED = Quality.ADDRESS_REFUSED


def test_limits_are_kept_under_load(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            rtu = sim.transport != "tcp"
            device = kit.device(max_registers=30, max_bits=50, gap="5ms")
            tags = kit.registers(400) + [kit.tag(f"co:{place}", "bool") for place in range(300)]
            async with kit.session(sim, pipeline=1 if rtu else 4) as session:
                plan = adapter(kit.connection(sim, pipeline=1 if rtu else 4)).plan(device, tags)
                sim.unit(1).holding[:400] = range(400)
                for _ in range(3):
                    found = await kit.poll(session, plan, tags)
                    assert [found[f"hr:{place}"] for place in range(400)] == list(range(400))
            counters = sim.unit(1).counters
            assert (counters.most_registers, counters.most_bits) == (30, 50)
            assert sim.counters.most_connections == 1
            assert sim.counters.most_in_flight <= (1 if rtu else 4)
            assert sim.counters.least_gap >= 0.004
            assert sim.counters.rejected_bytes == 0

    run(work)


def test_requests_of_one_pipeline_are_under_way_together(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.unit(1).faults = Faults(delay=0.02)
            tags = kit.registers(1000)
            async with kit.session(sim, pipeline=8) as session:
                await kit.poll(session, adapter(kit.connection(sim, pipeline=8)).plan(kit.device(), tags), tags)
            assert sim.counters.most_in_flight == 8

    run(work)


@pytest.mark.parametrize("code", [2, 3, 4])
def test_one_bad_tag_and_its_neighbours_in_the_same_cycle(run, kit, anywhere, code):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            unit.holding[:200] = range(200)
            unit.refuse("hr", 57, 57, code)
            tags = kit.registers(200)
            bad = Quality.DEVICE_FAILURE if code == 4 else REFUSED
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                for _ in range(3):
                    before = sim.counters.requests
                    found = await kit.poll(session, plan, tags)
                    assert found == {f"hr:{place}": bad if place == 57 else place for place in range(200)}
                assert sim.counters.requests - before < 12  # remembered: no more searching

    run(work)


def test_bits_beside_a_refused_one(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            unit.coils[:40] = [place % 3 == 0 for place in range(40)]
            unit.refuse("co", 13, 13)
            tags = [kit.tag(f"co:{place}", "bool") for place in range(3, 40)]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                out = Readings(len(tags), plan.table)
                for turn in range(2):
                    unit.coils[:40] ^= True
                    found = await kit.poll(session, plan, tags, out)
                    assert found == {
                        f"co:{place}": REFUSED if place == 13 else (place % 3 == 0) ^ (turn == 0)
                        for place in range(3, 40)
                    }

    run(work)


def test_a_hole_between_values_costs_nobody(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.unit(1).refuse("hr", 3, 4)
            sim.unit(1).holding[5] = 7
            tags = [kit.tag("hr:1", "float32"), kit.tag("hr:5")]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert len(plan.requests) == 1
                assert await kit.poll(session, plan, tags) == {"hr:1": 0.0, "hr:5": 7}
                before = sim.counters.requests
                assert await kit.poll(session, plan, tags) == {"hr:1": 0.0, "hr:5": 7}
                assert sim.counters.requests - before == 2

    run(work)


def test_what_is_refused_is_asked_again_by_and_by(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "RETEST_POLLS", 5)
        async with Simulator() as sim:
            unit = sim.unit(1)
            unit.refuse("hr", 2, 2)
            unit.refuse("ir", 0, 9)
            unit.holding[:4] = 5
            tags = [*kit.registers(4), kit.tag("ir:3")]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert (await kit.poll(session, plan, tags))["hr:2"] is REFUSED
                unit.allow()
                found = [(await kit.poll(session, plan, tags)) for _ in range(6)]
                assert [row["hr:2"] for row in found] == [REFUSED] * 4 + [5, 5]
                assert [row["ir:3"] for row in found] == [REFUSED] * 4 + [0, 0]
                unit.refuse("hr", 0, 0)  # and what was good may go bad
                assert (await kit.poll(session, plan, tags))["hr:0"] is REFUSED
                assert (await kit.poll(session, plan, tags))["hr:1"] == 5

    run(work)


def test_searching_is_spread_over_polls(run, kit):
    async def work():
        async with Simulator() as sim:
            unit = sim.unit(1)
            unit.holding[:125] = 1
            for place in range(0, 125, 2):
                unit.refuse("hr", place, place)
            tags = kit.registers(125)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                good, known = 0, 1
                for _ in range(12):
                    before = sim.counters.requests
                    found = await kit.poll(session, plan, tags)
                    assert sim.counters.requests - before <= known + session_module.NARROW_READS
                    assert set(found.values()) <= {1, REFUSED}
                    assert good <= list(found.values()).count(1)
                    good, known = list(found.values()).count(1), len(session._narrowed[id(plan)].steps)
                assert found == {f"hr:{place}": 1 if place % 2 else REFUSED for place in range(125)}

    run(work)


def test_memory_of_refusals_is_bounded(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "REMEMBERED", 3)
        async with Simulator() as sim:
            sim.unit(1).refuse("hr", 1, 1)
            tags = kit.registers(3)
            async with kit.session(sim) as session:
                plans = [adapter(kit.connection(sim)).plan(kit.device(), tags) for _ in range(10)]
                for plan in plans:
                    assert (await kit.poll(session, plan, tags))["hr:1"] is REFUSED
                assert len(session._narrowed) == 3

    run(work)


def test_a_fault_while_searching_leaves_no_half_truth(run, kit):
    async def work():
        async with Simulator() as sim:
            unit = sim.unit(1)
            unit.refuse("hr", 9, 9)
            unit.holding[:20] = 1
            tags = kit.registers(20)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim, timeout="100ms")).plan(kit.device(), tags)
                session._timeout = 0.1
                seen = sim.counters.requests

                def go_silent(*_):
                    if sim.counters.requests - seen == 3:
                        unit.faults = Faults(silent=True, times=1)

                unit.on_read = go_silent
                with pytest.raises(Timeout):
                    await kit.poll(session, plan, tags)
                unit.on_read = None
                unit.holding[:20] = 2
                found = await kit.poll(session, plan, tags)
                assert found == {f"hr:{place}": REFUSED if place == 9 else 2 for place in range(20)}

    run(work)


@pytest.mark.parametrize(
    ("code", "fault"), [(5, Busy), (6, Busy), (10, Timeout), (11, Timeout)], ids=["ack", "busy", "path", "target"]
)
def test_exceptions_that_concern_the_whole_device(run, kit, anywhere, code, fault):
    async def work():
        async with anywhere as sim:
            sim.unit(1).faults = Faults(exception=code)
            tags = kit.registers(3)
            async with kit.session(sim) as session:
                with pytest.raises(fault, match=f"unit 1.*exception {code}"):
                    await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)

    run(work)


def test_a_function_that_is_refused_is_not_searched(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            sim.unit(1).faults = Faults(exception=1)
            tags = kit.registers(100)
            async with kit.session(sim) as session:
                found = await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)
            assert set(found.values()) == {Quality.FUNCTION_REFUSED}
            assert sim.counters.requests == 1

    run(work)


@pytest.mark.parametrize("transport", ["rtu", "rtu_over_tcp"])
def test_a_late_answer_is_never_that_to_the_next_request(run, kit, transport):
    """Without transaction ids: the answer to a request that was given up looks like the answer to the next."""

    async def work():
        async with Simulator(transport=transport) as sim:
            unit = sim.unit(1)
            unit.holding[0:2], unit.holding[50:52] = [1, 1], [2, 2]
            first, second = kit.registers(2), kit.registers(2, 50)
            made = adapter(kit.connection(sim))
            plans = made.plan(kit.device(), first), made.plan(kit.device(), second)
            async with kit.session(sim, timeout="150ms") as session:
                for _ in range(3):
                    unit.faults = Faults(delay=0.2, times=1)  # a slow device answers in order, too late
                    with pytest.raises(Timeout):
                        await kit.poll(session, plans[0], first)
                    found = await kit.poll(session, plans[1], second)
                    assert found == {"hr:50": 2, "hr:51": 2}
                    assert not session._doubtful

    run(work)


def test_doubt_outlives_the_session_on_a_line_without_transaction_ids(run, kit):
    async def work():
        async with Simulator(transport="rtu") as sim:
            unit = sim.unit(1)
            unit.holding[0], unit.holding[50] = 1, 2
            made = adapter(kit.connection(sim, timeout="150ms"))
            first, second = kit.registers(1), kit.registers(1, 50)
            plans = made.plan(kit.device(), first), made.plan(kit.device(), second)
            unit.faults = Faults(delay=0.25, times=1)
            async with made.open() as session:
                with pytest.raises(Timeout):
                    await kit.poll(session, plans[0], first)
            async with made.open() as session:
                assert await kit.poll(session, plans[1], second) == {"hr:50": 2}
            assert not made.doubtful

    run(work)


def test_a_unit_that_never_answers_a_fence_is_asked_without_in_the_end(run, kit):
    async def work():
        async with Simulator(transport="rtu") as sim:
            unit = sim.unit(1)
            unit.holding[0:5] = 3
            tags = kit.registers(5)
            async with kit.session(sim, timeout="50ms") as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                unit.faults = Faults(silent=True, times=1)
                with pytest.raises(Timeout):
                    await kit.poll(session, plan, tags)

                def only_five(unit, _area, _address, count):
                    unit.faults = None if count == 5 else Faults(silent=True, times=1)

                unit.on_read = only_five
                for _ in range(session_module.FENCES):
                    with pytest.raises(Timeout):
                        await kit.poll(session, plan, tags)
                assert await kit.poll(session, plan, tags) == {f"hr:{place}": 3 for place in range(5)}

    run(work)


def test_a_broadcast_reaches_all_and_waits_for_nobody(run, kit):
    async def work():
        async with Simulator(transport="rtu") as sim:
            units = [sim.unit(number) for number in (1, 2, 3)]
            tags = kit.registers(1)
            async with kit.session(sim) as session:
                write = Write(kit.tag("hr:0", access="read/write"), 77)
                await session.write(kit.device(unit=0), [write])
                started = time.monotonic()
                plan = adapter(kit.connection(sim)).plan(kit.device(unit=2), tags)
                assert await kit.poll(session, plan, tags) == {"hr:0": 77}
                assert time.monotonic() - started >= 0.08  # units are given time to carry it out
            assert [int(unit.holding[0]) for unit in units] == [77] * 3

    run(work)


def test_writing_raises_what_the_device_says(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            write = Write(kit.tag("hr:0", access="read/write"), 77)
            async with kit.session(sim, timeout="100ms") as session:
                unit.faults = Faults(exception=6, times=1)
                with pytest.raises(Busy):
                    await session.write(kit.device(), [write, write])
                unit.faults = Faults(silent=True, times=1)
                with pytest.raises(Timeout, match="unit 1: no answer"):
                    await session.write(kit.device(), [write])
                before = unit.counters.writes
                await session.write(kit.device(), [write, write])
                assert unit.counters.writes - before == 2

    run(work)
