"""What a journal remembers, and what refuses a start."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gateway.bus import layout
from gateway.bus.store import State
from gateway.config.root import Order
from gateway.model.faults import ConfigFault
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType

NOW = 1_800_000_000 * 10**9


def crash(journal, copy):
    """What a kill would leave: the files as they are while the gateway runs."""
    copy.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        if (journal.folder / name).exists():
            shutil.copy(journal.folder / name, copy / name)
    return type(journal)(journal.kind, copy)


def test_it_goes_on_where_it_stopped(journal):
    async def main():
        async with journal.open() as bus:
            epoch = bus.epoch
            one, two = bus.consumer("one"), bus.consumer("two", Order.FRESH_FIRST)
            await journal.put(bus, *range(6))
            await journal.take(one, 2)
            out_of_order = await journal.take(two, 4, acknowledge=False)
            two.acknowledge(out_of_order[2].seq)
        async with journal.open() as bus:
            assert bus.epoch == epoch
            assert bus.stale_consumers() == ["one", "two"]
            one = bus.consumer("one")
            assert bus.stale_consumers() == ["two"]
            assert one.backlog == 4
            await bus.flush()  # the gap of the restart
            batches = await journal.take(one, 5)
            assert [batch.seq for batch in batches] == [3, 4, 5, 6, 7]
            two = bus.consumer("two")
            assert [batch.seq for batch in await journal.take(two, 6)] == [1, 2, 4, 5, 6, 7]
            assert (one.backlog, two.backlog) == (0, 0)

    asyncio.run(main())


def test_seq_goes_on_although_everything_was_delivered(journal):
    async def main():
        epochs, seqs = set(), []
        for _ in range(3):
            async with journal.open() as bus:
                consumer = bus.consumer("lane")
                await journal.put(bus, 1, 2)
                batches = await journal.drain(consumer)
                epochs.add(bus.epoch)
                seqs += [batch.seq for batch in batches]
        assert len(epochs) == 1
        assert seqs == list(range(1, len(seqs) + 1))
        with closing(layout.connect_read_only(journal.path)) as connection:
            assert connection.execute("SELECT count(*) FROM batch").fetchone() == (0,)

    asyncio.run(main())


def test_a_planned_stop_is_declared(journal):
    async def main():
        now = NOW
        async with journal.open(clock=lambda: now) as bus:
            assert bus.statistics.gaps == 0
            await journal.put(bus, now)
            now += 5 * 10**9
        now += 60 * 10**9
        async with journal.open(clock=lambda: now) as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, now)
            _, batch = await journal.take(consumer, 2)
            (gap,) = journal.gaps(batch)
            assert (gap.reason, gap.since, gap.until, gap.detail) == ("restart", NOW + 5 * 10**9, now, "planned")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("frame_time", "since"),
    [(NOW - 7, NOW - 7), (NOW - 10**18, NOW), (NOW + 10**12, NOW)],
    ids=["own clock", "a device that lives in the past", "a device that lives in the future"],
)
def test_a_kill_is_declared_from_the_last_moment_committed(journal, tmp_path, frame_time, since):
    async def main():
        now = NOW
        async with journal.open(clock=lambda: now) as bus:
            await journal.put(bus, frame_time)
            now += 3 * 10**9
            left = crash(journal, tmp_path / "copy")
        async with left.open(clock=lambda: now) as bus:
            consumer = bus.consumer("lane")
            await bus.flush()
            first, second = await left.take(consumer, 2)
            assert left.times(first) == [frame_time]
            (gap,) = left.gaps(second)
            assert (gap.reason, gap.since, gap.until, gap.detail) == ("restart", since, now, "")

    asyncio.run(main())


def test_what_was_committed_survives_a_crash_with_its_positions(journal, tmp_path):
    async def main():
        async with journal.open() as bus:
            consumer = bus.consumer("lane")
            await journal.put(bus, *range(5))
            await journal.take(consumer, 2)
            await journal.put(bus, 5)  # the position goes with the next commit
            bus.publish(journal.frame(6), 1)
            left = crash(journal, tmp_path / "copy")
            await journal.take(consumer, 1)
            await asyncio.sleep(0.3)  # … or follows within a second
            later = crash(journal, tmp_path / "later")
        for copy, expected in ((left, [2, 3, 4, 5]), (later, [3, 4, 5])):
            async with copy.open() as bus:
                consumer = bus.consumer("lane")
                assert consumer.backlog == len(expected)
                batches = await copy.take(consumer, len(expected))
                assert [copy.times(batch)[0] for batch in batches] == expected

    asyncio.run(main())


def test_schemas_survive_while_a_batch_may_need_them(journal):
    async def main():
        schema = Schema("press", "fast", (Column(DataType.UINT16, ("a",)),))
        async with journal.open() as bus:
            consumer = bus.consumer("lane")
            identity = bus.define(schema)
            bus.publish(journal.frame(1, schema=identity), 1)
        async with journal.open() as bus:
            assert bus.schema(identity) == schema.encode()
            consumer = bus.consumer("lane")
            await bus.flush()
            await journal.take(consumer, 2)
        async with journal.open() as bus:
            assert bus.schema(identity) is None

    asyncio.run(main())


def test_a_deleted_journal_begins_a_greater_epoch(journal):
    async def main():
        async with journal.open(clock=lambda: NOW) as bus:
            first = bus.epoch
        journal.path.unlink()
        async with journal.open(clock=lambda: NOW + 10**9) as bus:
            assert bus.epoch > first

    asyncio.run(main())


def test_the_backlog_is_counted_with_holes_in_the_journal(journal):
    async def main():
        async with journal.open(limit=40_000, when_full="thin_out") as bus:
            bus.consumer("lane")
            await journal.put(bus, *range(100), size=1000)
        async with journal.open() as bus:
            consumer = bus.consumer("lane")
            assert consumer.backlog == bus.statistics.depth_batches
            await bus.flush()
            count = consumer.backlog
            assert len(await journal.drain(consumer)) == count

    asyncio.run(main())


def test_stale_consumers_hold_batches_and_are_counted(journal):
    async def main():
        async with journal.open(limit=20_000) as bus:
            bus.consumer("old lane")
        async with journal.open(limit=20_000) as bus:
            consumer = bus.consumer("lane")
            await bus.flush()
            await journal.put(bus, *range(10), size=1000)
            await journal.drain(consumer)
            await asyncio.sleep(0.3)
            assert bus.statistics.depth_batches == 11
            await journal.put(bus, *range(20), size=1000)  # the limit forces out what the old lane never had
            assert bus.statistics.dropped_batches > 0
            old = bus.consumer("old lane")
            assert old.backlog == bus.statistics.depth_batches
            assert bus.stale_consumers() == []

    asyncio.run(main())


# What refuses a start


async def refused(bench, **settings):
    with pytest.raises(ConfigFault) as caught:
        async with bench.open(**settings):
            pass
    assert str(caught.value).startswith("bus.path: ")
    return caught.value


def test_a_journal_in_use(journal):
    async def main():
        async with journal.open() as bus:
            fault = await refused(journal)
            assert fault.code == "journal_in_use"
            assert str(os.getpid()) in str(fault)
            await journal.put(bus, 1)
        async with journal.open():
            pass

    asyncio.run(main())


def test_a_journal_in_use_by_another_process(journal):
    code = f"""
