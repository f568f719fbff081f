"""A disk that is full, or that refuses to write: nothing crashes, what is given up is declared, and it recovers."""

import asyncio
import sqlite3
from contextlib import closing, suppress

import pytest

from gateway.bus import layout, ledger
from gateway.bus.rate import Rate
from gateway.bus.reserve import Reserve
from gateway.bus.retention import MAX_CARRIED, merge
from gateway.model.batch import Gap
from gateway.model.faults import ConfigFault

SIZE = 20_000


def fill(hog):
    """Take every byte that the disk has."""
    with hog.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def flood(journal, bus, numbers, patience=0.1):
    """Publish without ever waiting for a commit."""
    for number in numbers:
        bus.publish(journal.frame(number, SIZE), 1)
        if number % 10 == 9:
            await asyncio.sleep(patience / 10)
    await asyncio.sleep(patience)


async def account(journal, bus, consumer, total, seconds=30):
    """Every number is delivered or declared, exactly once: (delivered, batches)."""
    delivered, batches, declared = [], [], 0
    async with asyncio.timeout(seconds):
        while len(delivered) + declared < total:
            (batch,) = await journal.take(consumer, 1)
            batches.append(batch)
            delivered += journal.times(batch)
            declared += sum(gap.count for gap in journal.gaps(batch) if gap.reason == "overflow")
    assert len(delivered) + declared == total
    assert len(set(delivered)) == len(delivered)
    return delivered, batches


def limit_pages(bus, pages):
    """What SQLite then does is what it does on a full disk."""
    bus._store.most_pages = pages
    bus._store.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_gives_up_the_oldest(journal):
    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE) as bus:
            consumer = bus.consumer("lane")
            limit_pages(bus, 60)
            await flood(journal, bus, range(100), 0.5)
            assert bus.statistics.dropped_batches > 50
            assert bus.statistics.depth_bytes < 60 * layout.PAGE
            delivered, _ = await account(journal, bus, consumer, 100)
            assert delivered[-1] == 99
            limit_pages(bus, 10_000)
            await flood(journal, bus, range(100, 140), 0.5)
            delivered, _ = await account(journal, bus, consumer, 40)
            assert delivered == list(range(100, 140))
            assert not bus.statistics.full

    asyncio.run(main())


def test_a_full_disk_stops_the_readers(journal):
    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE, when_full="stop_reading") as bus:
            consumer = bus.consumer("lane")
            limit_pages(bus, 40)
            number = 0
            async with asyncio.timeout(20):
                while bus.has_room:
                    await flood(journal, bus, [number], 0.01)
                    number += 1
            assert bus.statistics.full
            assert bus.statistics.dropped_batches == 0
            waiting = asyncio.create_task(bus.room())
            found = await journal.take(consumer, 10)
            await asyncio.wait_for(waiting, 10)  # room inside the file: what was delivered was deleted
            limit_pages(bus, 10_000)
            await asyncio.wait_for(bus.flush(), 10)
            found += await journal.drain(consumer)
            assert [time for batch in found for time in journal.times(batch)] == list(range(number))

    asyncio.run(main())


def test_a_tmpfs_that_runs_full(journal, mounted):
    mounted("size=4m", journal.folder)

    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE) as bus:
            consumer = bus.consumer("lane")
            await flood(journal, bus, range(500), 0.3)
            assert bus.statistics.dropped_batches > 200
            assert bus.statistics.depth_bytes > 1_500_000
            assert bus.statistics.full
            delivered, _ = await account(journal, bus, consumer, 500)
            assert delivered[-1] == 499
            assert len(delivered) > 80
        async with journal.open() as again:
            assert again.epoch == bus.epoch

    asyncio.run(main())


def test_a_disk_that_another_program_has_filled(journal, mounted):
    mounted("size=6m", journal.folder)
    hog = journal.folder / "hog"

    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE, limit=4_000_000) as bus:
            consumer = bus.consumer("lane")
            await flood(journal, bus, range(30), 0.3)
            fill(hog)
            await flood(journal, bus, range(30, 130), 0.4)
            # The reserve was given up, and old batches with it: the newest go on to be committed.
            delivered, _ = await account(journal, bus, consumer, 130)
            assert delivered[-1] == 129
            hog.unlink()
            await asyncio.sleep(0.3)
            await flood(journal, bus, range(130, 160), 0.3)
            delivered, _ = await account(journal, bus, consumer, 30)
            assert delivered == list(range(130, 160))
            await asyncio.sleep(0.3)
            await journal.put(bus, 160)
            assert (journal.folder / "journal.db.reserve").exists()
            assert not bus.statistics.full

    asyncio.run(main())


def test_a_start_on_a_full_disk(journal, mounted):
    mounted("size=3m", journal.folder)
    hog, reserve = journal.folder / "hog", journal.folder / "journal.db.reserve"

    async def main():
        async with journal.open() as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, *range(10), size=SIZE)
        assert reserve.exists()
        fill(hog)
        async with journal.open(when_full="stop_reading", linger="5ms") as bus:
            consumer = bus.consumer("lane")
            found = await journal.take(consumer, 10)
            assert [journal.times(batch)[0] for batch in found] == list(range(10))
            hog.unlink()
            await journal.put(bus, 11)
            assert journal.times((await journal.drain(consumer))[-1]) == [11]
        reserve.unlink(missing_ok=True)
        fill(hog)
        with pytest.raises(ConfigFault, match="free some space") as caught:
            async with journal.open():
                pass
        assert caught.value.code == "disk_full"

    asyncio.run(main())


