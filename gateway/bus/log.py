"""Read SQLite's write-ahead log by ourselves (file format, section 4), to see what SQLite would not tell.

SQLite takes a log up to the first frame whose checksum does not fit, which is right for a tail torn by a power cut. A
frame that went bad later hides every transaction behind it as well, without a word; their numbers would be given out
a second time. So what was committed is counted apart from what is still whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from gateway.bus.layout import PAGE

WAL_HEADER: Final = 32
FRAME_HEADER: Final = 24
MAGIC: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""How checksums take the data, by the magic number."""
Words = np.ndarray[tuple[int], np.dtype[np.uint32]]
Sums = tuple[int, int]


@dataclass(slots=True)
class Log:
    """What a write-ahead log holds."""

    frames: int = 0
    """Frames up to the last one that ends a transaction; found by their salts alone, so their content may be bad."""
    whole: int = 0
    """Frames up to the last one that ends a transaction, as far as all checksums fit: what SQLite would take."""
    pages: dict[int, int] = field(default_factory=dict)
    """Offset of the newest committed version of each page, whole or not."""

    hidden: int = 0
    """Transactions that SQLite would not see. One alone may never have been committed: a power cut tears the last."""


def read_log(data: bytes) -> Log:
    """Look through a write-ahead log."""
    log = Log()
    if len(data) < WAL_HEADER + FRAME_HEADER + PAGE:
        return log
    magic, _, size, _, *salts = struct.unpack_from(">6I", data)
    order = MAGIC.get(magic, "<u4")
    sums = _sums((0, 0), data[:24], order)
    chain = magic in MAGIC and size == PAGE and sums == struct.unpack_from(">2I", data, 24)
    if not chain:
        salts = list(struct.unpack_from(">2I", data, WAL_HEADER + 8))
    pending: dict[int, int] = {}
    for count, at in enumerate(range(WAL_HEADER, len(data) - PAGE - FRAME_HEADER + 1, PAGE + FRAME_HEADER), 1):
        page, commit, *rest = struct.unpack_from(">6I", data, at)
        if rest[:2] != salts:
            chain = False
            continue
        body = at + FRAME_HEADER
        sums = _sums(sums, data[at : at + 8] + data[body : body + PAGE], order) if chain else sums
        chain = chain and list(sums) == rest[2:]
        pending[page] = body
        if commit:
            log.pages.update(pending)
            log.frames = count
            log.whole = count if chain else log.whole
            log.hidden += not chain
            pending.clear()
    return log


def _sums(start: Sums, data: bytes, order: str) -> Sums:
    """The checksum of section 4.2, ``s0 += x + s1; s1 += y + s0`` over pairs of words, as one product of vectors."""
    words = np.frombuffer(data, order).astype(np.uint32)
    first, second, power = _weights(len(words))
    (a, b), (c, d) = power
    return (
        (a * start[0] + b * start[1] + int((words * first).sum(dtype=np.uint32))) & 0xFFFFFFFF,
        (c * start[0] + d * start[1] + int((words * second).sum(dtype=np.uint32))) & 0xFFFFFFFF,
    )


@lru_cache(4)
def _weights(count: int) -> tuple[Words, Words, tuple[Sums, Sums]]:
    """What each word adds to the two sums, modulo 2³², and what the sums before are multiplied with.

    One pair (x, y) makes (s0, s1) into M·(s0, s1) + (x, x + y), with M = ((1, 1), (1, 2)).
    """
    first, second = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    (a, b), (c, d) = (1, 0), (0, 1)
    for at in range(count - 2, -1, -2):
        first[at], first[at + 1] = (a + b) & 0xFFFFFFFF, b
        second[at], second[at + 1] = (c + d) & 0xFFFFFFFF, d
        (a, b), (c, d) = (
            ((a + b) & 0xFFFFFFFF, (a + 2 * b) & 0xFFFFFFFF),
            ((c + d) & 0xFFFFFFFF, (c + 2 * d) & 0xFFFFFFFF),
        )
    return first, second, ((a, b), (c, d))
