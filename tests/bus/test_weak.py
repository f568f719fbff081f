"""A journal that does not sync each commit: after a power cut the newest batches may be gone, and were seen before."""

import asyncio
import shutil

import pytest


def disk_after(journal, folder):
    """What a disk holds after a cut at this moment, as another journal."""
    folder.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(journal.folder / name, folder / name)
    return type(journal)("journal", folder)


@pytest.mark.parametrize(("synchronous", "renewed"), [("full", False), ("normal", True), ("off", True)])
def test_a_number_that_was_seen_is_never_given_to_another_batch(journal, tmp_path, synchronous, renewed):
    async def main():
        async with journal.open(synchronous=synchronous) as bus:
            await journal.put(bus, 0, 1)
            cut = disk_after(journal, tmp_path / "cut")
            await journal.put(bus, 2, 3)  # committed and seen, but not synced: not on that disk
            epoch = bus.epoch
        async with cut.open(synchronous="full") as bus:
            consumer = bus.consumer("lane")
            await bus.flush()
            await cut.put(bus, 4)
            old, second, restart, new = await cut.take(consumer, 4)
            assert [(each.epoch, each.seq) for each in (old, second)] == [(epoch, 1), (epoch, 2)]
            assert [gap.reason for gap in cut.gaps(restart)] == ["restart"]
            assert (bus.epoch > epoch) == renewed
            assert (new.epoch, new.seq) == ((bus.epoch, 2) if renewed else (epoch, 4))

    asyncio.run(main())


def test_an_orderly_stop_keeps_the_epoch(journal):
    async def main():
        async with journal.open(synchronous="normal") as bus:
            await journal.put(bus, 0)
            epoch = bus.epoch
        async with journal.open(synchronous="normal") as bus:
            assert bus.epoch == epoch

    asyncio.run(main())


def test_a_kill_before_the_first_commit_is_a_gap_since_the_start(journal, tmp_path):
    start = 1_700_000_000 * 10**9

    async def main():
        async with journal.open(clock=lambda: start):
            cut = disk_after(journal, tmp_path / "cut")
        async with cut.open(clock=lambda: start + 5 * 10**9) as bus:
            await bus.flush()
            (batch,) = await cut.take(bus.consumer("lane"), 1)
            (gap,) = cut.gaps(batch)
            assert (gap.reason, gap.since, gap.until) == ("restart", start, start + 5 * 10**9)

    asyncio.run(main())


def test_a_write_ahead_log_that_was_removed_is_a_gap_and_a_new_epoch(journal, tmp_path):
    start = 1_700_000_000 * 10**9

    async def main():
        async with journal.open(clock=lambda: start) as bus:
            await journal.put(bus, start + 1, start + 2)
            cut = disk_after(journal, tmp_path / "cut")
            epoch = bus.epoch
        (tmp_path / "cut" / "journal.db-wal").unlink()
        async with cut.open(clock=lambda: start + 5 * 10**9) as bus:
            await bus.flush()
            (batch,) = await cut.take(bus.consumer("lane"), 1)
            (gap,) = cut.gaps(batch)
            assert bus.epoch > epoch
            assert (gap.reason, gap.since, gap.until) == ("restart", start, start + 5 * 10**9)

    asyncio.run(main())