def test_a_store_that_cannot_be_written_for_a_while_loses_nothing(journal):
    async def main():
        async with journal.open(linger="5ms", batch_bytes=SIZE) as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, 0)
            with closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # another program holds the file
                for number in range(1, 20):
                    bus.publish(journal.frame(number, SIZE), 1)
                assert not bus.has_room
                await journal.eventually(lambda: bus.statistics.full)
                other.execute("ROLLBACK")
            found = []
            while len(found) < 20:
                found += journal.times((await journal.take(consumer, 1))[0])
            assert found == list(range(20))
            assert bus.statistics.dropped_batches == 0
            await journal.eventually(lambda: not bus.statistics.full)

    asyncio.run(main())


def test_a_stop_that_cannot_commit_ends_all_the_same(journal):
    async def main():
        async with journal.open() as bus:
            await journal.put(bus, 1)
            other = sqlite3.connect(journal.path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            bus.publish(journal.frame(2), 1)
        other.execute("ROLLBACK")
        other.close()
        async with journal.open() as bus:
            consumer = bus.consumer("lane")
            await bus.flush()
            batches = await journal.drain(consumer)
            assert [time for batch in batches for time in journal.times(batch)] == [1]
            (gap,) = [gap for batch in batches for gap in journal.gaps(batch)]
            assert (gap.reason, gap.detail) == ("restart", "")  # not a planned one: something was lost

    asyncio.run(main())


@pytest.mark.parametrize("when_full", ["drop_oldest", "stop_reading"])
def test_the_disk_guard_stops_growth_while_the_disk_is_low(journal, monkeypatch, when_full):
    monkeypatch.setattr(ledger, "FLOOR", 100_000)
    monkeypatch.setattr(ledger, "GUARD_SECONDS", 0.0)

    async def main():
        async with journal.open(min_free="1000TB", when_full=when_full, batch_bytes=SIZE) as bus:
            consumer = bus.consumer("lane")
            count = 0
            while count < 40 and bus.has_room:
                await journal.put(bus, count, size=SIZE)
                count += 1
            assert bus.statistics.full
            assert bus.statistics.disk_free > 0
            assert bus.statistics.depth_bytes <= 140_000
            assert journal.path.stat().st_size < 400_000
            assert (count == 40) == (when_full == "drop_oldest")
            await account(journal, bus, consumer, count)

    asyncio.run(main())


def test_a_file_shrinks_after_an_outage(journal):
    async def main():
        async with journal.open(batch_bytes=1_000_000) as bus:
            consumer = bus.consumer("lane")
            for number in range(60):
                bus.publish(journal.frame(number, 500_000), 1)
                if number % 10 == 9:
                    await bus.flush()
            await journal.drain(consumer)
            assert journal.path.stat().st_size > 20_000_000
            async with asyncio.timeout(20):  # the file is made smaller between commits, step by step
                while journal.path.stat().st_size >= 20_000_000:
                    await journal.put(bus, 1)
                    await journal.drain(consumer)

    asyncio.run(main())


def test_the_reserve_is_taken_only_where_there_is_space(tmp_path):
    reserve = Reserve(tmp_path / "journal.db", 100_000)
    reserve.take()
    assert reserve.held
    assert (tmp_path / "journal.db.reserve").stat().st_blocks * 512 >= 100_000
    reserve.take()
    reserve.give()
    reserve.give()
    assert not reserve.held
    Reserve(tmp_path / "journal.db", 1 << 60).take()
    assert not reserve.held


def test_hours_left_follow_the_rate():
    rate = Rate(0.0)
    assert rate.hours(1000, 5.0) is None
    for second in range(1, 61):
        rate.add(1000, float(second))
    assert rate.hours(3_600_000, 60.0) == pytest.approx(1.0)
    for second in range(61, 2000):
        rate.add(2000, float(second))
    assert rate.hours(7_200_000, 2000.0) == pytest.approx(1.0, rel=0.01)
    assert rate.hours(-5, 2000.0) == 0
    rate.add(7, 1999.5)
    assert Rate(0.0).hours(1, 100.0) is None


def test_hours_left_are_told(bench):
    async def main():
        async with bench.open(limit=10_000_000) as bus:
            await bench.put(bus, 0, size=1000)
            assert bus.statistics.hours_left is None
            bus._rate = Rate(bus._rate._started - 100)  # as if a hundred seconds had passed
            await bench.put(bus, 1, size=1000)
            assert bus.statistics.hours_left == pytest.approx(10_000_000 / 10 / 3600, rel=0.2)

    asyncio.run(main())


def test_gaps_that_are_carried_on_stay_few():
    def overflow(first, last, detail=""):
        return Gap("overflow", first, last, count=1, first_seq=first, last_seq=last, epoch=7, detail=detail)

    assert merge([overflow(4, 6), overflow(1, 3), overflow(9, 9)]) == [
        Gap("overflow", 1, 6, count=2, first_seq=1, last_seq=6, epoch=7),
        overflow(9, 9),
    ]
    thinned = [overflow(at, at, "every second batch of an interval") for at in (2, 4, 8)]
    assert [(gap.first_seq, gap.last_seq, gap.count) for gap in merge(thinned)] == [(2, 8, 3)]
    outages = [Gap("outage", at, at + 1, device=f"d{at % 3}", count=1) for at in range(MAX_CARRIED + 2)]
    assert merge(outages[:50]) == sorted(outages[:50], key=lambda gap: gap.since)
    assert {(gap.device, gap.count) for gap in merge(outages)} == {("d0", 334), ("d1", 334), ("d2", 334)}
