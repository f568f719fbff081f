"""Which batches came, which came twice, which are missing: one set of ranges per gateway and epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final


class Ranges:
    """A set of integers kept as ranges: what grows at the end costs nothing, holes may be filled later.

    At most `MOST` ranges are kept: beyond, the oldest hole is given up for lost and counted in ``abandoned``.
    """

    MOST: Final = 100_000
    __slots__ = ("_first", "_last", "abandoned")

    def __init__(self) -> None:
        self.abandoned = 0
        self._first: list[int] = []
        self._last: list[int] = []

    def add(self, first: int, last: int | None = None) -> None:
        """Add an integer, or all from ``first`` to ``last``."""
        last = first if last is None else last
        low = bisect_right(self._last, first - 2)
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
        self._first[low:high] = [first]
        self._last[low:high] = [last]
        if len(self._first) > self.MOST:
            self.abandoned += self._first[1] - self._last[0] - 1
            del self._first[1], self._last[0]

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._first, number) - 1
        return place >= 0 and number <= self._last[place]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._first, self._last, strict=True)

    def __len__(self) -> int:
        return len(self._first)

    @property
    def lowest(self) -> int | None:
        """Smallest member."""
        return self._first[0] if self._first else None

    @property
    def highest(self) -> int | None:
        """Largest member."""
        return self._last[-1] if self._last else None

    def holes(self, first: int, last: int) -> list[tuple[int, int]]:
        """Ranges between ``first`` and ``last`` that are not in the set."""
        found = []
        for start, stop in self:
            if stop < first:
                continue
            if start > last:
                break
            if start > first:
                found.append((first, start - 1))
            first = stop + 1
        if first <= last:
            found.append((first, last))
        return found


@dataclass(slots=True)
class Journal:
    """What came of one epoch of one gateway."""

    seen: Ranges = field(default_factory=Ranges)
    declared: Ranges = field(default_factory=Ranges)
    """Batches that the gateway has declared lost."""
    batches: int = 0
    points: int = 0
    duplicates: int = 0
    """Messages that had come before."""

    def missing(self, window: int = 0, *, from_start: bool = False) -> list[tuple[int, int]]:
        """Ranges of seq that did not come, are not declared lost, and lie at least ``window`` behind the newest.

        Counts from the first batch that came, or with ``from_start`` from 1.
        """
        lowest, highest = self.seen.lowest, self.seen.highest
        if lowest is None or highest is None:
            return []
        found = []
        for first, last in self.seen.holes(1 if from_start else lowest, highest - window):
            found += self.declared.holes(first, last)
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """The account of all that a reader was fed."""

    journals: dict[tuple[str, int], Journal]
    """By gateway and epoch."""
    missing: dict[tuple[str, int], list[tuple[int, int]]]
    """Ranges of seq that are missing without explanation; empty: nothing was lost."""
    batches: int
    points: int
    duplicates: int
    gaps: int
    """Gap records received."""
    malformed: int
    incomplete: int
    """Batches of which some parts have come and others not yet."""
    waiting: int
    """Frames whose schema has not come yet."""
    dropped: int
    """Frames given up because too many were waiting."""

    @property
    def lost(self) -> int:
        """Number of batches missing without explanation."""
        known = sum(last - first + 1 for ranges in self.missing.values() for first, last in ranges)
        return known + sum(journal.seen.abandoned for journal in self.journals.values())


MAX_JOURNALS: Final = 10_000
"""Gateways times epochs that are tracked; a stranger could otherwise invent names until memory is gone."""
