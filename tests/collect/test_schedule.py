"""Ticks stand on absolute times and never pile up."""

from __future__ import annotations

import asyncio

from gateway.collect.schedule import Schedule
from gateway.testing.clock import virtual


def test_ticks_do_not_drift_and_rates_meet() -> None:
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        schedule = Schedule()
        schedule.add(0.5, lambda skipped: seen.append(("fast", loop.time())))
        schedule.add(1.0, lambda skipped: seen.append(("slow", loop.time())))
        await asyncio.sleep(100.25)

    virtual(main())
    fast = [at for name, at in seen if name == "fast"]
    slow = [at for name, at in seen if name == "slow"]
    assert (len(fast), len(slow)) == (200, 100)
    assert fast[1::2] == slow
    assert all(at == 1000 + 0.5 * (n + 1) for n, at in enumerate(fast))


def test_a_late_loop_skips_and_counts_instead_of_catching_up() -> None:
    seen: list[tuple[float, int]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        schedule = Schedule()

        def due(skipped: int) -> None:
            seen.append((loop.time() - 1000, skipped))
            if len(seen) == 2:
                loop.now += 3.375  # something held the loop up

        schedule.add(1.0, due)
        await asyncio.sleep(8.5)

    virtual(main())
    assert seen == [(1, 0), (2, 0), (5.375, 2), (6, 0), (7, 0), (8, 0)]


def test_removed_jobs_are_not_called_and_an_empty_rate_costs_no_timer() -> None:
    seen: list[int] = []

    async def main() -> None:
        schedule = Schedule()
        schedule.add(1.0, seen.append)
        await asyncio.sleep(2.5)
        schedule.remove(1.0, seen.append)
        await asyncio.sleep(5)
        assert len(seen) == 2
        schedule.add(1.0, seen.append)
        await asyncio.sleep(1)

    virtual(main())
    assert len(seen) == 3


def test_a_schedule_that_is_stopped_calls_nobody_and_keeps_no_timer() -> None:
    seen: list[float] = []

    async def main() -> None:
        schedule = Schedule()
        for period in (1.0, 2.0):
            schedule.add(period, lambda _skipped, period=period: seen.append(period))
        await asyncio.sleep(2.5)
        schedule.stop()
        assert all(handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)
        await asyncio.sleep(60)

    virtual(main())
    assert sorted(seen) == [1.0, 1.0, 2.0]
