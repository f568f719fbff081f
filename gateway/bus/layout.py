"""Layout of a journal file: tables, pragmas, and the texts of its ordinary statements. No policy.

A row of ``batch`` is found by place, its body comes last, so that its numbers can be read without the body's pages.
``state`` holds what changes with every commit, in one row, and one row for each consumer: a commit of a small batch
touches two pages. Every row of every table can be checked by itself (checksum, or an id that is the hash of the
content), which is what lets a broken file be read page by page.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Final

APPLICATION: Final = 0x58534A4C
"""PRAGMA application_id of a journal: ``XSJL``."""
FORMAT: Final = 1
"""PRAGMA user_version. Grows when an older program could not read the file any more."""
PAGE: Final = 8192
LOG_MOST: Final = 4 * 1024 * 1024
"""The write-ahead log is copied into the file when it has grown to this, …"""
LOG_LEAST: Final = 8 * PAGE
LOG_SHARE: Final = 64
"""… or to this part of what there is room for: what stands in the log has to find room in the file as well."""

TABLES: Final = (
    """CREATE TABLE state (name TEXT NOT NULL UNIQUE, value TEXT NOT NULL, crc INTEGER NOT NULL)""",
    """CREATE TABLE schema (id BLOB NOT NULL UNIQUE, body BLOB NOT NULL)""",
    """CREATE TABLE batch (
        place INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, closed INTEGER NOT NULL,
        first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, frames INTEGER NOT NULL, points INTEGER NOT NULL,
        gaps INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL, schemas BLOB NOT NULL, body BLOB NOT NULL)
    """,
    """CREATE TABLE quarantine (
        place INTEGER PRIMARY KEY, found INTEGER NOT NULL, epoch, seq, closed, first_time, last_time, frames, points,
        gaps, size, crc, schemas, body)
    """,
)

ROW: Final = "place, epoch, seq, closed, first_time, last_time, frames, points, gaps, crc, schemas, body"
INSERT: Final = f"INSERT INTO batch ({ROW}, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
COLUMNS: Final = 13
"""Of a row of ``batch``."""
READ: Final = f"SELECT {ROW} FROM batch WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"  # noqa: S608 - ours
EXTENTS: Final = (
    "SELECT place, closed, first_time, last_time, points, gaps, size FROM batch "
    "WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"
)
SET_ASIDE: Final = (
    "INSERT OR REPLACE INTO quarantine SELECT place, ?, epoch, seq, closed, first_time, last_time, frames, points, "
    "gaps, size, crc, schemas, body FROM batch WHERE place = ?"
)
PUT_STATE: Final = (
    "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value, crc = excluded.crc"
)

JOURNAL: Final = "journal"
"""Name of the row of ``state`` that holds the State; consumers stand under CONSUMER and their name."""
CONSUMER: Final = "consumer/"


def state_crc(name: str, value: str) -> int:
    """Checksum of a row of ``state``."""
    return zlib.crc32(value.encode(), zlib.crc32(name.encode()))


def log_bytes(path: Path, limit: int) -> int:
    """Size at which the write-ahead log of a journal of ``limit`` bytes is copied into the file."""
    disk = os.statvfs(path.parent)
    return min(LOG_MOST, max(LOG_LEAST, min(limit, disk.f_blocks * disk.f_frsize) // LOG_SHARE))


def connect(path: Path, *, synchronous: str, log: int = LOG_MOST) -> sqlite3.Connection:
    """Open for writing, making the file where there is none. Raises sqlite3.Error, OSError."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = incremental")
        (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
        if mode != "wal":
            raise OSError(errno.ENOTSUP, "this file system has no shared memory for files; take one of a local disk")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = off")
        connection.execute(f"PRAGMA wal_autocheckpoint = {log // PAGE}")
        connection.execute(f"PRAGMA journal_size_limit = {log}")
        connection.execute("PRAGMA cell_size_check = on")
    except BaseException:  # whatever it is, the file is let go
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Second connection of the process that writes, for any one thread. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
    connection.execute("PRAGMA query_only = on")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open for reading, while somebody may be writing. Raises sqlite3.Error."""
    name = path.resolve().as_uri()
    connection = sqlite3.connect(f"{name}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        # A WAL file in a folder that cannot be written, and nobody has it open: nothing can change under us.
        connection.close()
        connection = sqlite3.connect(f"{name}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file."""
    connection.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")
