"""The durable store: one SQLite file in WAL mode, written by one thread, read by another.

With ``synchronous=full`` SQLite calls fsync on the write-ahead log before a commit returns, so what was reported as
committed survives a power cut as far as the disk honours fsync.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from gateway.bus import layout
from gateway.bus.cursor import Position, Range
from gateway.bus.lock import FileLock
from gateway.bus.reserve import Reserve
from gateway.bus.rows import put_state, row_from, row_values, runs
from gateway.bus.salvage import remake
from gateway.bus.store import Change, Extent, Row, State, StoreDamaged, StoreFull, StoreStuck
from gateway.config.root import BusConfig
from gateway.model.batch import Gap
from gateway.model.schema import SchemaId, schema_id

MOST_PAGES: Final = 0xFFFFFFFE
COUNT_SECONDS: Final = 2.0
RESERVE_MOST: Final = 64 * 1024 * 1024
VACUUM_PAGES: Final = 1024
VACUUM_FROM: Final = 2048
"""Free pages inside the file from which on it is made smaller; fewer are soon used again."""
NO_SPACE: Final = 1_000_000
"""An I/O error with less than this free is taken for a full disk: not every path in SQLite tells them apart."""
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""SQLITE_ERROR among them: our statements are fixed, so a table that is missing or has other columns is damage."""


