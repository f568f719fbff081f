"""Look into a journal without touching it, while a gateway may be writing to it: for the command line and for people.

Reads in short pieces, so that a look never keeps the gateway from shortening its write-ahead log.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from gateway.bus import layout
from gateway.bus.cursor import Position, Range
from gateway.bus.log import read_log
from gateway.bus.rows import row_from
from gateway.bus.salvage import Found, read_all
from gateway.bus.store import Row, State, identity_of
from gateway.model.batch import decode_body
from gateway.model.faults import ConfigFault, Fault
from gateway.model.schema import SchemaId, schema_id

PIECE: Final = 16
"""Rows read at once."""


@dataclass(frozen=True, slots=True)
class ConsumerSummary:
    """How far one consumer is."""

    name: str
    epoch: int
    seq: int
    """Everything up to here is acknowledged; 0: nothing of this epoch."""
    backlog: int
    ahead: list[Range]
    """Ranges of seq beyond that are acknowledged as well."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a journal holds. Times: ns since the Unix epoch, 0: none."""

    file: str
    format: int
    gateway: str
    epoch: int
    running: bool
    """A process holds it."""
    stopped: int
    """When the gateway stopped in order; 0: it runs, or was killed."""
    next_seq: int
    batches: int
    frames: int
    points: int
    gaps: int
    bytes: int
    """Of the bodies."""
    file_bytes: int
    log_bytes: int
    free_bytes: int
    """Of free pages inside the file."""
    first: tuple[int, int]
    """(epoch, seq) of the oldest batch held; zeros: none."""
    last: tuple[int, int]
    first_time: int
    last_time: int
    schemas: int
    set_aside: int
    """Damaged batches kept apart in it."""
    kept_aside: list[str]
    """Broken files kept beside it."""
    consumers: list[ConsumerSummary]


@dataclass(slots=True)
class Verdict:
    """What a check of everything has found."""

    batches: int = 0
    bytes: int = 0
    damaged: list[tuple[int, int]] = field(default_factory=list)
    """(epoch, seq) of batches whose checksum does not fit, or whose body does not unpack."""
    faults: list[str] = field(default_factory=list)
    """Anything else, one sentence each."""

    @property
    def sound(self) -> bool:
        """True when nothing was found."""
        return not self.damaged and not self.faults


