"""Packing: which places of a CPU are read with which request, so that few requests carry all. Pure.

Three requests read (see codec): 0401 one row of cells, 0406 many rows, 0403 many single cells or pairs. Rows may run
over cells that nobody asked for; single cells do not, but there are fewer to a request. So every width of gap is tried,
and for each every division of the runs between rows and single cells, longest runs into rows first; the fewest requests
win, then the fewest bytes. A *cell* is a word, 16 bits in a word, or one point of two words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from adapters.mc.address import RANK, Area, Kind
from adapters.mc.series import Capacity


class Method(Enum):
    """The three requests that read."""

    ROW = "0401"
    CELLS = "0403"
    ROWS = "0406"


@dataclass(frozen=True, slots=True)
class Item:
    """A value, or several at the same place: all of it is read by one request."""

    area: Area
    first: int
    """First cell."""
    cells: int
    tags: tuple[int, ...]

    @property
    def end(self) -> int:
        """First cell behind it."""
        return self.first + self.cells

    @property
    def order(self) -> tuple[int, int, int]:
        """Where it stands among others."""
        return RANK[self.area.name], self.first, self.cells


class Span(NamedTuple):
    """Cells in a row, as one request names them."""

    area: Area
    first: int
    cells: int

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.cells * self.area.size

    def holds(self, item: Item) -> bool:
        """True when an item lies in it, or a part of one."""
        return item.area is self.area and item.first < self.first + self.cells and self.first < item.end


class Group(NamedTuple):
    """What one request reads, spans in the order of the answer."""

    method: Method
    spans: tuple[Span, ...]
    items: tuple[Item, ...]


class Run(NamedTuple):
    """Neighbours: what one row covers."""

    items: tuple[Item, ...]
    span: Span
    points: int
    """How many single cells and pairs would carry it."""


def pack(items: Iterable[Item], room: Capacity, max_gap: int) -> tuple[Group, ...]:
    """Divide items into requests. The order in which they are given does not matter.

    Raises ValueError for an item that only 0403 can read where ``room`` has none, and for one that fits no request.
    """
    ordered = sorted(items, key=lambda item: item.order)
    best: tuple[tuple[int, int, int], list[list[Run]], list[Run]] | None = None
    for gap in _gaps(max_gap):
        runs = list(_runs(ordered, gap, room))
        cost, rows, cells = _divide(runs, room)
        if best is None or (*cost, gap) < best[0]:
            best = (*cost, gap), rows, cells
    assert best is not None
    _, rows, cells = best
    groups = [_rows(members) for members in rows] + [_cells(members) for members in _filled(cells, room)]
    return tuple(sorted(groups, key=lambda group: (group.items[0].order, len(group.spans))))


def _gaps(most: int) -> Iterator[int]:
    """0, 1, 2, 4 … and ``most`` itself."""
    yield 0
    gap = 1
    while gap < most:
        yield gap
        gap *= 2
    if most:
        yield most


def _runs(items: Sequence[Item], gap: int, room: Capacity) -> Iterator[Run]:
    """Greedy from the lowest cell, which is the fewest rows there can be."""
    members: list[Item] = []
    end = 0
    for item in items:
        if item.area.batch and item.cells > room.words:
            raise ValueError(f"{item.cells} words are more than the {room.words} that one read may have")
        if members:
            first = members[0]
            near = item.area is first.area and item.area.batch and item.first - end <= gap
            if not near or max(end, item.end) - first.first > room.words:
                yield _run(members, end)
                members = []
        end = max(end, item.end) if members else item.end
        members.append(item)
    if members:
        yield _run(members, end)


def _run(items: Sequence[Item], end: int) -> Run:
    area, first = items[0].area, items[0].first
    points = sum(_pairs(area, length) for _, length in _covered(items))
    return Run(tuple(items), Span(area, first, end - first), points)


def _pairs(area: Area, length: int) -> int:
    return length if area.kind is Kind.LONG else -(-length // 2)


def _covered(items: Sequence[Item]) -> list[tuple[int, int]]:
    """(first, length) of the cells that items, sorted and of one area, really need."""
    found: list[tuple[int, int]] = []
    for item in items:
        if found and item.first <= found[-1][0] + found[-1][1]:
            first, length = found[-1]
            found[-1] = first, max(length, item.end - first)
        else:
            found.append((item.first, item.cells))
    return found


def _divide(runs: Sequence[Run], room: Capacity) -> tuple[tuple[int, int], list[list[Run]], list[Run]]:
    """Which runs become rows, and which single cells: ((requests, bytes), rows by request, runs for cells)."""
    rows: list[Run] = []
    cells: list[Run] = []
    free: list[Run] = []
    for run in runs:
        by_row, by_cells = run.span.area.batch, run.span.area.random and 0 < run.points <= room.points
        if not by_row and not by_cells:
            raise ValueError(
                f"{run.span.area.name} can only be read at random places (0403), which max_points rules out"
            )
        (free if by_row and by_cells else rows if by_row else cells).append(run)
    rows.sort(key=lambda run: -run.span.cells)
    free.sort(key=lambda run: (-run.points, -run.span.cells))
    bins = Bins(room)
    for run in rows:
        bins.add(run)
    points = sum(run.points for run in (*free, *cells))
    size = bins.size + sum(_cells_size(run) for run in (*free, *cells))
    best, taken = (len(bins.members) + _requests(points, room), size), 0
    for count, run in enumerate(free, 1):
        bins.add(run)
        points -= run.points
        size += 6 + run.span.size - _cells_size(run)
        cost = len(bins.members) + _requests(points, room), size
        if cost < best:
            best, taken = cost, count
    bins = Bins(room)
    for run in (*rows, *free[:taken]):
        bins.add(run)
    return best, bins.members, free[taken:] + cells


def _requests(points: int, room: Capacity) -> int:
    return -(-points // room.points) if points else 0


def _cells_size(run: Run) -> int:
    """Bytes on the wire of a run read cell by cell: a device of four bytes for each point, and the data."""
    return 4 * run.points + sum(item.cells * item.area.size for item in run.items)


class Bins:
    """Requests for rows, filled first fit."""

    def __init__(self, room: Capacity) -> None:
        self.members: list[list[Run]] = []
        self.size = 0
        """Bytes on the wire, beside those of the frames."""
        self._room = room
        self._words: list[int] = []

    def add(self, run: Run) -> None:
        """Put a run where there is room for it."""
        words = run.span.cells
        self.size += 6 + run.span.size
        for place, used in enumerate(self._words):
            if used + words <= self._room.words and len(self.members[place]) < self._room.blocks:
                self._words[place] += words
                self.members[place].append(run)
                return
        self._words.append(words)
        self.members.append([run])


def _rows(runs: Sequence[Run]) -> Group:
    """One request for rows; in an answer those of words come before those of bits."""
    ordered = sorted(runs, key=lambda run: (run.span.area.kind is Kind.BIT, run.items[0].order))
    items = sorted((item for run in runs for item in run.items), key=lambda item: item.order)
    spans = tuple(run.span for run in ordered)
    return Group(Method.ROW if len(spans) == 1 else Method.ROWS, spans, tuple(items))


def _filled(runs: Sequence[Run], room: Capacity) -> Iterator[list[tuple[list[Item], list[Span]]]]:
    """Single cells by request: clusters of neighbours stay together, first fit, largest first."""
    clusters = sorted(
        (cluster for run in runs for cluster in _clusters(run.items)),
        key=lambda cluster: (-len(cluster[1]), cluster[0][0].order),
    )
    filled: list[list[tuple[list[Item], list[Span]]]] = []
    used: list[int] = []
    for cluster in clusters:
        points = len(cluster[1])
        for place, count in enumerate(used):
            if count + points <= room.points:
                used[place] += points
                filled[place].append(cluster)
                break
        else:
            used.append(points)
            filled.append([cluster])
    return iter(filled)


def _clusters(items: Sequence[Item]) -> Iterator[tuple[list[Item], list[Span]]]:
    """Items that touch each other, with the cells and pairs that carry them."""
    area = items[0].area
    width = 1 if area.kind is Kind.LONG else 2
    place = 0
    for first, length in _covered(items):
        members = []
        while place < len(items) and items[place].first < first + length:
            members.append(items[place])
            place += 1
        end = first + length
        yield members, [Span(area, at, min(width, end - at)) for at in range(first, end, width)]


def _cells(clusters: Sequence[tuple[list[Item], list[Span]]]) -> Group:
    """One request for single cells; in an answer words come before those of four bytes."""
    spans = sorted(
        (span for _, spans in clusters for span in spans), key=lambda s: (s.size, RANK[s.area.name], s.first)
    )
    items = sorted((item for members, _ in clusters for item in members), key=lambda item: item.order)
    return Group(Method.CELLS, tuple(spans), tuple(items))
