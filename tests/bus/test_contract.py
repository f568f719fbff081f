"""What every bus promises, whatever it is made of."""

import asyncio

import pytest

from gateway.config.root import Order
from gateway.model.batch import Gap
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType

NOW = 1_800_000_000 * 10**9


def test_seq_counts_from_one_and_bodies_are_what_was_published(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            sent = [bench.frame(number) for number in range(3)]
            for each in sent:
                bus.publish(each, 4)
                await bus.flush()
            batches = await bench.take(consumer, 3)
            assert [(batch.epoch, batch.seq) for batch in batches] == [(bus.epoch, seq) for seq in (1, 2, 3)]
            assert [bench.times(batch) for batch in batches] == [[0], [1], [2]]
            assert [(batch.frames, batch.points, batch.first_time, batch.last_time) for batch in batches] == [
                (1, 4, number, number) for number in range(3)
            ]
            assert batches[0].schemas == (b"schema-1",)
            assert bus.statistics.batches == 3
            assert bus.statistics.points == 12
            assert bus.gateway == "plant"

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings", [{"linger": "20ms"}, {"batch_bytes": 2000}, {"batch_frames": 10}], ids=["linger", "bytes", "frames"]
)
def test_a_batch_closes_by(bench, settings):
    async def main():
        async with bench.open(**settings) as bus:
            consumer = bus.consumer("lane")
            for number in range(10):
                bus.publish(bench.frame(number, 200), 100)
            (batch,) = await bench.take(consumer, 1)
            assert bench.times(batch)[0] == 0
            assert batch.frames >= 8
            assert batch.points == 100 * batch.frames

    asyncio.run(main())


def test_nothing_is_visible_before_it_is_committed(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            bus.publish(bench.frame(1), 1)
            assert consumer.backlog == 0
            async with bench.nothing_to_fetch(consumer):
                pass
            await bus.flush()
            assert consumer.backlog == 1
            assert bench.times(await consumer.fetch()) == [1]

    asyncio.run(main())


def test_sizes_count_every_part_of_a_frame(bench):
    from gateway.model.frame import Frame

    async def main():
        async with bench.open(batch_bytes=1000) as bus:
            consumer = bus.consumer("lane")
            bus.publish(Frame(b"schema-1", 1, [b"", ["x" * 300, None, "y"]], b"i" * 200, b"q" * 200, b"o" * 400), 3)
            (batch,) = await bench.take(consumer, 1)
            assert batch.points == 3

    asyncio.run(main())


def test_a_batch_without_frames_takes_its_time_from_the_one_before(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, 77)
            bus.declare(Gap("outage", 70, 80, device="press", count=3))
            await bus.flush()
            _, batch = await bench.take(consumer, 2)
            assert (batch.frames, batch.points, batch.first_time, batch.last_time) == (0, 0, 77, 77)
            assert bench.gaps(batch) == [Gap("outage", 70, 80, device="press", count=3)]
            assert bus.statistics.gaps == 1

    asyncio.run(main())


def test_a_gap_is_sent_without_waiting_for_a_frame(bench):
    async def main():
        async with bench.open(linger="10ms") as bus:
            consumer = bus.consumer("lane")
            bus.declare(Gap("overrun", 1, 2))
            assert bench.gaps(await asyncio.wait_for(consumer.fetch(), 10)) == [Gap("overrun", 1, 2)]

    asyncio.run(main())


def test_consumers_are_independent_and_the_slowest_holds_batches(bench):
    async def main():
        async with bench.open() as bus:
            quick, slow = bus.consumer("quick"), bus.consumer("slow")
            await bench.put(bus, *range(5))
            await bench.take(quick, 5)
            assert (quick.backlog, slow.backlog) == (0, 5)
            await asyncio.sleep(0.3)
            assert bus.statistics.depth_batches == 5
            await bench.take(slow, 3)
            await bench.eventually(lambda: bus.statistics.depth_batches == 2)
            await bench.take(slow, 2)
            await bench.eventually(lambda: bus.statistics.depth_batches == 0)
            assert bus.statistics.depth_bytes == 0
            assert bus.statistics.oldest_time == 0

    asyncio.run(main())


def test_a_new_consumer_starts_at_the_oldest_held(bench):
    async def main():
        async with bench.open() as bus:
            await bench.put(bus, *range(3))
            late = bus.consumer("late")
            assert late.backlog == 3
            batches = await bench.take(late, 3)
            assert [bench.times(batch) for batch in batches] == [[0], [1], [2]]
            assert not any(late.live(batch) for batch in batches)
            await bench.put(bus, 3)
            (batch,) = await bench.take(late, 1)
            assert late.live(batch)

    asyncio.run(main())


def test_restart_hands_out_again_what_was_not_acknowledged(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(6))
            batches = await bench.take(consumer, 4, acknowledge=False)
            consumer.acknowledge(batches[1].seq)
            consumer.restart()
            consumer.acknowledge(batches[3].seq)  # late, and true all the same
            again = await bench.take(consumer, 4)
            assert [bench.times(batch) for batch in again] == [[0], [2], [4], [5]]
            assert consumer.backlog == 0
            consumer.acknowledge(again[0].seq)  # twice: no matter
            consumer.acknowledge(999)
            assert consumer.backlog == 0
            async with bench.nothing_to_fetch(consumer):
                pass

    asyncio.run(main())


def test_fetch_that_is_cancelled_loses_nothing(bench):
    async def main():
        async with bench.open(cache=0) as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(20))
            found = []
            for patience in [0, 0, 0, 0.001, 0.002, 0, 0.005] * 20:
                waiting = asyncio.create_task(consumer.fetch())
                await asyncio.sleep(patience)
                if waiting.done():
                    found.append(waiting.result())
                waiting.cancel()
            found += await bench.take(consumer, 20 - len(found))
            assert [bench.times(batch)[0] for batch in found] == list(range(20))

    asyncio.run(main())


