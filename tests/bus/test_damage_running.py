"""Damage that is met while the gateway runs: a batch, a chain of pages, the whole structure, the writer itself."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from gateway.bus import journal as journal_module
from gateway.bus import layout
from gateway.bus.protocol import BusFailed
from gateway.config.root import Order

SIZE = 10_000


def test_a_row_that_is_damaged_while_the_gateway_runs(journal):
    async def main():
        async with journal.open(cache=0) as bus:
            consumer, other = bus.consumer("lane"), bus.consumer("other")
            await journal.put(bus, *range(5), size=SIZE)
            with closing(sqlite3.connect(journal.path)) as saboteur, saboteur:
                saboteur.execute("UPDATE batch SET body = zeroblob(100) WHERE place = 2")
                saboteur.execute("UPDATE batch SET frames = 'many', points = 'few' WHERE place = 4")
            batches = await journal.take(consumer, 3)
            assert [batch.seq for batch in batches] == [1, 3, 5]
            (batch,) = await journal.take(consumer, 1)
            declared = journal.gaps(batch)
            if len(declared) == 1:
                declared += journal.gaps((await journal.take(consumer, 1))[0])
            assert [(gap.reason, gap.first_seq, gap.last_seq) for gap in declared] == [
                ("corruption", 2, 2),
                ("corruption", 4, 4),
            ]
            assert bus.statistics.quarantined == 2
            assert consumer.backlog == 0
            assert [batch.seq for batch in await journal.drain(other)][:3] == [1, 3, 5]

    asyncio.run(main())


def test_a_structure_that_breaks_while_the_gateway_runs(journal):
    """Reading, or committing, meets a broken page: the journal is begun anew under way, and nothing whole is lost."""

    async def main():
        async with journal.open(cache=0) as bus:
            epoch = bus.epoch
            consumer = bus.consumer("lane")
            await journal.put(bus, *range(40), size=SIZE)
            await journal.take(consumer, 1)
            with closing(sqlite3.connect(journal.path)) as shell:
                shell.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                (root,) = shell.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'batch'").fetchone()
            with journal.path.open("r+b") as file:
                file.seek((root - 1) * layout.PAGE)
                file.write(b"\xff" * layout.PAGE)
            # The pages of the connections' own caches are still whole: make them look again.
            with closing(sqlite3.connect(journal.path)) as shell, shell:
                shell.execute("UPDATE state SET crc = crc WHERE name = 'lane'")
                shell.execute("CREATE TABLE push (x)")
            await journal.put(bus, 40, size=SIZE)
            found = await journal.drain(consumer)
            await journal.eventually(lambda: bus.epoch > epoch)
            found += await journal.drain(consumer)
            await journal.put(bus, 41)
            found += await journal.drain(consumer)
            numbers = [time for batch in found for time in journal.times(batch)]
            assert sorted(set(numbers)) == list(range(1, 42))
            assert bus.statistics.quarantined == 1
            assert "corruption" in {gap.reason for batch in found for gap in journal.gaps(batch)}
            await bus.flush()
        async with journal.open() as again:
            assert again.epoch == bus.epoch

    asyncio.run(main())


async def break_a_chain(journal, bus, number):
    """Break the pages that a body goes on in, so that only who reads it notices."""
    (row,) = bus._store.read(number, number, 1, 1)
    with closing(sqlite3.connect(journal.path)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = journal.path.read_bytes()
    page = data.index(row.batch.body[15_000:15_020]) // layout.PAGE  # not the last: another follows
    with journal.path.open("r+b") as file:
        file.seek(page * layout.PAGE)
        file.write(b"\xff\xff\xff\xff")
    bus._store._reader.close()  # with the pages that it remembers
    bus._store._reader = None


def test_a_reader_that_meets_a_broken_chain(journal):
    async def main():
        async with journal.open(cache=0) as bus:
            epoch = bus.epoch
            await journal.put(bus, *range(10), size=3 * SIZE)
            consumers = [bus.consumer("one"), bus.consumer("two", Order.FRESH_FIRST)]
            await break_a_chain(journal, bus, 4)
            for consumer in consumers:
                batches = await journal.take(consumer, 9)
                assert [journal.times(batch)[0] for batch in batches] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
            assert bus.epoch > epoch
            assert bus.statistics.quarantined == 1
            (batch,) = await journal.take(consumers[0], 1)
            (gap,) = journal.gaps(batch)
            assert (gap.reason, gap.epoch, gap.first_seq, gap.last_seq) == ("corruption", epoch, 4, 4)
            assert len(list(journal.folder.glob("*.damaged-*[0-9]"))) == 1

    asyncio.run(main())


def test_a_repair_under_way_that_fails_is_tried_again(journal, monkeypatch):
    attempts = []

    def remake(*arguments):
        attempts.append(arguments)
        if len(attempts) == 1:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    real = journal_module.remake
    monkeypatch.setattr(journal_module, "remake", remake)

    async def main():
        async with journal.open(cache=0) as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, *range(10), size=3 * SIZE)
            await break_a_chain(journal, bus, 4)
            assert len(await journal.take(consumer, 9)) == 9
            assert len(attempts) == 2

    asyncio.run(main())


def test_a_writer_that_fails_says_so_to_everybody(bench, monkeypatch):
    async def main():
        async with bench.open() as bus:
            consumer = bus.consumer("lane")
            waiting = asyncio.create_task(consumer.fetch())
            await asyncio.sleep(0.05)
            monkeypatch.setattr(bus._store, "apply", lambda change: 1 / 0)
            bus.publish(bench.frame(1), 1)
            with pytest.raises(BusFailed, match="failed"):
                await bus.flush()
            for work in (bus.flush(), consumer.fetch(), waiting):
                with pytest.raises(BusFailed, match="failed"):
                    await work

    asyncio.run(main())
