"""Limits: each policy does what it says; whatever is not delivered is declared, exactly once, under any load."""

import asyncio
import random

import pytest

from gateway.config.root import Order
from gateway.model.batch import Gap

HOUR = 3600 * 10**9
NOW = 1_800_000_000 * 10**9


def test_drop_oldest_declares_what_it_gave_up(bench):
    async def main():
        async with bench.open(limit=20_000) as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(60), size=1000, points=7)
            assert bus.statistics.depth_bytes <= 20_000
            batches = await bench.drain(consumer)
            found = [time for batch in batches for time in bench.times(batch)]
            declared = [gap for batch in batches for gap in bench.gaps(batch)]
            lost = 60 - len(found)
            assert found == list(range(lost, 60))
            assert lost == bus.statistics.dropped_points // 7 > 30
            assert {gap.reason for gap in declared} == {"overflow"}
            assert sum(gap.count for gap in declared) == 7 * lost
            # Every seq that is missing is declared, and none that was delivered.
            named = [seq for gap in declared for seq in range(gap.first_seq, gap.last_seq + 1)]
            delivered = {batch.seq for batch in batches}
            assert sorted(named) == sorted(set(range(1, max(delivered))) - delivered)
            assert {gap.epoch for gap in declared} == {bus.epoch}
            assert min(gap.since for gap in declared) == 0

    asyncio.run(main())


def test_gaps_are_never_given_up(bench):
    async def main():
        async with bench.open(limit=20_000) as bus:
            consumer = bus.consumer("lane")
            bus.declare(Gap("outage", 1, 2, device="press", count=5))
            await bus.flush()
            await bench.put(bus, *range(120), size=1000)
            declared = [gap for batch in await bench.drain(consumer) for gap in bench.gaps(batch)]
            assert Gap("outage", 1, 2, device="press", count=5) in declared

    asyncio.run(main())


def test_thin_out_keeps_a_coarse_history(bench):
    async def main():
        async with bench.open(limit=40_000, when_full="thin_out") as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(150), size=1000)
            assert bus.statistics.depth_bytes <= 42_000
            batches = await bench.drain(consumer)
            found = [time for batch in batches for time in bench.times(batch)]
            declared = [gap for batch in batches for gap in bench.gaps(batch)]
            assert sum(gap.count for gap in declared) == 150 - len(found)
            assert found == sorted(found)
            # Dropping the oldest would leave the last 38 or so; this reaches back twice as far, and the newest are all there.
            assert min(found) < 80
            assert set(range(135, 150)) <= set(found)
            assert {gap.detail for gap in declared} == {"every second batch of an interval"}

    asyncio.run(main())


def test_stop_reading_keeps_everything_and_goes_on_when_there_is_room(bench):
    async def main():
        async with bench.open(limit=20_000, batch_bytes=1500, when_full="stop_reading") as bus:
            consumer = bus.consumer("lane")
            number = 0
            while bus.has_room:
                await bench.put(bus, number, size=1000)
                number += 1
            assert 19 <= number <= 21
            assert bus.statistics.full
            waiting = asyncio.create_task(bus.room())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            found = await bench.take(consumer, 10)
            await asyncio.wait_for(waiting, 10)
            assert not bus.statistics.full
            found += await bench.drain(consumer)
            assert [bench.times(batch)[0] for batch in found] == list(range(number))
            assert bus.statistics.dropped_batches == 0

    asyncio.run(main())


def test_readers_that_do_not_stop_cost_bounded_memory(bench):
    async def main():
        async with bench.open(limit=20_000, batch_bytes=2000, when_full="stop_reading", linger="50ms") as bus:
            consumer = bus.consumer("lane")
            for number in range(600):
                bus.publish(bench.frame(number, 1000), 1)
                await asyncio.sleep(0)
            assert bus.statistics.dropped_points > 200
            found, declared = set(), 0
            while len(found) + declared < 600:
                (batch,) = await bench.take(consumer, 1)
                found.update(bench.times(batch))
                declared += sum(gap.count for gap in bench.gaps(batch))
            assert len(found) + declared == 600
            assert len(found) < 300

    asyncio.run(main())


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("when_full", ["drop_oldest", "thin_out"])
@pytest.mark.parametrize("seed", range(3))
def test_every_value_is_delivered_or_declared(bench, seed, when_full, order):
    chance = random.Random(seed)
    limit = chance.choice([15_000, 60_000])

    async def main():
        async with bench.open(limit=limit, when_full=when_full, cache=chance.choice([0, 5000, 10**6])) as bus:
            consumer = bus.consumer("lane", order)
            delivered, declared, in_flight, seqs, named = [], 0, {}, set(), set()

            def note(batch):
                nonlocal declared
                delivered.extend(bench.times(batch))
                for gap in bench.gaps(batch):
                    declared += gap.count
                    named.update(range(gap.first_seq, gap.last_seq + 1))

            number = 0
            while number < 400:
                for _ in range(chance.randint(1, 12)):
                    bus.publish(bench.frame(number, chance.choice([10, 500, 3000])), 1)
                    number += 1
                    if chance.random() < 0.5:
                        await bus.flush()
                await bus.flush()
                assert bus.statistics.depth_bytes <= limit * 1.2 + 40_000
                for _ in range(chance.randint(0, 4)):
                    if consumer.backlog > len(in_flight):
                        batch = await asyncio.wait_for(consumer.fetch(), 10)
                        assert batch.seq not in seqs
                        in_flight[batch.seq] = batch
                if chance.random() < 0.1:
                    consumer.restart()
                    in_flight.clear()
                for seq in [seq for seq in in_flight if chance.random() < 0.7]:
                    held = seq in consumer.in_flight  # what the limit took meanwhile is declared, and does not count
                    consumer.acknowledge(seq)
                    batch = in_flight.pop(seq)
                    if held:
                        note(batch)
                        seqs.add(seq)
            consumer.restart()
            for batch in await bench.drain(consumer):
                note(batch)
                seqs.add(batch.seq)
            assert len(delivered) == len(set(delivered))
            assert len(delivered) + declared == number
            assert bus.statistics.dropped_points == declared
            # Every seq that never came lies in a gap that was declared.
            assert set(range(1, max(seqs) + 1)) - seqs <= named
            if when_full == "drop_oldest":
                assert not named & seqs

    asyncio.run(main())
