"""`xingsha journal`: inspect, verify and export, on whole and broken files, also while a gateway holds them."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from gateway.bus.inspection import Journal
from gateway.cli.app import main
from gateway.model.batch import Gap, decode_body
from gateway.model.frame import Frame, FrameFlag
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType
from tests.bus.test_damage import flip

PRESS = Schema(
    "press",
    "fast",
    (
        Column(
            DataType.UINT16, ("力", "stroke"), multiply=(1.0, 1.0), divide=(10.0, 1.0), add=(0.0, 0.0), units=("kN", "")
        ),
        Column(DataType.FLOAT64, ("level",)),
    ),
)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["journal", *map(str, arguments)])
    return ended.value.code or 0


async def fill(journal, bus):
    """Four batches, of which the lane has two, out of order."""
    identity = bus.define(PRESS)
    lane = bus.consumer("云")
    bus.consumer("other")
    nan = b"\0\0\0\0\0\0\xf8\x7f"
    for number in range(3):
        bus.publish(Frame(identity, 1_800_000_000_000_000_000 + number, [b"\x7b\0\x07\0", nan], None, b"\0\x40\0"), 3)
        await bus.flush()
    bus.publish(Frame(identity, 7, [], b"\0\0\x02\0", None, None, FrameFlag.CONFIRMED), 0)
    bus.declare(Gap("outage", 5, 6, device="press", count=2))
    await bus.flush()
    batches = await journal.take(lane, 4, acknowledge=False)
    lane.acknowledge(batches[0].seq)
    lane.acknowledge(batches[2].seq)
    return batches


@pytest.fixture
def filled(journal):
    async def main():
        async with journal.open() as bus:
            await fill(journal, bus)
            journal.epoch = bus.epoch

    asyncio.run(main())
    return journal


def test_inspect_for_programs(filled, capsys):
    assert run("inspect", filled.path, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["gateway"] == "plant"
    assert summary["epoch"] == filled.epoch
    assert (summary["batches"], summary["frames"], summary["points"], summary["gaps"]) == (4, 4, 9, 1)
    assert (summary["first"], summary["last"], summary["next_seq"]) == ([filled.epoch, 1], [filled.epoch, 4], 5)
    assert (summary["running"], summary["stopped"] > 0) == (False, True)
    assert (summary["schemas"], summary["set_aside"], summary["kept_aside"]) == (1, 0, [])
    assert summary["consumers"] == [
        {"name": "other", "epoch": filled.epoch, "seq": 0, "backlog": 4, "ahead": []},
        {"name": "云", "epoch": filled.epoch, "seq": 1, "backlog": 2, "ahead": [[3, 3]]},
    ]


def test_inspect_for_people(filled, capsys):
    assert run("inspect", filled.path) == 0
    text = capsys.readouterr().out
    assert "4 batches, 4 frames, 9 values, 1 gaps" in text
    assert "2027-01-15" in text
    assert "云" in text
    assert "stopped 20" in text


def test_inspect_an_empty_one(journal, capsys):
    async def main():
        async with journal.open():
            pass

    asyncio.run(main())
    assert run("inspect", journal.path) == 0
    assert "no consumers" in capsys.readouterr().out
    assert run("verify", journal.path) == 0


def test_while_the_gateway_runs(journal, capsys):
    async def main():
        async with journal.open() as bus:
            await fill(journal, bus)
            for verb in ("inspect", "verify", "export"):
                assert await asyncio.to_thread(run, verb, journal.path) == 0
            await journal.put(bus, 1)
            with Journal(journal.path) as open_journal:
                assert open_journal.running
                assert open_journal.summary().batches == 5
                rows = open_journal.rows()
                assert next(rows).batch.seq == 1
                for number in range(20):  # a look that takes its time holds nothing up
                    await journal.put(bus, number)
                assert [row.batch.seq for row in rows] == [2, 3, 4, 5]

    asyncio.run(main())
    assert "in use" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written(filled, mounted, capsys, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted("size=2m", folder)
    shutil.copy(filled.path, folder)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    assert run("inspect", folder / "journal.db") == 0
    assert run("verify", folder / "journal.db") == 0
    assert "4 batches whole" in capsys.readouterr().out


def test_export_of_rows(filled, capsys, tmp_path):
    assert run("export", filled.path) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 9 + 2
    of = {"epoch": filled.epoch, "seq": 1, "device": "press", "group": "fast"}
    time = 1_800_000_000_000_000_000
    assert lines[:3] == [
        {**of, "tag": "力", "value": 12.3, "unit": "kN", "quality": "good", "time": time},
        {**of, "tag": "stroke", "value": 7, "unit": "", "quality": "out_of_range", "time": time},
        {**of, "tag": "level", "value": "NaN", "unit": "", "quality": "good", "time": time},
    ]
    gap, confirmed = lines[-2:]
    assert gap["gap"] == {"reason": "outage", "since": 5, "until": 6, "device": "press", "count": 2}
    assert confirmed["unchanged"] == ["力", "level"]
    assert run("export", filled.path, "--to", tmp_path / "rows.jsonl") == 0
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()] == lines


def test_export_of_bodies(filled, tmp_path):
    assert run("export", filled.path, "--bodies", tmp_path / "out" / "bodies") == 0
    files = sorted((tmp_path / "out" / "bodies").iterdir())
    assert [each.name for each in files if each.suffix == ".batch"] == [
        f"{filled.epoch}-{seq:012d}.batch" for seq in range(1, 5)
    ]
    assert [decode_body(each.read_bytes()).frames[0].time % 10 for each in files[:4]] == [0, 1, 2, 7]
    assert [each.read_bytes() for each in files if each.suffix == ".schema"] == [PRESS.encode()]


def test_a_damaged_batch(filled, capsys):
    with closing(sqlite3.connect(filled.path)) as saboteur, saboteur:
        saboteur.execute("UPDATE batch SET body = zeroblob(50) WHERE place = 2")
        saboteur.execute("UPDATE schema SET body = x'00'")
        saboteur.execute("UPDATE state SET crc = crc + 1 WHERE name = 'consumer/other'")
    assert run("verify", filled.path) == 1
    text = capsys.readouterr().out
    assert f"batch {filled.epoch}/2 is damaged" in text
    assert "3 batches whole" in text
    assert "schema" in text
    assert "consumer/other" in text
    assert run("verify", filled.path, "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["sound"], verdict["damaged"]) == (False, [[filled.epoch, 2]])
    assert run("export", filled.path) == 1
    captured = capsys.readouterr()
    assert "1 damaged batches left out" in captured.err
    assert all("unreadable" in line or "gap" in line for line in captured.out.splitlines())


@pytest.mark.parametrize("offset", [0, 3 * 8192, 4 * 8192])
def test_a_broken_file_is_salvaged(filled, capsys, offset):
    """First page, and the roots of the tables."""
    flip(filled.path, offset)
    flip(filled.path, offset + 8192)
    assert run("verify", filled.path) == 1
    for verb in ("inspect", "export"):
        run(verb, filled.path)
    text = "".join(capsys.readouterr())
    assert "Traceback" not in text
    assert "[bug]" not in text
    assert run("export", filled.path, "--salvage") == 0


def test_salvage_of_a_file_without_its_first_page(filled, capsys):
    flip(filled.path, 0)
    assert run("inspect", filled.path) == 1
    assert "error [corruption]" in capsys.readouterr().err
    assert run("export", filled.path, "--salvage") == 0
    assert len(capsys.readouterr().out.splitlines()) == 11


def test_a_broken_write_ahead_log(journal, tmp_path, capsys):
    async def main():
        async with journal.open() as bus:
            await fill(journal, bus)
            for name in ("journal.db", "journal.db-wal"):
                shutil.copy(journal.folder / name, tmp_path / f"copy-{name}")

    asyncio.run(main())
    copy, log = tmp_path / "copy-journal.db", tmp_path / "copy-journal.db-wal"
    assert run("verify", copy) == 0
    capsys.readouterr()
    flip(log, log.stat().st_size - 100)
    assert run("verify", copy) == 1
    assert "the write-ahead log is broken: 1 transactions cannot be read" in capsys.readouterr().out
    flip(log, log.stat().st_size - 100)
    flip(log, 32 + 24 + 100)
    assert run("verify", copy) == 1  # the file alone still says whose it is
    assert "the write-ahead log is broken: 4 transactions cannot be read" in capsys.readouterr().out
    assert run("export", copy, "--salvage") == 0
    assert len(capsys.readouterr().out.splitlines()) == 11


@pytest.mark.parametrize("verb", ["inspect", "verify", "export"])
def test_what_is_no_journal(tmp_path, capsys, verb):
    assert run(verb, tmp_path / "nowhere.db") == 1
    assert "error [file_missing]" in capsys.readouterr().err
    (tmp_path / "text").write_text("hello, this is no database, whatever the name may be; it is long enough" * 20)
    assert run(verb, tmp_path / "text") == 1
    assert "error [corruption]" in capsys.readouterr().err
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    assert run(verb, tmp_path / "other.db") == 1
    assert "error [journal_foreign]" in capsys.readouterr().err


def test_salvage_of_nothing(tmp_path, capsys):
    assert run("export", tmp_path / "nowhere.db", "--salvage") == 1
    assert "error [file_missing]" in capsys.readouterr().err