import asyncio, sys
from pathlib import Path
from gateway.bus import open_bus
from gateway.config.root import BusConfig
async def main():
    async with open_bus(BusConfig(path="journal.db"), "plant", Path({str(journal.folder)!r})):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        fault = asyncio.run(refused(journal))
        assert str(other.pid) in str(fault)
        other.communicate("")
    assert other.returncode == 0


def test_another_gateways_journal(journal):
    async def main():
        async with journal.open():
            pass
        fault = await refused(journal, gateway="other")
        assert fault.code == "journal_of_another_gateway"
        assert "'plant'" in str(fault)
        assert "'other'" in str(fault)
        async with journal.open():  # it was not touched
            pass

    asyncio.run(main())


def test_a_newer_journal(journal):
    async def main():
        async with journal.open():
            pass
        with closing(sqlite3.connect(journal.path)) as connection, connection:
            (value,) = connection.execute("SELECT value FROM state WHERE name = 'journal'").fetchone()
            state = msgspec.json.decode(value, type=State)
            state.format = 2
            value = msgspec.json.encode(state).decode()
            connection.execute("UPDATE state SET value = ?, crc = ?", (value, layout.state_crc("journal", value)))
            connection.execute("PRAGMA user_version = 2")
        fault = await refused(journal)
        assert fault.code == "journal_newer"
        assert journal.path.exists()

    asyncio.run(main())


def test_another_programs_database(journal):
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("CREATE TABLE invoices (number INTEGER)")
        connection.execute("INSERT INTO invoices VALUES (7)")
    before = journal.path.read_bytes()
    fault = asyncio.run(refused(journal))
    assert fault.code == "journal_foreign"
    assert journal.path.read_bytes() == before


def test_a_place_that_cannot_be_written(journal):
    (journal.folder / "file").write_text("not a folder")
    fault = asyncio.run(refused(journal, path=Path("file/journal.db")))
    assert fault.code == "journal_not_writable"
    fault = asyncio.run(refused(journal, path=Path("file/below/journal.db")))
    assert fault.code == "journal_not_writable"
    (journal.folder / "journal.db").mkdir()
    fault = asyncio.run(refused(journal))
    assert fault.code == "journal_not_writable"


def test_a_folder_that_is_read_only(journal, mounted):
    mounted("size=1m,ro", journal.folder)
    fault = asyncio.run(refused(journal))
    assert fault.code == "journal_not_writable"
    assert "write access" in str(fault)


def test_a_database_locked_by_a_shell(journal):
    async def main():
        async with journal.open():
            pass
        with closing(sqlite3.connect(journal.path, isolation_level=None)) as shell:
            shell.execute("PRAGMA locking_mode = exclusive")
            shell.execute("BEGIN EXCLUSIVE")
            fault = await refused(journal)
            assert fault.code == "journal_in_use"

    asyncio.run(main())
