"""A decoded poll: packed columns, lists and quality of all tags of a poll group, in schema order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.model.schema import Layout
from gateway.model.types import DataType

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Span(NamedTuple):
    """Where one column is: schema positions ``first`` to ``last``, packed bytes ``start`` to ``end`` (excluded)."""

    type: DataType
    first: int
    last: int
    start: int
    end: int

    def among(self, chosen: Places) -> Places:
        """Those of the chosen schema positions (ascending) that lie in this column, counted within it."""
        return chosen[slice(*np.searchsorted(chosen, (self.first, self.last)))] - self.first


@dataclass(slots=True)
class Reading:
    """Values of one poll. Slots of bad values hold 0 or None, so two readings of a bad tag are equal."""

    packed: Bytes
    """All packed columns, one behind the other, little-endian."""
    lists: list[str | bytes | None]
    """Strings and bytes, which come last in a schema: schema position less ``Layout``'s count of packed tags."""
    quality: Bytes
    """One code per tag."""
    time: int = 0
    """Nanoseconds since the Unix epoch."""


def spans(layout: Layout) -> list[Span]:
    """Columns of a layout with their places in the packed bytes."""
    found: list[Span] = []
    start = 0
    for kind, first, count in layout.columns:
        end = start + count * kind.width
        found.append(Span(kind, first, first + count, start, end))
        start = end
    return found
