"""Limits under any load: whatever is not delivered is declared, exactly once, and the limit holds."""

import asyncio
import random

import pytest

from gateway.config.root import Order


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
