"""Packing: which bytes go together into items, and which items into a request, for the PDU that a CPU grants. Pure.

An item costs 12 bytes in the request and 4 in the answer, and a request holds 20 items at most. So reading over a gap
is often cheaper than a second item, and sometimes not: both are tried, at several gaps, and the fewest requests win;
among equals the fewest bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Final

from adapters.s7.codec import ITEM_HEADER, READ_ITEM, READ_OVERHEAD, Place
from gateway.sdk import Request

OPEN_JOBS: Final = 64
"""Requests with room left that are looked at for an item; more would cost time and save nothing."""
_SIZE: Final = attrgetter("size")
NEAR: Final = 16
"""The gap that is best on paper is not always the best in whole requests: those so many places beside it are tried."""


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """A value, or several at the same place, or a part of one that is larger than a PDU: never split between items."""

    address: int
    """First byte within its place."""
    size: int
    tags: tuple[int, ...]

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Cluster:
    """Values near each other: a run of the image in which each byte keeps its distance from the others."""

    place: Place
    address: int
    start: int
    """Where in the image its first byte lies."""
    pieces: tuple[Piece, ...]
    """By address."""


@dataclass(frozen=True, slots=True)
class Read(Request):
    """One item of a request."""

    place: Place
    address: int
    size: int
    start: int
    """Where in the image its first byte goes."""
    pieces: tuple[Piece, ...]

    def halves(self) -> tuple[Read, Read]:
        """Two items of half the values each, without what lay between them."""
        middle = len(self.pieces) // 2
        return self._only(self.pieces[:middle]), self._only(self.pieces[middle:])

    def _only(self, pieces: Sequence[Piece]) -> Read:
        return make_read(self.place, self.address, self.start, pieces)


Job = tuple[Read, ...]
"""The items of one request."""


@dataclass(frozen=True, slots=True)
class Telegram(Request):
    """One request of a plan: the items in it."""

    items: Job

    @classmethod
    def of(cls, job: Job) -> Telegram:
        """Telegram with the tags of all its items."""
        return cls(tuple(dict.fromkeys(tag for read in job for tag in read.tags)), job)


@dataclass(frozen=True, slots=True)
class Room:
    """What one request has room for."""

    items: int
    data: int
    """Bytes of the answer for items, their headers included."""

    @classmethod
    def of(cls, pdu: int, max_items: int) -> Room:
        """Room in requests and answers of at most ``pdu`` bytes."""
        return cls(max(1, min(max_items, (pdu - READ_OVERHEAD[0]) // READ_ITEM)), (pdu - READ_OVERHEAD[1]) // 2 * 2)

    @property
    def item(self) -> int:
        """Bytes of the largest item."""
        return self.data - ITEM_HEADER


def cost(size: int) -> int:
    """Bytes of an item in an answer: header, data, fill byte."""
    return ITEM_HEADER + size + (size & 1)


def make_read(place: Place, address: int, start: int, pieces: Sequence[Piece]) -> Read:
    """Item that covers pieces by address; byte ``address`` of the place lies at ``start`` in the image."""
    first = pieces[0].address
    tags = tuple(dict.fromkeys(tag for piece in pieces for tag in piece.tags))
    return Read(tags, place, first, max(piece.end for piece in pieces) - first, start + first - address, tuple(pieces))


def pack_reads(clusters: Sequence[Cluster], room: Room, max_gap: int) -> tuple[Job, ...]:
    """Requests that read all clusters."""
    fitting = [_cut_large(cluster, room.item) for cluster in clusters]
    best: tuple[tuple[int, int], list[list[Read]]] | None = None
    for gap in sorted(_gaps(fitting, room, max_gap)):
        reads = [read for cluster in fitting for read in _runs(cluster, gap, room.item)]
        for jobs in (_first_fit(reads, room), _paired(reads, room), _filled(reads, room)):
            score = len(jobs), sum(READ_ITEM + cost(read.size) for job in jobs for read in job)
            if best is None or score < best[0]:
                best = score, jobs
    return tuple(map(tuple, best[1])) if best else ()


def pack_again(reads: Iterable[Read], room: Room) -> tuple[Job, ...]:
    """Requests for items that stay as they are."""
    return tuple(map(tuple, _first_fit(list(reads), room)))


def _gaps(clusters: Sequence[Cluster], room: Room, max_gap: int) -> set[int]:
    """Gaps worth trying: none, all, and those about which neither items nor bytes alone decide."""
    found: list[int] = []
    items, data = len(clusters), 0
    for cluster in clusters:
        end = cluster.address
        for piece in cluster.pieces:
            data += max(0, piece.end - max(end, piece.address))
            if piece.address > end:
                found.append(piece.address - end)
            end = max(end, piece.end)
    found.sort()
    items += len(found)
    best, place = _requests(items, data, room), 0
    for count, gap in enumerate(found, 1):
        items, data = items - 1, data + gap
        if (needed := _requests(items, data, room)) < best:
            best, place = needed, count
    near = found[max(0, place - NEAR - 1) : place + NEAR : NEAR]
    return {gap for gap in (0, *near, *found[place - 1 : place], max_gap) if gap <= max_gap}


def _requests(items: int, data: int, room: Room) -> float:
    """Requests below which so many items with so many bytes cannot go."""
    return max(items / room.items, (data + ITEM_HEADER * items) / room.data)


def _cut_large(cluster: Cluster, limit: int) -> Cluster:
    """Values that are larger than an item, in parts."""
    if all(piece.size <= limit for piece in cluster.pieces):
        return cluster
    pieces = sorted(
        Piece(at, min(limit, piece.end - at), piece.tags)
        for piece in cluster.pieces
        for at in range(piece.address, piece.end, limit)
    )
    return Cluster(cluster.place, cluster.address, cluster.start, tuple(pieces))


def _runs(cluster: Cluster, gap: int, limit: int) -> Iterator[Read]:
    """Items of at most ``limit`` bytes that run over gaps of at most ``gap``."""
    group: list[Piece] = []
    end = 0
    for piece in cluster.pieces:
        if group and (piece.address - end > gap or max(end, piece.end) - group[0].address > limit):
            yield make_read(cluster.place, cluster.address, cluster.start, group)
            group = []
        end = max(end, piece.end) if group else piece.end
        group.append(piece)
    yield make_read(cluster.place, cluster.address, cluster.start, group)


def _order(read: Read) -> tuple[int, Place, int]:
    return -read.size, read.place, read.address


def _first_fit(reads: Sequence[Read], room: Room) -> list[list[Read]]:
    """Largest items first, each into the first request that has room."""
    jobs: list[list[Read]] = []
    left: list[list[int]] = []  # [job, items, bytes] of those that have room
    for read in sorted(reads, key=_order):
        need = cost(read.size)
        state = next((state for state in left if state[2] >= need), None)
        if state is None:
            if len(left) == OPEN_JOBS:
                del left[0]
            state = [len(jobs), room.items, room.data]
            left.append(state)
            jobs.append([])
        jobs[state[0]].append(read)
        state[1] -= 1
        state[2] -= need
        if not state[1] or state[2] < cost(1):
            left.remove(state)
    return jobs


def _paired(reads: Sequence[Read], room: Room) -> list[list[Read]]:
    """Large items beside small ones, so that a request runs out of bytes and of items at about the same time."""
    waiting = sorted(reads, key=_order, reverse=True)
    jobs: list[list[Read]] = []
    items, data = 0, 0
    while waiting:
        small = cost(waiting[0].size)
        if not items or data < small:
            jobs.append([])
            items, data = room.items, room.data
        spare = max(data - (items - 1) * small, small) - ITEM_HEADER
        read = waiting.pop(bisect_right(waiting, spare - (spare & 1), key=_SIZE) - 1)
        jobs[-1].append(read)
        items -= 1
        data -= cost(read.size)
    return jobs


def _filled(reads: Sequence[Read], room: Room) -> list[list[Read]]:
    """One request after the other, each filled to the last byte by cutting the item that no longer fits."""
    jobs: list[list[Read]] = []
    items, data = 0, 0
    for read in sorted(reads, key=_order):
        rest: Read | None = read
        while rest is not None:
            if not items or data < cost(1):
                jobs.append([])
                items, data = room.items, room.data
            part, rest = _cut(rest, data - ITEM_HEADER, whole=not jobs[-1])
            if part is None:
                items = 0
                continue
            jobs[-1].append(part)
            items -= 1
            data -= cost(part.size)
    return jobs


def _cut(read: Read, limit: int, *, whole: bool) -> tuple[Read | None, Read | None]:
    """What of an item fits into ``limit`` bytes, and the rest; with ``whole`` it is known to fit."""
    limit -= limit & 1
    if whole or read.size <= limit:
        return read, None
    ends = accumulate((piece.end for piece in read.pieces), max)
    count = next(place for place, end in enumerate(ends) if end - read.address > limit)
    if not count:
        return None, read
    pieces = read.pieces
    return (
        make_read(read.place, read.address, read.start, pieces[:count]),
        make_read(read.place, read.address, read.start, pieces[count:]),
    )
