"""Read the records of a broken journal page by page, without SQLite: its trees may be cut, its header overwritten.

Only leaf pages of tables are read (SQLite file format, sections 1.6 and 2.1). Whether a record is good is for
the caller to say: every row of a journal carries its own checksum, so that what looks like a row and is not is told.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np

from gateway.bus.layout import PAGE
from gateway.bus.log import read_log

LEAF: Final = b"\x0d"
STRETCH: Final = 512
"""Pages looked at in one go."""
_INLINE_MOST: Final = PAGE - 35
_INLINE_LEAST: Final = (PAGE - 12) * 32 // 255 - 23
MAX_PAYLOAD: Final = 1 << 30

Field = int | float | str | bytes | None
"""One column of a record."""


class Pages:
    """The pages of a database file, the newer ones from its write-ahead log laid over them.

    A context manager. What the disk refuses to read counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path)
        self._wal = _open(path.with_name(path.name + "-wal"))
        self._over = read_log(_read(self._wal, 0, 1 << 32)).pages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._wal):
            if file is not None:
                os.close(file)

    def page(self, number: int) -> bytes:
        """One page, counted from 1; short or empty beyond the end."""
        if (at := self._over.get(number)) is not None:
            return _read(self._wal, at, PAGE)
        return _read(self._file, (number - 1) * PAGE, PAGE)

    def leaves(self) -> list[int]:
        """Numbers of all pages that look like leaves of a table."""
        size = os.fstat(self._file).st_size if self._file is not None else 0
        found = {page for page in self._over if self.page(page)[:1] == LEAF}
        for start in range(0, size, STRETCH * PAGE):
            data = _read(self._file, start, STRETCH * PAGE)
            first_bytes = np.frombuffer(data, np.uint8)[: len(data) // PAGE * PAGE : PAGE]
            pages = np.flatnonzero(first_bytes == LEAF[0]) + start // PAGE + 1
            found.update(int(page) for page in pages if page not in self._over)
        return sorted(found)

    def records(self) -> Iterator[list[Field]]:
        """All records of all leaves; a rowid stands where the record has NULL in its first column."""
        for number in self.leaves():
            page = self.page(number)
            for cell in range(int.from_bytes(page[3:5])):
                pointer = int.from_bytes(page[8 + 2 * cell : 10 + 2 * cell])
                try:
                    rowid, payload = self._cell(page, pointer)
                    record = parse_record(payload)
                except (IndexError, ValueError, struct.error):
                    continue
                if record and record[0] is None:
                    record[0] = rowid
                yield record

    def _cell(self, page: bytes, at: int) -> tuple[int, bytes]:
        size, at = varint(page, at)
        rowid, at = varint(page, at)
        if size > MAX_PAYLOAD:
            raise ValueError("payload too large to be one")
        if size <= _INLINE_MOST:
            return rowid, page[at : at + size]
        inline = _INLINE_LEAST + (size - _INLINE_LEAST) % (PAGE - 4)
        inline = inline if inline <= _INLINE_MOST else _INLINE_LEAST
        parts = [page[at : at + inline]]
        following, missing = int.from_bytes(page[at + inline : at + inline + 4]), size - inline
        while missing > 0:
            overflow = self.page(following)
            if len(overflow) < PAGE:
                raise ValueError("a piece of the payload lies beyond the end of the file")
            parts.append(overflow[4 : 4 + missing])
            missing -= PAGE - 4
            following = int.from_bytes(overflow[:4])
        return rowid, b"".join(parts)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _read(file: int | None, at: int, size: int) -> bytes:
    """So many bytes, fewer at the end; zeros where the disk has only an error."""
    if file is None:
        return b""
    size = max(0, min(size, os.fstat(file).st_size - at))
    try:
        return os.pread(file, size, at)
    except OSError:
        if size <= PAGE:
            return bytes(size)
        return b"".join(_read(file, piece, PAGE) for piece in range(at, at + size, PAGE))


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Value and the offset after it; signed 64 bits (section 1.6). Raises IndexError at the end of the data."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | data[at]
    return (value - (1 << 64) if value >> 63 else value), at + 1


_WIDTH: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


def parse_record(payload: bytes) -> list[Field]:
    """Columns of a record (section 2.1). Raises IndexError, ValueError or struct.error for what is none."""
    end, at = varint(payload, 0)
    body = end
    record: list[Field] = []
    while at < end:
        kind, at = varint(payload, at)
        width = (kind - 12) // 2 if kind >= 12 else _WIDTH[kind]
        data = payload[body : body + width]
        if len(data) != width or kind < 0:
            raise ValueError("a column lies beyond the end of its record")
        body += width
        if kind >= 12:
            record.append(data if kind % 2 == 0 else data.decode())
        elif kind == 0:
            record.append(None)
        elif kind == 7:
            record.append(float(struct.unpack(">d", data)[0]))
        else:
            record.append(kind - 8 if kind >= 8 else int.from_bytes(data, signed=True))
    return record
