"""Position of a consumer: the set of places it has acknowledged, as few ranges instead of many numbers.

Batches of a lane that sends fresh data first, or that has several in flight, are acknowledged out of order. What is
kept is one low watermark and the ranges above it; there are never more ranges than batches in flight, plus one for
each stretch that was left behind as backlog.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

FAR: Final = (1 << 63) - 1
"""Greater than every place."""

Range = tuple[int, int]
"""First and last place, both included."""


class Position:
    """Set of places from 1 on. Ranges are ascending, disjoint, and never touch each other."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    @property
    def low(self) -> int:
        """Everything up to here is in the set; 0 when place 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def ranges(self) -> list[Range]:
        """All of it, ascending."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """Count of ranges."""
        return len(self._firsts)

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self._firsts, place) - 1
        return at >= 0 and place <= self._lasts[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and self.ranges == other.ranges

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Position({self.ranges})"

    def add(self, first: int, last: int | None = None) -> None:
        """Put ``first`` … ``last`` (default: first alone) in, joining the ranges it overlaps or touches."""
        last = first if last is None else last
        if last < first:
            return
        left = bisect_left(self._lasts, first - 1)
        right = bisect_right(self._firsts, last + 1)
        if left < right:
            first = min(first, self._firsts[left])
            last = max(last, self._lasts[right - 1])
        self._firsts[left:right] = [first]
        self._lasts[left:right] = [last]

    def next_open(self, place: int) -> int:
        """Smallest place not in the set, at or after ``place``."""
        at = bisect_right(self._firsts, place) - 1
        return self._lasts[at] + 1 if at >= 0 and place <= self._lasts[at] else place

    def open_until(self, place: int) -> int:
        """Last place of the stretch outside the set that begins at ``place``; FAR when nothing follows."""
        at = bisect_right(self._firsts, place)
        return self._firsts[at] - 1 if at < len(self._firsts) else FAR

    def covered(self, first: int, last: int) -> int:
        """How many of ``first`` … ``last`` are in the set."""
        total = 0
        for low, high in zip(self._firsts, self._lasts, strict=True):
            if low > last:
                break
            total += max(0, min(high, last) - max(low, first) + 1)
        return total

    def encode(self) -> str:
        """JSON, as kept in the journal."""
        return msgspec.json.encode(self.ranges).decode()

    @classmethod
    def decode(cls, text: str) -> Position:
        """Inverse of `encode`. Raises msgspec.DecodeError for anything else."""
        return cls(msgspec.json.decode(text, type=list[Range]))


def in_all(positions: Sequence[Position]) -> list[Range]:
    """Ranges that every one of the positions holds; nothing when there is none to ask."""
    if not positions:
        return []
    common = positions[0].ranges
    for position in positions[1:]:
        common = _intersect(common, position.ranges)
    return common


def _intersect(left: list[Range], right: list[Range]) -> list[Range]:
    common: list[Range] = []
    a = b = 0
    while a < len(left) and b < len(right):
        first, last = max(left[a][0], right[b][0]), min(left[a][1], right[b][1])
        if first <= last:
            common.append((first, last))
        if left[a][1] < right[b][1]:
            a += 1
        else:
            b += 1
    return common
