"""Batches grow old by the time that the gateway runs, whatever the wall clock shows; epochs stay unique."""

import asyncio

import pytest

from gateway.bus.age import CLOCK_SET, first_epoch
from gateway.config.root import Order
from tests.bus.test_start import crash

HOUR = 3600 * 10**9
YEAR = 365 * 24 * HOUR
NOW = 1_800_000_000 * 10**9


def test_batches_too_old_are_given_up(bench):
    async def main():
        now = NOW
        async with bench.open(retain="1h", clock=lambda: now) as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, 1, 2)
            now += HOUR // 2
            await bench.put(bus, 3)
            now += HOUR * 6 // 10
            await bench.put(bus, 4)
            batches = await bench.drain(consumer)
            assert [time for batch in batches for time in bench.times(batch)] == [3, 4]
            (gap,) = [gap for batch in batches for gap in bench.gaps(batch)]
            assert (gap.reason, gap.first_seq, gap.last_seq, gap.count) == ("overflow", 1, 2, 2)

    asyncio.run(main())


@pytest.mark.parametrize("start", [1000 * 10**9, NOW, NOW + 10 * YEAR], ids=["never set", "right", "ahead"])
@pytest.mark.parametrize("order", Order)
def test_a_clock_that_is_set_makes_nothing_old(bench, start, order):
    async def main():
        now = start
        async with bench.open(retain="1h", clock=lambda: now, monotonic=lambda: 5) as bus:
            consumer = bus.consumer("lane", order)
            await bench.put(bus, 1, 2)
            now = NOW
            await bench.put(bus, 3)
            now = NOW + 10 * YEAR
            await bench.put(bus, 4)
            now = NOW - 10 * YEAR
            await bench.put(bus, 5)
            assert [bench.times(batch) for batch in await bench.drain(consumer)] == [[1], [2], [3], [4], [5]]

    asyncio.run(main())


def test_batches_grow_old_by_the_time_that_the_gateway_runs(journal):
    async def main():
        now, running = NOW, 0
        clocks = {"clock": lambda: now, "monotonic": lambda: running}
        async with journal.open(retain="1h", **clocks) as bus:
            bus.consumer("lane")
            await journal.put(bus, 1)
            running += HOUR * 6 // 10
            await journal.put(bus, 2)
        now, running = NOW - 10 * YEAR, 77  # another boot, with a clock that nobody has set
        async with journal.open(retain="1h", **clocks) as bus:
            consumer = bus.consumer("lane")
            running += HOUR * 6 // 10
            await journal.put(bus, 3)
            batches = await journal.drain(consumer)
            assert [time for batch in batches for time in journal.times(batch)] == [2, 3]
            restart, lost = sorted((gap for each in batches for gap in journal.gaps(each)), key=lambda gap: -gap.until)
            assert (restart.reason, restart.since, restart.until) == ("restart", NOW, NOW)
            assert (lost.reason, lost.first_seq, lost.last_seq) == ("overflow", 1, 1)

    asyncio.run(main())


@pytest.mark.parametrize("set_to", [NOW - 10 * YEAR, NOW - 1, NOW + 10 * YEAR])
@pytest.mark.parametrize("stopped", [True, False])
def test_a_restart_is_never_a_negative_interval(journal, tmp_path, set_to, stopped):
    async def main():
        now = NOW
        async with journal.open(clock=lambda: now) as bus:
            await journal.put(bus, NOW)
            left = journal if stopped else crash(journal, tmp_path / "copy")
        now = set_to
        async with left.open(clock=lambda: now) as bus:
            consumer = bus.consumer("lane")
            await bus.flush()
            _, batch = await left.take(consumer, 2)
            (gap,) = left.gaps(batch)
            assert (gap.reason, gap.since, gap.until) == ("restart", NOW, max(NOW, set_to))

    asyncio.run(main())


def test_an_epoch_begun_with_an_unset_clock_is_not_given_twice():
    assert first_epoch(NOW, pytest.fail) == NOW // 10**9
    start = 946_684_800 * 10**9  # where a clock without a battery starts after each power cut
    assert first_epoch(start, lambda below: below - 1) == CLOCK_SET - 1
    assert first_epoch(start, lambda _: 0) == 1


def test_a_memory_bus_is_another_epoch_each_time(bench):
    async def main():
        epochs = set()
        for _ in range(3):
            async with bench.open(clock=lambda: 946_684_800 * 10**9) as bus:
                epochs.add(bus.epoch)
        assert len(epochs) == (3 if bench.kind == "memory" else 1)

    asyncio.run(main())
