"""Who waits until what was published is safe: told after the commit, and never of what was given up."""

import asyncio
import threading

from gateway.bus import journal, local, memory
from gateway.bus.waiting import Waiting


def test_told_after_the_commit_and_not_before(bench):
    async def main():
        async with bench.open() as bus:
            said = []
            bus.publish(bench.frame(1), 1)
            bus.when_durable(lambda: said.append(bus.statistics.points), lambda: said.append("lost"))
            await asyncio.sleep(0.05)
            assert said == [], "the batch is still open"
            await bus.flush()
            assert said == [1]
            bus.when_durable(lambda: said.append("at once"), lambda: said.append("lost"))
            assert said == [1], "never from within the call"
            await asyncio.sleep(0)
            assert said == [1, "at once"]

    asyncio.run(main())


def test_each_is_told_of_the_batch_that_was_open_when_he_asked(bench):
    async def main():
        async with bench.open() as bus:
            said = []
            for number in range(1, 6):
                bus.publish(bench.frame(number), 1)
                bus.when_durable(lambda number=number: said.append(number), lambda: said.append("lost"))
                await bus.flush()
                assert said == list(range(1, number + 1))

    asyncio.run(main())


def hold(monkeypatch, until):
    """Let nothing be written before an event."""
    for kind in (memory.MemoryStore, journal.JournalStore):

        def late(self, change, apply=kind.apply):
            until.wait(10)
            return apply(self, change)

        monkeypatch.setattr(kind, "apply", late)


def test_what_is_given_up_is_not_called_safe(bench, monkeypatch):
    """The store is stuck, memory is full, the oldest batch is let go of: who had something in it is told."""
    monkeypatch.setattr(local, "PENDING_MOST", 2)
    stuck = threading.Event()

    async def main():
        async with bench.open(batch_bytes=1000) as bus:
            hold(monkeypatch, stuck)
            said = []
            for number in range(8):
                bus.publish(bench.frame(number, 2000), 1)
                bus.when_durable(lambda number=number: said.append(number), lambda number=number: said.append(-number))
                await asyncio.sleep(0.01)
            assert bus.statistics.dropped_batches > 0
            assert said, "those whose batch is gone are told at once"
            assert all(number <= 0 for number in said)
            stuck.set()
            await bus.flush()
            lost = {-number for number in said if number <= 0}
            kept = [number for number in said if number > 0]
            assert len(lost) + len(kept) == 8
            assert kept == sorted(kept)

    try:
        asyncio.run(main())
    finally:
        stuck.set()


def test_a_flush_of_what_was_given_up_returns():
    waiting, said = Waiting(), []
    waiting.add(1, lambda: said.append("flush 1"))
    waiting.add(2, lambda: said.append("safe 2"), lambda: said.append("lost 2"))
    waiting.add(3, lambda: said.append("flush 3"))
    waiting.given_up(1)
    assert said == ["lost 2"]
    waiting.reached(2)
    assert said == ["lost 2", "flush 1"]
    waiting.reached(3)
    assert said == ["lost 2", "flush 1", "flush 3"]


def test_the_end_tells_nobody_that_anything_is_safe():
    waiting, said = Waiting(), []
    waiting.add(1, lambda: said.append("flush"))
    waiting.add(1, lambda: said.append("safe"), lambda: said.append("lost"))
    waiting.end()
    assert said == ["flush", "lost"]
    waiting.reached(9)
    assert said == ["flush", "lost"]
