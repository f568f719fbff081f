"""Damage never refuses a start: what is whole is delivered, what is not is declared."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from gateway.bus import layout
from gateway.config.root import Order
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType

COUNT = 12
SIZE = 10_000
LEAF_ROWS = 8
"""A leaf page holds no more rows of this size."""


async def fill(journal, count=COUNT, size=SIZE):
    """A journal with so many batches, of which a consumer has the first two: (epoch, body by seq)."""
    async with journal.open(cache=0) as bus:
        consumer = bus.consumer("lane")
        bus.define(Schema("press", "fast", (Column(DataType.UINT16, ("a", "b")),)))
        await journal.put(bus, *range(count), size=size, points=3)
        batches = await journal.take(consumer, count, acknowledge=False)
        for batch in batches[:2]:
            consumer.acknowledge(batch.seq)
        return bus.epoch, {batch.seq: batch.body for batch in batches}


async def harvest(journal, order=Order.OLDEST_FIRST, **settings):
    """All that comes out of a journal: (bus, batches with frames, gaps)."""
    async with journal.open(**settings) as bus:
        consumer = bus.consumer("lane", order)
        await bus.flush()
        batches = await journal.drain(consumer)
        await journal.put(bus, 10**6)
        batches += await journal.drain(consumer)
        # Every damaged row was given up by now; its gap follows.
        await bus.flush()
        batches += await journal.drain(consumer)
        assert journal.times(max(batches, key=lambda each: (each.epoch, each.seq if each.frames else 0))) == [10**6]
    declared = [gap for batch in batches for gap in journal.gaps(batch)]
    return bus, [batch for batch in batches if batch.frames and batch.first_time < 10**6], declared


def check(epoch, bodies, batches, declared, least, acknowledged=frozenset({1, 2})):
    """Nothing false is delivered, and nothing is missing without a word; what was acknowledged is not missed."""
    for batch in batches:
        assert batch.epoch == epoch
        assert bodies[batch.seq] == batch.body
    delivered = {batch.seq for batch in batches}
    missing = set(bodies) - delivered - acknowledged
    assert len(missing) <= len(bodies) - len(acknowledged) - least
    corrupt = [gap for gap in declared if gap.reason == "corruption"]
    if missing:
        assert corrupt
    named = {seq for gap in corrupt if gap.first_seq for seq in range(gap.first_seq, gap.last_seq + 1)}
    assert named <= set(bodies) - acknowledged
    if named:
        assert missing <= named
    return missing, corrupt


def flip(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x41]))


def test_a_bit_flip_in_any_page(journal, tmp_path):
    async def main():
        epoch, bodies = await fill(journal)
        size = journal.path.stat().st_size
        assert size % layout.PAGE == 0
        rebuilt = set_aside = untouched = 0
        for page in range(size // layout.PAGE):
            for within in (0, 5, layout.PAGE - 1):
                folder = tmp_path / f"{page}-{within}"
                folder.mkdir()
                copy = type(journal)("journal", folder)
                shutil.copy(journal.path, copy.path)
                flip(copy.path, page * layout.PAGE + within)
                bus, batches, declared = await harvest(copy)
                missing, corrupt = check(epoch, bodies, batches, declared, len(bodies) - 2 - LEAF_ROWS)
                assert corrupt or not missing
                if bus.epoch != epoch:
                    rebuilt += 1
                    assert bus.epoch > epoch
                    assert list(folder.glob("journal.db.damaged-*"))
                    assert bus.statistics.quarantined
                    assert corrupt
                elif corrupt:
                    set_aside += 1
                    assert bus.statistics.quarantined == len(missing)
                    with closing(sqlite3.connect(copy.path)) as connection:
                        assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (len(missing),)
                else:
                    untouched += 1
                shutil.rmtree(folder)
        assert rebuilt > 10
        assert set_aside > 10

    asyncio.run(main())


@pytest.mark.parametrize("keep", [0, 1, 100, 4096, 3 * layout.PAGE, 9 * layout.PAGE + 17, 20 * layout.PAGE])
def test_a_file_that_was_cut(journal, keep):
    async def main():
        epoch, bodies = await fill(journal)
        os.truncate(journal.path, keep)
        bus, batches, declared = await harvest(journal)
        assert bus.epoch >= epoch
        if keep == 0:  # there is nothing left to tell an empty file from a new one
            assert (batches, declared) == ([], [])
            return
        assert bus.epoch > epoch
        missing, corrupt = check(epoch, bodies, batches, declared, 3 if keep == 20 * layout.PAGE else 0)
        assert missing
        assert corrupt

    asyncio.run(main())


@pytest.mark.parametrize("content", [b"not a database at all", os.urandom(100_000), b"\0" * 50_000])
def test_a_file_that_is_something_else(journal, content):
    async def main():
        journal.path.write_bytes(content)
        _, batches, declared = await harvest(journal)
        assert batches == []
        assert [gap.reason for gap in declared] == ["corruption"] or "corruption" in {gap.reason for gap in declared}
        (aside,) = journal.folder.glob("journal.db.damaged-*")
        assert aside.read_bytes() == content

    asyncio.run(main())


def test_broken_files_do_not_pile_up(journal):
    async def main():
        epochs = []
        for turn in range(6):
            journal.path.write_bytes(b"rubbish %d" % turn)
            async with journal.open() as bus:
                epochs.append(bus.epoch)
        assert epochs == sorted(set(epochs))
        kept = sorted(each.read_bytes() for each in journal.folder.glob("journal.db.damaged-*"))
        assert kept == [b"rubbish 3", b"rubbish 4", b"rubbish 5"]

    asyncio.run(main())


async def crashed(journal, folder, count=COUNT):
    """A journal whose batches are still in its write-ahead log: (copy, epoch, bodies)."""
    folder.mkdir()
    async with journal.open(cache=0) as bus:
        consumer = bus.consumer("lane")
        await journal.put(bus, *range(count), size=SIZE, points=3)
        batches = await journal.take(consumer, count, acknowledge=False)
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(journal.folder / name, folder / name)
        return type(journal)("journal", folder), bus.epoch, {batch.seq: batch.body for batch in batches}


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.97])
def test_a_flip_in_the_write_ahead_log_does_not_hide_what_follows(journal, tmp_path, part):
    """SQLite stops at the first bad frame: batches behind it would vanish and their seqs be given out again."""

    async def main():
        copy, epoch, bodies = await crashed(journal, tmp_path / "copy")
        log = tmp_path / "copy" / "journal.db-wal"
        frame = layout.PAGE + 24
        count = (log.stat().st_size - 32) // frame
        flip(log, 32 + int(part * count) * frame + 24 + layout.PAGE // 2 if part else 1)
        bus, batches, declared = await harvest(copy)
        assert bus.epoch > epoch
        _, corrupt = check(epoch, bodies, batches, declared, COUNT - 2 - LEAF_ROWS, acknowledged=frozenset())
        assert corrupt

    asyncio.run(main())


def test_a_torn_tail_of_the_write_ahead_log_is_no_damage(journal, tmp_path):
    async def main():
        copy, epoch, bodies = await crashed(journal, tmp_path / "copy")
        log = tmp_path / "copy" / "journal.db-wal"
        os.truncate(log, log.stat().st_size - 3 * layout.PAGE)
        bus, batches, declared = await harvest(copy)
        assert bus.epoch == epoch
        assert [gap.reason for gap in declared] == ["restart"]
        assert {batch.seq: batch.body for batch in batches} == {seq: bodies[seq] for seq in range(1, COUNT)}

    asyncio.run(main())


def test_a_last_transaction_torn_by_a_power_cut(journal, tmp_path):
    """Its end reached the disk and its beginning did not: it was never committed, but its number may not come again."""

    async def main():
        copy, epoch, bodies = await crashed(journal, tmp_path / "copy")
        log = tmp_path / "copy" / "journal.db-wal"
        with log.open("r+b") as file:
            file.seek(-3 * (layout.PAGE + 24) + 24, os.SEEK_END)
            file.write(bytes(layout.PAGE))
        bus, batches, declared = await harvest(copy)
        assert bus.epoch > epoch
        assert [gap.reason for gap in declared] == ["corruption", "restart"]
        assert {batch.seq: batch.body for batch in batches} == {seq: bodies[seq] for seq in range(1, COUNT)}
        assert not list(copy.folder.glob("*.damaged-*"))
        assert bus.statistics.quarantined == 0

    asyncio.run(main())


def test_a_journal_of_which_only_the_log_is_left(journal, tmp_path):
    async def main():
        copy, epoch, bodies = await crashed(journal, tmp_path / "copy")
        copy.path.unlink()
        bus, batches, declared = await harvest(copy)
        assert bus.epoch > epoch
        check(epoch, bodies, batches, declared, COUNT - 2)
        assert len(batches) == COUNT

    asyncio.run(main())


def test_a_repair_that_was_interrupted_is_finished(journal):
    async def main():
        epoch, bodies = await fill(journal)
        journal.path.rename(journal.folder / "journal.db.new")
        (journal.folder / f"journal.db.damaged-{epoch - 1}").write_bytes(b"the broken one")
        (journal.folder / "journal.db-wal").write_bytes(b"its log")
        bus, batches, _ = await harvest(journal)
        assert bus.epoch == epoch
        assert len(batches) == len(bodies) - 2
        assert (journal.folder / f"journal.db.damaged-{epoch - 1}-wal").read_bytes() == b"its log"

    asyncio.run(main())


def test_an_abandoned_repair_is_begun_again(journal):
    async def main():
        epoch, bodies = await fill(journal)
        (journal.folder / "journal.db.new").write_bytes(b"half")
        flip(journal.path, 0)
        bus, batches, declared = await harvest(journal)
        assert bus.epoch > epoch
        check(epoch, bodies, batches, declared, COUNT - 2)
        assert not (journal.folder / "journal.db.new").exists()

    asyncio.run(main())


@pytest.mark.parametrize("order", list(Order))
def test_old_epochs_come_first_and_are_never_mixed(journal, order):
    """A reader that follows one epoch after the other must not meet an old one again."""

    async def main():
        epoch, _ = await fill(journal)
        flip(journal.path, 0)
        async with journal.open() as bus:
            consumer = bus.consumer("lane", order)
            await journal.put(bus, 100, 101)
            held = await journal.take(consumer, COUNT - 2, acknowledge=False)
            assert [(batch.epoch, batch.seq) for batch in held] == [(epoch, seq) for seq in range(3, COUNT + 1)]
            async with journal.nothing_to_fetch(consumer):
                for batch in held[:-1]:
                    consumer.acknowledge(batch.seq)
                await asyncio.sleep(0.05)
            consumer.acknowledge(held[-1].seq)
            new = await journal.take(consumer, 2)
            assert [(batch.epoch, batch.seq) for batch in new] == [(bus.epoch, seq) for seq in (1, 2)]
            assert {gap.reason for gap in journal.gaps(new[0])} == {"corruption", "restart"}
            assert consumer.backlog == 0
        async with journal.open() as again:
            assert again.epoch == bus.epoch

    asyncio.run(main())


def test_salvaged_batches_given_up_are_named_by_their_own_epoch(journal):
    async def main():
        epoch, _ = await fill(journal)
        flip(journal.path, 0)
        async with journal.open(limit=60_000) as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, *range(3), size=SIZE)
            batches = await journal.drain(consumer)
            lost = [gap for batch in batches for gap in journal.gaps(batch) if gap.reason == "overflow"]
            assert {gap.epoch for gap in lost} == {epoch}
            assert min(gap.first_seq for gap in lost) == 3
            delivered = {batch.seq for batch in batches if batch.epoch == epoch}
            named = {seq for gap in lost for seq in range(gap.first_seq, gap.last_seq + 1)}
            assert delivered | named == set(range(3, COUNT + 1))
            assert bus.epoch > epoch

    asyncio.run(main())