@pytest.mark.parametrize("cache", [0, 3000, 32_000_000])
def test_old_batches_come_from_the_store(bench, cache):
    async def main():
        async with bench.open(cache=cache) as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(200), size=500)
            found = await bench.take(consumer, 200)
            assert [bench.times(batch)[0] for batch in found] == list(range(200))
            await bench.put(bus, 200)
            assert bench.times(await consumer.fetch()) == [200]

    asyncio.run(main())


def test_fresh_first_sends_new_data_before_the_backlog(bench):
    async def main():
        async with bench.open() as bus:
            await bench.put(bus, *range(5))
            consumer = bus.consumer("lane", Order.FRESH_FIRST)
            first = await bench.take(consumer, 2)
            await bench.put(bus, 5, 6)
            rest = await bench.take(consumer, 5)
            assert [bench.times(batch)[0] for batch in first + rest] == [0, 1, 5, 6, 2, 3, 4]
            assert [consumer.live(batch) for batch in first + rest] == [False, False, True, True] + 3 * [False]
            assert consumer.backlog == 0

    asyncio.run(main())


def test_fresh_first_leaves_behind_what_is_no_longer_fresh(bench):
    async def main():
        now = NOW
        async with bench.open(clock=lambda: now) as bus:
            consumer = bus.consumer("lane", Order.FRESH_FIRST)
            await bench.put(bus, *range(5))
            (first,) = await bench.take(consumer, 1)
            now += 10 * 10**9
            await bench.put(bus, 5, 6)
            batches = await bench.take(consumer, 6)
            assert [bench.times(batch)[0] for batch in [first, *batches]] == [0, 5, 6, 1, 2, 3, 4]
            # The link is lost: what was in flight comes again, behind what is new.
            await bench.put(bus, 7, 8)
            await bench.take(consumer, 2, acknowledge=False)
            consumer.restart()
            await bench.put(bus, 9)
            again = await bench.take(consumer, 3)
            assert [bench.times(batch)[0] for batch in again] == [9, 7, 8]
            assert consumer.backlog == 0

    asyncio.run(main())


