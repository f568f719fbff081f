"""Reading: partial truth, limits kept, one request at a time, answers that come late, entries in use."""

import asyncio
import time

import pytest

from adapters.mc import adapter
from adapters.mc import session as session_module
from adapters.mc.simulator import Faults, Simulator
from gateway.model.quality import Quality
from gateway.sdk import AuthFault, Busy, LinkLost, OutOfStep, ProtocolFault, Readings, Timeout, Write

REFUSED = Quality.ADDRESS_REFUSED


def test_limits_are_kept_under_load(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device("iq-f", max_words=100, max_points=20, max_blocks=9, max_gap=4)
            cpu = sim.device(device)
            tags = kit.words(300) + [kit.tag(f"R{place * 30}") for place in range(150)]
            tags += [kit.tag(f"M{place * 100}", "bool") for place in range(60)]
            cpu.cells("D")[:300] = range(300)
            cpu.cells("R")[: 150 * 30 : 30] = range(150)
            async with kit.session(sim, gap="1ms") as session:
                plan = adapter(kit.connection(sim)).plan(device, tags)
                for _ in range(3):
                    found = await kit.poll(session, plan, tags)
                    assert [found[f"D{place}"] for place in range(300)] == list(range(300))
                    assert [found[f"R{place * 30}"] for place in range(150)] == list(range(150))
            assert cpu.counters.words_most <= 100
            assert cpu.counters.points_most <= 20
            assert cpu.counters.blocks_most <= 9
            if sim.transport == "tcp":
                assert sim.counters.sessions_most == 1
            assert sim.counters.in_flight_most == 1
            assert sim.counters.requests == 3 * len(plan.requests)
            assert sim.counters.ignored == 0

    run(work)


def test_a_cpu_that_answers_only_the_last_of_several_requests(run, kit, anywhere):
    """Measured on an FX5U: two requests under way give one answer, to the last, with end code 0."""

    async def work():
        async with anywhere as sim:
            sim.last_only = True
            device = kit.device(max_words=10)
            cpu = sim.device(device)
            cpu.cells("D")[:95] = range(95)
            tags = kit.words(95)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(device.model_copy(update={"max_points": 0}), tags)
                assert len(plan.requests) > 1 or sim.code.text
                assert list((await kit.poll(session, plan, tags)).values()) == list(range(95))

    run(work)


@pytest.mark.parametrize(
    ("code", "bad"),
    [(0xC056, REFUSED), (0x4031, REFUSED), (0xC05C, REFUSED), (0xC059, Quality.FUNCTION_REFUSED), (0x4ABC, Quality.DEVICE_FAILURE)],
)  # fmt: skip
def test_one_bad_tag_and_its_neighbours_in_the_same_cycle(run, kit, anywhere, code, bad):
    async def work():
        async with anywhere as sim:
            device = kit.device()
            cpu = sim.device(device)
            cpu.cells("D")[:200] = range(200)
            tags = kit.words(200)
            cpu.refuse(tags[57], code)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(device, tags)
                for _ in range(3):
                    before = sim.counters.requests
                    found = await kit.poll(session, plan, tags)
                    assert found == {f"D{place}": bad if place == 57 else place for place in range(200)}
                assert sim.counters.requests - before < 12  # remembered: no more searching

    run(work)


@pytest.mark.parametrize("step", [1, 7, 200])
def test_bad_tags_in_every_kind_of_read(run, kit, step):
    """Rows, blocks, and single places: values in pairs with a refused word arrive as well."""

    async def work():
        async with Simulator() as sim:
            device = kit.device(max_gap=2)
            cpu = sim.device(device)
            tags = [
                kit.tag(f"D{step * place}", "uint32" if place % 5 == 0 and step > 1 else "uint16")
                for place in range(60)
            ]
            tags += [kit.tag(f"M{place}", "bool") for place in range(0, 900, 90)] + [kit.tag("TS3", "bool")]
            for place, tag in enumerate(tags):
                cpu.set(tag, place % 2 if tag.type == "bool" else 1000 + place)
            bad = [tags[7], tags[10], tags[65]]
            for tag in bad:
                cpu.refuse(tag)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(device, tags)
                for _ in range(3):
                    found = await kit.poll(session, plan, tags)
                assert [tag for tag in tags if found[tag.name] is REFUSED] == bad
                good = [tag for tag in tags if tag not in bad]
                assert all(found[tag.name] == cpu.get(tag) for tag in good)

    run(work)


def test_a_peer_without_block_and_random_reads(run, kit, anywhere):
    """What it refuses as a command is read in a simpler way; max_blocks and max_points save the search."""

    async def work():
        async with anywhere as sim:
            device = kit.device()
            cpu = sim.device(device)
            cpu.unsupported = {0x0403, 0x0406}
            tags = [*kit.words(8, 0, 500), kit.tag("M3", "bool")]
            for place, tag in enumerate(tags):
                cpu.set(tag, place)
            async with kit.session(sim) as session:
                made = adapter(kit.connection(sim))
                plan = made.plan(device, tags)
                assert len(plan.requests) == 1
                assert list((await kit.poll(session, plan, tags)).values()) == [*range(8), True]
                before = sim.counters.requests
                assert list((await kit.poll(session, plan, tags)).values()) == [*range(8), True]
                assert sim.counters.requests - before == 9
                plan = made.plan(kit.device(max_points=0, max_blocks=0), tags)
                assert len(plan.requests) == 9
                assert list((await kit.poll(session, plan, tags)).values()) == [*range(8), True]

    run(work)


def test_refused_devices_are_asked_for_again(run, kit, monkeypatch):
    async def work():
        monkeypatch.setattr(session_module, "RETEST_POLLS", 4)
        async with Simulator() as sim:
            cpu = sim.cpu()
            tags = kit.words(20)
            cpu.refuse(tags[3])
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                assert (await kit.poll(session, plan, tags))["D3"] is REFUSED
                cpu.allow()
                seen = [(await kit.poll(session, plan, tags))["D3"] for _ in range(6)]
                assert seen == [REFUSED] * 3 + [0] * 3

    run(work)


def test_many_refused_devices_take_more_than_one_poll(run, kit):
    async def work():
        async with Simulator() as sim:
            cpu = sim.cpu()
            tags = kit.words(300)
            for tag in tags[::3]:
                cpu.refuse(tag)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                for _ in range(30):
                    before = sim.counters.requests
                    found = await kit.poll(session, plan, tags)
                    assert sim.counters.requests - before <= 32 + len(tags)
                    assert all(found[tag.name] is REFUSED for tag in tags[::3])
                assert [tag for tag in tags if found[tag.name] is REFUSED] == tags[::3]
                for place in range(300):  # no more plans are remembered than there is room for
                    session._narrowed[place] = session._narrowed[id(plan)]
                cpu.refuse(tags[1])
                await kit.poll(session, plan, tags)
                assert len(session._narrowed) == session_module.REMEMBERED

    run(work)


@pytest.mark.parametrize(
    ("code", "fault"),
    [(0xC0BD, Busy), (0xC05E, Timeout), (0xC1A8, Timeout), (0xC201, AuthFault), (0xC061, ProtocolFault)],
)
def test_what_concerns_the_whole_device_is_a_fault(run, kit, anywhere, code, fault):
    async def work():
        async with anywhere as sim:
            cpu = sim.device(kit.device())
            cpu.faults = Faults(end_code=code)
            tags = kit.words(5)
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                with pytest.raises(fault, match=f"end code {code:04X}") as raised:
                    await kit.poll(session, plan, tags)
                assert type(raised.value) is fault
                cpu.faults = None
                await kit.poll(session, plan, tags)

    run(work)


def test_no_answer_in_time(run, kit, anywhere):
    """3E: the link is closed, for a late answer would look like the next one. 4E: it stands, late answers are dropped."""

    async def work():
        async with anywhere as sim:
            cpu = sim.device(kit.device())
            tags = kit.words(5)
            made = adapter(kit.connection(sim, timeout="80ms"))
            plan = made.plan(kit.device(), tags)
            cpu.faults = Faults(delay=0.3, times=1)
            cpu.cells("D")[:5] = 1
            async with made.open() as session:
                started = time.monotonic()
                with pytest.raises(Timeout) as raised:
                    await kit.poll(session, plan, tags)
                assert time.monotonic() - started < 0.5
                assert isinstance(raised.value, OutOfStep) is (sim.frame == "3e")
                assert ("code" in str(raised.value)) is True  # nothing was ever heard: says what silence may mean
                cpu.cells("D")[:5] = 2
                if sim.frame == "3e":
                    with pytest.raises(LinkLost, match="overdue"):
                        await kit.poll(session, plan, tags)
                else:
                    assert set((await kit.poll(session, plan, tags)).values()) == {2}
                    await asyncio.sleep(0.4)
                    assert session._exchange.strays == 1
            async with made.open() as session:
                assert set((await kit.poll(session, plan, tags)).values()) == {2}

    run(work)


def test_the_outcome_of_a_write_that_is_not_answered_is_unknown(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device()
            cpu = sim.device(device)
            cpu.faults = Faults(silent=True)
            tag = kit.tag("D5", access="write")
            async with kit.session(sim, timeout="50ms") as session:
                with pytest.raises(Timeout):
                    await session.write(device, [Write(tag, 7), Write(tag, 8)])
            assert cpu.get(tag) == 7
            assert cpu.counters.writes == 1  # never repeated, and the next one is not tried

    run(work)


def test_an_entry_serves_one_partner(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.one_session = True
            cpu = sim.cpu()
            cpu.cells("D")[:5] = 4
            made, tags = adapter(kit.connection(sim)), kit.words(5)
            plan = made.plan(kit.device(), tags)
            async with made.open() as session:
                await kit.poll(session, plan, tags)
                async with adapter(kit.connection(sim)).open() as other:
                    with pytest.raises(LinkLost, match="somebody else may hold this entry") as raised:
                        await kit.poll(other, plan, tags)
                    assert raised.value.code == "entry_in_use"
                assert set((await kit.poll(session, plan, tags)).values()) == {4}
                sim.hang_up()
                with pytest.raises(LinkLost) as raised:
                    await kit.poll(session, plan, tags)
                assert raised.value.code == "link_lost"

    run(work)


def test_after_closing_the_entry_is_left_in_peace(run, kit):
    async def work():
        async with Simulator() as sim:
            made = adapter(kit.connection(sim, rest="60ms"))
            async with made.open():
                closing = time.monotonic()
            assert 0.055 < time.monotonic() - closing < 0.5

    run(work)


def test_several_cpus_behind_one_entry(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            devices = [kit.device(), kit.device("iq-f", network=1, pc=2), kit.device("iq-r", io=0x3E1)]
            for value, device in enumerate(devices, 1):
                sim.device(device).cells("D")[:5] = value
            tags = kit.words(5)
            made = adapter(kit.connection(sim))
            async with made.open() as session:
                for value, device in enumerate(devices, 1):
                    assert set((await kit.poll(session, made.plan(device, tags), tags)).values()) == {value}
                with pytest.raises(Timeout, match="C1A8") as raised:
                    await kit.poll(session, made.plan(kit.device(pc=9), tags), tags)
                assert raised.value.code == "route_refused"

    run(work)


def test_the_monitoring_timer_ends_before_our_patience(kit):
    timers = {
        settings: kit.connection(**dict(settings)).timer
        for settings in ((("timeout", "1s"),), (("timeout", "100ms"),), (("timeout", "10s"), ("monitoring", "2s")), (("monitoring", "0s"),))
    }  # fmt: skip
    assert list(timers.values()) == [3, 1, 8, 0]


def test_a_poll_can_be_cancelled_at_any_moment(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            cpu = sim.device(kit.device())
            tags = kit.words(3)
            made = adapter(kit.connection(sim))
            plan = made.plan(kit.device(), tags)
            for wait in (0.0, 0.001, 0.01, 0.03):
                cpu.faults = Faults(delay=0.02)
                cpu.cells("D")[:3] = 1
                async with made.open() as session:
                    task = asyncio.create_task(kit.poll(session, plan, tags))
                    await asyncio.sleep(wait)
                    task.cancel()
                    await asyncio.wait([task])
                    cpu.faults = None
                    cpu.cells("D")[:3] = 6
                    try:
                        assert set((await kit.poll(session, plan, tags, Readings(3, plan.table))).values()) == {6}
                    except LinkLost:
                        assert sim.frame == "3e"

    run(work)