class Journal:
    """A journal file, opened for reading. A context manager. Raises ConfigFault for what is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ConfigFault(f"{path}: there is no such file", code="file_missing")
        try:
            self._connection = layout.connect_read_only(path)
            self.state = self._read_state()
        except sqlite3.Error as error:
            raise Fault(
                f"{path}: {error}; what is whole in it can be had with `xingsha journal export --salvage`",
                code="corruption",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._connection.close()

    def _read_state(self) -> State:
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not tables:
            raise sqlite3.DatabaseError("there is nothing in it that can be read")
        if not {"batch", "state"} <= tables:
            raise ConfigFault(f"{self.path} is a database of another program, not a journal", code="journal_foreign")
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (layout.JOURNAL,)).fetchone()
        try:
            return msgspec.json.decode(found[0], type=State) if found else State("", 0)
        except (msgspec.DecodeError, TypeError) as error:
            raise sqlite3.DatabaseError("its state cannot be read") from error

    @property
    def running(self) -> bool:
        """True while a gateway holds the journal."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def summary(self) -> Summary:
        """Counts and positions. Raises sqlite3.DatabaseError for damage."""
        ask = self._connection.execute
        first, last, count, frames, points, gaps, size, first_time, last_time = ask(
            "SELECT coalesce(min(place), 0), coalesce(max(place), 0), count(*), total(frames), total(points), "
            "total(gaps), total(size), coalesce(min(nullif(first_time, 0)), 0), coalesce(max(last_time), 0) FROM batch"
        ).fetchone()
        state, log = self.state, self.path.with_name(self.path.name + "-wal")
        return Summary(
            file=str(self.path),
            format=state.format,
            gateway=state.gateway,
            epoch=state.epoch,
            running=self.running,
            stopped=state.stopped,
            next_seq=state.place + 1 - state.base,
            batches=count,
            frames=int(frames),
            points=int(points),
            gaps=int(gaps),
            bytes=int(size),
            file_bytes=self.path.stat().st_size,
            log_bytes=log.stat().st_size if log.exists() else 0,
            free_bytes=int(ask("PRAGMA freelist_count").fetchone()[0]) * layout.PAGE,
            first=identity_of(state, first) if count else (0, 0),
            last=identity_of(state, last) if count else (0, 0),
            first_time=first_time,
            last_time=last_time,
            schemas=ask("SELECT count(*) FROM schema").fetchone()[0],
            set_aside=ask("SELECT count(*) FROM quarantine").fetchone()[0],
            kept_aside=sorted(each.name for each in self.path.parent.glob(self.path.name + ".damaged-*")),
            consumers=[self._consumer(name, value) for name, value in self._consumers()],
        )

    def _consumers(self) -> list[tuple[str, str]]:
        query = "SELECT name, value FROM state WHERE name <> ? ORDER BY name"
        return self._connection.execute(query, (layout.JOURNAL,)).fetchall()

    def _consumer(self, name: str, value: str) -> ConsumerSummary:
        position, backlog = Position.decode(value), 0
        for (place,) in self._connection.execute("SELECT place FROM batch"):
            backlog += place not in position
        epoch, seq = identity_of(self.state, position.low) if position.low else (self.state.epoch, 0)
        ahead = [
            (identity_of(self.state, first)[1], identity_of(self.state, last)[1])
            for first, last in position.ranges
            if first > 1
        ]
        return ConsumerSummary(name.removeprefix(layout.CONSUMER), epoch, seq, backlog, ahead)

    def rows(self) -> Iterator[Row | int]:
        """Every batch held, oldest first; of one that is damaged its place. Raises sqlite3.DatabaseError."""
        place = 0
        while found := self._connection.execute(layout.READ, (place + 1, self.state.place, PIECE)).fetchall():
            for values in found:
                yield row_from(values)
            place = found[-1][0]

    def schemas(self) -> dict[SchemaId, bytes]:
        """Encoded schemas by id."""
        return dict(self._connection.execute("SELECT id, body FROM schema"))

    def verify(self) -> Verdict:
        """Check every tree, checksum and body."""
        verdict = Verdict()
        try:
            self._verify(verdict)
        except sqlite3.DatabaseError as error:
            verdict.faults.append(f"the structure of the file is broken: {error}")
        return verdict

    def _verify(self, verdict: Verdict) -> None:
        verdict.faults += self._log_faults()
        found = [text for (text,) in self._connection.execute("PRAGMA quick_check")]
        verdict.faults += [text.replace("\n", "; ") for text in found if text != "ok"]
        for name, value, crc in self._connection.execute("SELECT name, value, crc FROM state"):
            if layout.state_crc(name, value) != crc:
                verdict.faults.append(f"the checksum of {name} does not fit")
        broken = [identity for identity, body in self.schemas().items() if schema_id(body) != identity]
        verdict.faults += [f"schema {identity.hex()} is damaged" for identity in broken]
        for row in self.rows():
            verdict.batches += 1
            if isinstance(row, int) or not _unpacks(row):
                verdict.damaged.append(identity_of(self.state, row if isinstance(row, int) else row.place))
            else:
                verdict.bytes += row.batch.size

    def _log_faults(self) -> list[str]:
        log = self.path.with_name(self.path.name + "-wal")
        if self.running or not log.exists():  # a log that is being written is never whole
            return []
        hidden = read_log(log.read_bytes()).hidden
        return [f"the write-ahead log is broken: {hidden} transactions cannot be read"] if hidden else []


def _unpacks(row: Row) -> bool:
    try:
        decode_body(row.batch.body)
    except ValueError:
        return False
    return True


def salvage(path: Path) -> tuple[list[Row], dict[SchemaId, bytes]]:
    """All batches, oldest first, and schemas that are whole in a file too broken to be opened; read page by page."""
    if not path.is_file():
        raise ConfigFault(f"{path}: there is no such file", code="file_missing")
    found = Found()
    rows = {row.place: row for row in read_all(path, found)}
    return [rows[place] for place in sorted(rows)], found.schemas