def test_fresh_first_reaches_back_into_the_store(bench):
    async def main():
        now = NOW
        async with bench.open(cache=5000, clock=lambda: now) as bus:
            consumer = bus.consumer("lane", Order.FRESH_FIRST)
            await bench.put(bus, *range(100), size=200)
            now += 10 * 10**9
            await bench.put(bus, 100, size=200)
            found = [bench.times(batch)[0] for batch in await bench.take(consumer, 101)]
            assert found == [100, *range(100)]

    asyncio.run(main())


def test_batches_acknowledged_out_of_order_are_deleted(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            await bench.put(bus, *range(6))
            batches = await bench.take(consumer, 6, acknowledge=False)
            for at in (5, 1, 3):
                consumer.acknowledge(batches[at].seq)
            await bench.eventually(lambda: bus.statistics.depth_batches == 3)
            late = bus.consumer("late")
            assert [bench.times(batch)[0] for batch in await bench.take(late, 3)] == [0, 2, 4]

    asyncio.run(main())


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


def test_schemas_are_known_by_their_content(bench):
    async def main():
        async with bench.open() as bus:
            schema = Schema("press", "fast", (Column(DataType.UINT16, ("a", "b")),))
            identity = bus.define(schema)
            assert bus.define(Schema("press", "fast", (Column(DataType.UINT16, ("a", "b")),))) == identity
            assert bus.schema(identity) == schema.encode()
            assert bus.schema(b"unknown!") is None

    asyncio.run(main())


def test_a_name_has_one_holder(bench):
    async def main():
        async with bench.open() as bus:
            first = bus.consumer("lane")
            await bench.put(bus, 1, 2)
            await bench.take(first, 1, acknowledge=False)
            waiting = asyncio.create_task(first.fetch())
            second = bus.consumer("lane")
            assert second.backlog == 2
            assert [bench.times(batch) for batch in await bench.take(second, 2)] == [[1], [2]]
            assert bench.times(await waiting) == [2] if waiting.done() and not waiting.exception() else True
            with pytest.raises(RuntimeError, match="opened again"):
                await first.fetch()

    asyncio.run(main())


def test_forget_lets_go_of_what_it_held(bench):
    async def main():
        async with bench.open() as bus:
            kept, gone = bus.consumer("kept"), bus.consumer("gone")
            await bench.put(bus, 1, 2)
            await bench.take(kept, 2)
            bus.forget("gone")
            bus.forget("never there")
            await bench.eventually(lambda: bus.statistics.depth_batches == 0)
            with pytest.raises(RuntimeError, match="forgotten"):
                await gone.fetch()

    asyncio.run(main())


def test_without_a_consumer_everything_is_held(bench):
    async def main():
        async with bench.open() as bus:
            await bench.put(bus, 1, 2, 3)
            await asyncio.sleep(0.3)
            await bench.put(bus, 4)
            assert bus.statistics.depth_batches == 4

    asyncio.run(main())


def test_a_closed_bus_takes_nothing(bench):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            waiting = asyncio.create_task(consumer.fetch())
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="closed"):
            bus.publish(bench.frame(1), 1)
        with pytest.raises(RuntimeError):
            await waiting

    asyncio.run(main())


def test_what_is_open_is_committed_at_the_end(bench):
    async def main():
        async with bench.open() as bus:
            bus.publish(bench.frame(1), 5)
        assert bus.statistics.points == 5

    asyncio.run(main())


def test_many_frames_at_full_speed_arrive_once_and_in_order(bench):
    async def main():
        async with bench.open(batch_bytes=20_000, linger="5ms") as bus:
            consumers = [bus.consumer("a"), bus.consumer("b", Order.FRESH_FIRST)]
            found = {"a": [], "b": []}

            async def consume(consumer):
                while len(found[consumer.name]) < 5000:
                    batch = await consumer.fetch()
                    found[consumer.name] += bench.times(batch)
                    consumer.acknowledge(batch.seq)

            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                for consumer in consumers:
                    tasks.create_task(consume(consumer))
                for number in range(5000):
                    bus.publish(bench.frame(number, 100), 1)
                    if not bus.has_room:
                        await bus.room()
                    if number % 50 == 0:
                        await asyncio.sleep(0)
            assert found["a"] == list(range(5000))
            assert sorted(found["b"]) == list(range(5000))

    asyncio.run(main())
