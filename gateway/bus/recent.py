"""Recent batches in memory, so that a lane that keeps up never reads the disk."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.bus.cursor import FAR
from gateway.bus.store import Row


class Recent:
    """The newest rows, up to ``limit`` bytes of bodies; complete from `first` on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[int, Row] = {}
        self._bytes = 0
        self.first = FAR
        """From this place on, every row held is here; FAR: none is."""

    def add(self, row: Row) -> None:
        """Take the newest row; the oldest make room."""
        if self.first == FAR:
            self.first = row.place
        self._rows[row.place] = row
        self._bytes += row.batch.size
        while self._bytes > self._limit:
            oldest = next(iter(self._rows))
            self._bytes -= self._rows.pop(oldest).batch.size
            self.first = oldest + 1

    def get(self, place: int) -> Row | None:
        """The row, if it is held."""
        return self._rows.get(place)

    def remove(self, places: Iterable[int]) -> None:
        """Forget rows that were deleted."""
        for place in places:
            if (row := self._rows.pop(place, None)) is not None:
                self._bytes -= row.batch.size

    def clear(self) -> None:
        """Forget everything: what the store holds from here on is not known."""
        self._rows.clear()
        self._bytes = 0
        self.first = FAR