class JournalStore:
    """See `Store`. Made by `gateway.bus.recovery.open_journal`, which checks and repairs first."""

    kind = "journal"

    def __init__(self, path: Path, config: BusConfig, clock: Callable[[], int], lock: FileLock) -> None:
        self.path = path
        self.state = State("", 0)
        self.loss: list[Gap] = []
        self.rebuilt = 0
        self.cramped = False
        self._synchronous = config.synchronous
        self._clock = clock
        self._lock = lock
        self._log = layout.log_bytes(path, config.limit)
        self.group = max(self._log, config.batch_bytes)
        # What stands in the log may need as much room in the file, twice when a copy failed half-way.
        self._reserve = Reserve(path, min(RESERVE_MOST, 2 * (self._log + self.group)))
        self.most_pages = MOST_PAGES
        """Size that the file may grow to while there is a reserve."""
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self.broken = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The writer's connection."""
        if self._connection is None:
            raise StoreStuck("the journal is not open")
        return self._connection

    def connect(self) -> None:
        """Open the file for writing; on a full disk, with what the reserve gives. Raises sqlite3.Error, OSError."""
        try:
            self._connection = layout.connect(self.path, synchronous=self._synchronous, log=self._log)
        except sqlite3.OperationalError:
            if not self._reserve.held:
                raise
            self._reserve.give()
            self._connection = layout.connect(self.path, synchronous=self._synchronous, log=self._log)

    def begin(self, state: State) -> None:
        """Go on from ``state``, which from now on says that the gateway runs. A disk that is full is no obstacle.

        Made durable in any case: whatever ``synchronous`` says, the next start has to know that there was this one.
        """
        self.state = state
        self.state.stopped = 0
        self.state.weak = self._synchronous != "full"
        with suppress(StoreStuck):
            self._synchronise("full")
            try:
                self.apply(Change(self.state))
            except StoreFull:
                self.relieve()
                self.apply(Change(self.state))
            finally:
                self._synchronise(self._synchronous)
            self._copy_log()

    def _copy_log(self) -> None:
        """So that the file alone, without its log, tells that this run was there. When the disk is full: later."""
        with suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA wal_checkpoint").fetchall()

    def _synchronise(self, how: str) -> None:
        self.connection.execute(f"PRAGMA synchronous = {how}")

    def positions(self) -> dict[str, Position]:
        """Positions of all consumers known."""
        found = self.connection.execute("SELECT name, value FROM state ORDER BY name").fetchall()
        return {
            name.removeprefix(layout.CONSUMER): Position.decode(value)
            for name, value in found
            if name.startswith(layout.CONSUMER)
        }

    def schemas(self) -> dict[SchemaId, bytes]:
        """Encoded schemas by id. Those that are damaged are dropped, and all when no batch can refer to them."""
        found = dict(self.connection.execute("SELECT id, body FROM schema"))
        useless = [each for each, body in found.items() if schema_id(body) != each or not self.state.batches]
        with suppress(sqlite3.OperationalError):  # a full disk
            self.connection.executemany("DELETE FROM schema WHERE id = ?", [(each,) for each in useless])
        return {identity: body for identity, body in found.items() if identity not in useless}

    def apply(self, change: Change) -> None:
        """One transaction."""
        execute = self.connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            now = time.time_ns()
            for place in change.aside:
                execute(layout.SET_ASIDE, (now, place))
            for first, last in runs([*change.remove, *change.aside]):
                execute("DELETE FROM batch WHERE place BETWEEN ? AND ?", (first, last))
            for identity, body in change.schemas.items():
                execute("INSERT OR IGNORE INTO schema VALUES (?, ?)", (identity, body))
            for row in change.rows:
                execute(layout.INSERT, row_values(row))
            for name, position in change.positions.items():
                put_state(self.connection, layout.CONSUMER + name, position)
            put_state(self.connection, layout.JOURNAL, msgspec.json.encode(change.state).decode())
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._translate(error) from error
        self.state = change.state

    def _roll_back(self) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StoreDamaged(f"a transaction cannot be rolled back: {error}") from error

    def extents(self, first: int, last: int, count: int) -> list[Extent]:
        """Rows without bodies, oldest first."""
        try:
            found = self.connection.execute(layout.EXTENTS, (first, last, count)).fetchall()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return [Extent(*(value if type(value) is int else 0 for value in values)) for values in found]

    def median(self) -> int:
        """Place of the row in the middle: SQLite walks half of the rows."""
        query = "SELECT place FROM batch ORDER BY place LIMIT 1 OFFSET ?"
        try:
            found = self.connection.execute(query, (self.state.batches // 2,)).fetchone()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return int(found[0]) if found else 0

    def read(self, first: int, last: int, count: int, size: int) -> list[Row | int]:
        """Rows, each checked, through a connection of its own: never waits for the writer."""
        found: list[Row | int] = []
        with self._reading:
            try:
                if self._reader is None:
                    self._reader = layout.connect_reader(self.path)
                cursor = self._reader.execute(layout.READ, (first, last, count))
                for values in cursor:
                    row = row_from(values)
                    found.append(row)
                    size -= row.batch.size if isinstance(row, Row) else 0
                    if size <= 0:
                        break
                cursor.close()
            except sqlite3.Error as error:
                raise self._translate(error) from error
        return found

    def unread(self, position: Position) -> int:
        """Rows not in the position: by arithmetic while there is no hole, else by counting, for two seconds at most."""
        first, last = self.connection.execute("SELECT min(place), max(place) FROM batch").fetchone()
        if first is None:
            return 0
        if last - first + 1 == self.state.batches:
            return self.state.batches - position.covered(first, last)
        deadline = time.monotonic() + COUNT_SECONDS
        self.connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            count = self.state.batches
            for one in position.ranges:
                count -= self._count(one)
        except sqlite3.OperationalError:
            pass  # interrupted: too many, and the consumer finds the right figure when it has caught up
        finally:
            self.connection.set_progress_handler(None, 0)
        return max(0, count)

    def _count(self, places: Range) -> int:
        (count,) = self.connection.execute("SELECT count(*) FROM batch WHERE place BETWEEN ? AND ?", places).fetchone()
        return int(count)

    def disk_free(self) -> int | None:
        """Bytes free for this user on the journal's file system."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def room_inside(self) -> int:
        """Bytes of free pages in the file."""
        return self._pragma("freelist_count") * layout.PAGE

    def _pragma(self, name: str) -> int:
        try:
            (value,) = self.connection.execute(f"PRAGMA {name}").fetchone()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return int(value)

    def relieve(self) -> None:
        """Give up the reserve, copy the write-ahead log into the file, and from now on keep the file from growing.

        While it does not grow, the log can always be copied into it and begun anew: then the disk may be full to the
        last byte, and batches are still written in the place of those that are deleted.
        """
        self._reserve.give()
        self.cramped = True
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._limit_pages(self._pragma("page_count"))
        except sqlite3.Error as error:
            if isinstance(fault := self._translate(error), StoreDamaged):
                raise fault from error

    def _limit_pages(self, pages: int) -> None:
        self.connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def tidy(self) -> None:
        """Make the file smaller when a good part of it is free, a piece at a time; keep the reserve."""
        try:
            if not self._reserve.held and self._reserve.take():
                self._limit_pages(self.most_pages)
                self.cramped = False
            free = self._pragma("freelist_count")
            if free > VACUUM_FROM and 4 * free > self._pragma("page_count"):
                # A script, because it has to be stepped page by page and gives no rows.
                self.connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        except sqlite3.Error as error:
            if isinstance(fault := self._translate(error), StoreDamaged):
                raise fault from error

    def close(self, stopped: int) -> None:
        """Mark the stop, copy the write-ahead log into the file, close. The next start tells when there is no mark."""
        try:
            if stopped and not self.broken:
                self.state.stopped = stopped
                with suppress(sqlite3.Error):
                    put_state(self.connection, layout.JOURNAL, msgspec.json.encode(self.state).decode())
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without a mark, and let go of the lock."""
        self._close_connections()
        self._lock.release()

    def _close_connections(self) -> None:
        for each in (self._reader, self._connection):
            if each is not None:
                each.close()
        self._reader = self._connection = None

    def rebuild(self) -> None:
        """Put a new file in the place of this one, with all that can still be read. Raises StoreStuck."""
        self.broken = True
        with self._reading:
            try:
                self.loss += remake(self.path, self.state.gateway, self._clock())
                self._close_connections()
                self.connect()
                self.state = self.stored_state()
            except (sqlite3.Error, OSError) as error:
                raise StoreStuck(f"a damaged journal cannot be replaced: {error}") from error
        self.rebuilt += 1
        self.broken = False

    def stored_state(self) -> State:
        """State as it stands in the file. Raises StoreDamaged."""
        try:
            rows = self.connection.execute("SELECT name, value, crc FROM state").fetchall()
            found = [value for name, value, crc in rows if layout.state_crc(name, value) == crc]
            states = {name: value for name, value, _ in rows}
            if len(found) == len(rows) and layout.JOURNAL in states:
                return msgspec.json.decode(states[layout.JOURNAL], type=State)
        except (sqlite3.DatabaseError, AttributeError, msgspec.DecodeError) as error:
            raise StoreDamaged(str(error)) from error
        raise StoreDamaged("a checksum in its state does not fit")

    def _translate(self, error: sqlite3.Error) -> StoreDamaged | StoreStuck:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _DAMAGED:
            return StoreDamaged(str(error))
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and (self.disk_free() or 0) < NO_SPACE):
            return StoreFull(str(error))
        return StoreStuck(str(error))
