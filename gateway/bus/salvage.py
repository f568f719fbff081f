"""Make a new journal from what can still be read of a broken one, and say what could not.

Batches keep their epoch and seq; the new file begins a new epoch behind them, so no number is ever used twice. The
broken file is kept aside for people, the newest few of such files at most.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from gateway.bus import layout
from gateway.bus.cursor import Position, Range, in_all
from gateway.bus.pages import Field, Pages
from gateway.bus.rows import put_state, row_from, row_values
from gateway.bus.store import Row, State, identity_of
from gateway.model.batch import Gap
from gateway.model.schema import SchemaId, schema_id

MAX_GAPS: Final = 100
"""More stretches of lost batches than this are declared as one."""
KEEP: Final = 3
"""Broken files kept aside."""
ROWS_PER_COMMIT: Final = 64


@dataclass(slots=True)
class Found:
    """What was read, besides batches."""

    state: State | None = None
    positions: dict[str, Position] = field(default_factory=dict)
    schemas: dict[SchemaId, bytes] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)
    """Base by epoch, of the epochs from which there are batches."""


def read_all(path: Path, found: Found) -> Iterator[Row]:
    """Every batch that is whole, in no order; what else is whole goes into ``found``. Batches may come twice."""
    with Pages(path) as pages:
        for record in pages.records():
            match record:
                case [str(name), str(value), int(crc)] if layout.state_crc(name, value) == crc:
                    _take_state(found, name, value)
                case [bytes(identity), bytes(body)] if schema_id(body) == identity:
                    found.schemas[identity] = body
                case [int(), *_] if len(record) == layout.COLUMNS and (row := _row(record)) is not None:
                    found.bases[row.batch.epoch] = row.place - row.batch.seq
                    yield row


def _take_state(found: Found, name: str, value: str) -> None:
    with suppress(msgspec.DecodeError):
        if name.startswith(layout.CONSUMER):
            found.positions[name.removeprefix(layout.CONSUMER)] = Position.decode(value)
        elif name == layout.JOURNAL:
            state = msgspec.json.decode(value, type=State)
            if found.state is None or state.place >= found.state.place:
                found.state = state


def _row(record: list[Field]) -> Row | None:
    *head, _size, crc, schemas, body = record
    row = row_from((*head, crc, schemas, body))
    return row if isinstance(row, Row) else None


def remake(path: Path, gateway: str, now: int) -> list[Gap]:
    """Put a new journal in the place of a broken one; what is lost.

    Raises sqlite3.Error and OSError when the new file cannot be written; the broken one is then still in place.
    """
    new = path.with_name(path.name + ".new")
    _unlink(new)
    connection = layout.connect(new, synchronous="full")
    try:
        layout.create(connection)
        found = Found()
        _copy(connection, read_all(path, found))
        former = found.state.epoch if found.state else max(now // 10**9, highest_epoch(path) + 1, *found.bases)
        loss = _settle(connection, found, State(gateway, max(now // 10**9, former + 1)), now)
        aside = _name_aside(path, former)
        loss = [msgspec.structs.replace(gap, detail=f"the journal was damaged; kept as {aside.name}") for gap in loss]
    finally:
        connection.close()
    _replace(path, aside, new)
    return loss


def _copy(connection: sqlite3.Connection, rows: Iterator[Row]) -> None:
    """Insert rows; when the disk is full, the rest stays in the broken file and is declared lost."""
    insert = layout.INSERT.replace("INSERT", "INSERT OR IGNORE", 1)
    connection.execute("PRAGMA synchronous = off")  # made durable as a whole, before it takes its place
    connection.execute("BEGIN")
    try:
        for count, row in enumerate(rows):
            connection.execute(insert, row_values(row))
            if count % ROWS_PER_COMMIT == ROWS_PER_COMMIT - 1:
                connection.execute("COMMIT")
                connection.execute("BEGIN")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
    if connection.in_transaction:
        connection.execute("COMMIT")
    connection.execute("PRAGMA synchronous = full")


def _settle(connection: sqlite3.Connection, found: Found, state: State, now: int) -> list[Gap]:
    """Write what is not a batch, fill in the state, delete batches that everybody has, and find the holes."""
    former = found.state
    everybody = in_all(list(found.positions.values()))
    bases = {**dict([*former.past, (former.epoch, former.base)] if former else []), **found.bases}
    (newest,) = connection.execute("SELECT coalesce(max(place), 0) FROM batch").fetchone()
    tails = [ranges[-1][1] for position in found.positions.values() if (ranges := position.ranges)]
    base = max(newest, former.place if former else 0, *tails, 0)
    loss = _holes(connection, former, Position(everybody), bases, now)
    if former is None or not loss:  # which batches came last, or whether any is missing, is not known
        covered = former.closed if former else _latest_time(connection, now)
        loss.append(Gap("corruption", covered, now))
    connection.execute("BEGIN")
    if former:
        connection.execute("DELETE FROM batch WHERE place < ?", (former.oldest,))
    for places in everybody:
        connection.execute("DELETE FROM batch WHERE place BETWEEN ? AND ?", places)
    connection.executemany("INSERT OR IGNORE INTO schema VALUES (?, ?)", found.schemas.items())
    for name, position in found.positions.items():
        put_state(connection, layout.CONSUMER + name, position.encode())
    state.oldest, state.batches, state.bytes = connection.execute(
        "SELECT coalesce(min(place), ?), count(*), coalesce(sum(size), 0) FROM batch", (base + 1,)
    ).fetchone()
    state.base = state.place = base
    if former:
        state.last_time, state.closed, state.ran = former.last_time, former.closed, former.ran
    else:
        state.ran = _latest(connection, 0)
    if state.batches:
        state.past = sorted(bases.items(), key=lambda each: each[1])
    put_state(connection, layout.JOURNAL, msgspec.json.encode(state).decode())
    connection.execute("COMMIT")
    return loss


def _latest(connection: sqlite3.Connection, otherwise: int) -> int:
    (closed,) = connection.execute("SELECT coalesce(max(closed), ?) FROM batch", (otherwise,)).fetchone()
    return int(closed)


def _latest_time(connection: sqlite3.Connection, now: int) -> int:
    """Latest frame time that the gateway's clock can have given."""
    query = "SELECT coalesce(max(last_time), ?) FROM batch WHERE last_time <= ?"
    return int(connection.execute(query, (now, now)).fetchone()[0])


