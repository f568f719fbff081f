"""Open a journal: lock it, check it, have it repaired where it is damaged, and say what was not collected.

Only what a person must decide refuses a start: a journal that is in use, another gateway's, another program's, of a
newer version, or in a place that cannot be written. Damage never does.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.bus import layout
from gateway.bus.age import first_epoch
from gateway.bus.journal import JournalStore
from gateway.bus.lock import FileLock
from gateway.bus.log import Log, read_log
from gateway.bus.salvage import finish, highest_epoch
from gateway.bus.store import State, StoreDamaged, StoreStuck
from gateway.config.root import BusConfig
from gateway.model.batch import Gap
from gateway.model.faults import ConfigFault

CHECK_SECONDS: Final = 1.5
"""The structure of the file is checked for so long at most; every batch is checked again when it is read."""
MAGIC: Final = b"SQLite format 3\0"
HEADER: Final = 100
COVERED: Final = 60 * 10**9
_DENIED: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def open_journal(path: Path, config: BusConfig, gateway: str, clock: Callable[[], int]) -> JournalStore:
    """The journal of ``gateway`` at ``path``, made where there is none. Blocks. Raises ConfigFault."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _denied(path, error.strerror or str(error)) from error
    store = JournalStore(path, config, clock, FileLock(path))
    try:
        return _open(store, gateway, clock())
    except BaseException as error:
        store.abandon()
        match error:
            case OSError():
                raise _denied(path, error.strerror or str(error)) from error
            case sqlite3.Error():
                raise _refused(path, error) from error
        raise


def _open(store: JournalStore, gateway: str, now: int) -> JournalStore:
    path = store.path
    finish(path)
    _check_owner(path)
    log = path.with_name(path.name + "-wal")
    promised = read_log(log.read_bytes()) if log.exists() else Log()
    logged = log.exists() and log.stat().st_size > 0
    found = (path.exists() and path.stat().st_size > 0) or promised.frames > 0
    try:
        _connect(store, promised, found=found)
        state = _state(store, gateway) if found else None
    except StoreDamaged:
        store.state = State(gateway, 0)
        try:
            store.rebuild()
        except StoreStuck as error:
            raise ConfigFault(f"bus.path: {path}: {error}", code="journal_not_writable") from error
        state, logged = store.state, True  # a new epoch has begun already
    if state is None:
        epoch = max(first_epoch(now, secrets.randbelow), highest_epoch(path) + 1)
        store.begin(State(gateway, epoch, last_time=now, closed=now))  # nothing is covered before
        return store
    store.loss.append(_restarted(state, now))
    torn = promised.hidden == 1
    if torn:
        store.loss.insert(0, Gap("corruption", state.closed, now, detail="the last transaction was torn"))
    if torn or (not state.stopped and (state.weak or not logged)):
        # What was committed last, and perhaps delivered, may be gone with the power, or with a log that somebody has
        # removed: nobody can tell. A new epoch makes sure that its numbers mean nothing else.
        state.past = [*state.past, (state.epoch, state.base)]
        state.epoch, state.base = max(now // 10**9, state.epoch + 1), state.place
    if not state.batches:
        state.past = []
    store.begin(state)
    return store


def _check_owner(path: Path) -> None:
    """Raise ConfigFault for a sound database of another program: before anything in it is touched."""
    if not path.exists() or path.stat().st_size < HEADER:
        return
    with path.open("rb") as file:
        header = file.read(HEADER)
    if not header.startswith(MAGIC) or int.from_bytes(header[68:72]) == layout.APPLICATION:
        return
    try:
        connection = layout.connect_read_only(path)
        with closing(connection):
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return
    if tables and "batch" not in tables:
        raise ConfigFault(
            f"bus.path: {path} is a database of another program; choose another path", code="journal_foreign"
        )


def _connect(store: JournalStore, promised: Log, *, found: bool) -> None:
    """Open the file; make the tables of a new one. Raises StoreDamaged and sqlite3.Error."""
    size = store.path.stat().st_size if store.path.exists() else 0
    if found and size < layout.PAGE:
        raise StoreDamaged("its first page is missing")
    if promised.hidden > 1:
        raise StoreDamaged("its write-ahead log is damaged")
    try:
        store.connect()
        if not store.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            layout.create(store.connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
            raise StoreDamaged(str(error)) from error
        raise


def _state(store: JournalStore, gateway: str) -> State | None:
    """State of a sound journal; None when it was made and never used. Raises StoreDamaged, ConfigFault."""
    connection, path = store.connection, store.path
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if connection.execute("SELECT count(*) FROM state").fetchone() == (0,):
            return None
        _check_structure(connection)
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(str(error)) from error
    state = store.stored_state()
    if version > layout.FORMAT and state.format > layout.FORMAT:
        raise ConfigFault(
            f"bus.path: {path} was written by a newer version (format {state.format}, this one knows {layout.FORMAT}); "
            f"install that version again, or move the file away and begin anew",
            code="journal_newer",
        )
    if (application, version) != (layout.APPLICATION, layout.FORMAT):
        raise StoreDamaged("its header is damaged")
    if state.gateway != gateway:
        raise ConfigFault(
            f"bus.path: {path} belongs to gateway {state.gateway!r}, this is {gateway!r}; "
            f"set gateway.id back, choose another path, or move the file away to begin anew",
            code="journal_of_another_gateway",
        )
    return state


def _check_structure(connection: sqlite3.Connection) -> None:
    """Have SQLite check its trees, for a bounded time. Raises StoreDamaged, sqlite3.DatabaseError."""
    deadline = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_INTERRUPT:
            raise
        verdict = ("ok",)
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != ("ok",):
        raise StoreDamaged(f"{verdict[0]}")


def _restarted(state: State, now: int) -> Gap:
    """Nothing was collected while the gateway was down; after a kill, neither was what had not been committed.

    With a clock that was set back meanwhile, how long that took is not known: the gap is empty, not negative.
    """
    if state.stopped:
        return Gap("restart", state.stopped, max(now, state.stopped), detail="planned")
    # Frames may carry the clock of a device: that is believed only where it agrees with ours.
    agrees = 0 <= state.closed - state.last_time <= COVERED
    since = state.last_time if agrees else state.closed
    return Gap("restart", since, max(now, since))


def _denied(path: Path, reason: str) -> ConfigFault:
    return ConfigFault(
        f"bus.path: cannot write {path}: {reason}; "
        f"give the gateway's user write access to that folder or choose another path",
        code="journal_not_writable",
    )


def _refused(path: Path, error: sqlite3.Error) -> ConfigFault:
    code = error.sqlite_errorcode & 0xFF
    if code in _DENIED:
        return _denied(path, str(error))
    if code in _BUSY:
        return ConfigFault(f"bus.path: {path} is held by another program ({error}); close it", code="journal_in_use")
    return ConfigFault(f"bus.path: cannot open {path}: {error}; free some space, or check the disk", code="disk_full")