def _holes(
    connection: sqlite3.Connection, former: State | None, everybody: Position, bases: dict[int, int], now: int
) -> list[Gap]:
    """Stretches of places that should be there, that not everybody has, and that were not found."""
    if former is not None:
        (count,) = connection.execute("SELECT count(*) FROM batch WHERE place >= ?", (former.oldest,)).fetchone()
        if count >= former.batches:
            return []
    known = State(gateway="", epoch=max(bases, default=0), past=sorted(bases.items(), key=lambda each: each[1])[:-1])
    known.base = bases.get(known.epoch, 0)
    holes: list[Gap] = []
    place, covered = (former.oldest if former else 0), 0
    last = former.place if former else 0
    query = "SELECT place, first_time, last_time, points FROM batch WHERE place >= ? ORDER BY place"
    for here, first_time, last_time, _ in [
        *connection.execute(query, (place,)),
        *([(last + 1, former.closed or now, 0, 0)] if former else []),
    ]:
        for first, end in _open_stretches(everybody, place or here, here - 1):
            epoch, seq = identity_of(known, first)
            gap = Gap("corruption", covered or first_time, first_time, first_seq=seq, last_seq=seq + end - first)
            holes.append(msgspec.structs.replace(gap, epoch=epoch))
        place, covered = here + 1, last_time
    if len(holes) > MAX_GAPS:
        ends = holes[-1]
        holes = [msgspec.structs.replace(holes[0], until=ends.until, last_seq=ends.last_seq)]
    return holes


def _open_stretches(position: Position, first: int, last: int) -> Iterator[Range]:
    while (first := position.next_open(first)) <= last:
        end = min(last, position.open_until(first))
        yield first, end
        first = end + 1


# Files


def highest_epoch(path: Path) -> int:
    """Greatest epoch among the broken files kept aside; 0 when there is none."""
    return max((epoch for epoch, _, _ in _kept(path)), default=0)


def _kept(path: Path) -> list[tuple[int, int, Path]]:
    """(epoch, number, file), oldest first."""
    pattern = re.compile(re.escape(path.name) + r"\.damaged-(\d+)(?:-(\d+))?")
    found = ((pattern.fullmatch(each.name), each) for each in path.parent.iterdir())
    return sorted((int(match[1]), int(match[2] or 0), each) for match, each in found if match)


def _name_aside(path: Path, epoch: int) -> Path:
    number = max((number + 1 for known, number, _ in _kept(path) if known == epoch), default=0)
    return path.with_name(f"{path.name}.damaged-{epoch}" + (f"-{number}" if number else ""))


def _replace(path: Path, aside: Path, new: Path) -> None:
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    _unlink(path)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    for _, _, old in _kept(path)[:-KEEP]:
        _unlink(old)


def finish(path: Path) -> None:
    """Finish what a kill may have interrupted: the broken file is aside, the new one not yet in its place."""
    new = path.with_name(path.name + ".new")
    kept = _kept(path)
    if not path.exists() and new.exists() and kept:
        _replace(path, kept[-1][2], new)


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
