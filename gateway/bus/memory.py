"""The store that keeps nothing: for tests, and for those who want no disk. Same limits, same order, same gaps."""

from __future__ import annotations

import secrets
import threading
from itertools import islice

from gateway.bus.age import first_epoch
from gateway.bus.cursor import Position
from gateway.bus.store import Change, Extent, Row, State, extent
from gateway.model.batch import Gap
from gateway.model.schema import SchemaId


class MemoryStore:
    """Rows in a dict, oldest first. See `Store`."""

    kind = "memory"
    group = 8 * 1024 * 1024

    def __init__(self, gateway: str, now: int) -> None:
        self.state = State(gateway=gateway, epoch=first_epoch(now, secrets.randbelow))
        self.loss: list[Gap] = []
        self.rebuilt = 0
        self.broken = self.cramped = False
        self._rows: dict[int, Row] = {}
        self._lock = threading.Lock()

    def positions(self) -> dict[str, Position]:
        """Nothing survives, so nobody is known."""
        return {}

    def schemas(self) -> dict[SchemaId, bytes]:
        """Nothing survives."""
        return {}

    def apply(self, change: Change) -> None:
        """Take and drop rows. Never full: the limit is the bus's."""
        with self._lock:
            for place in (*change.remove, *change.aside):
                self._rows.pop(place, None)
            self._rows.update((row.place, row) for row in change.rows)
        self.state = change.state

    def _between(self, first: int, last: int, count: int) -> list[Row]:
        with self._lock:
            return list(islice((row for row in self._rows.values() if first <= row.place <= last), count))

    def extents(self, first: int, last: int, count: int) -> list[Extent]:
        """Rows without bodies, oldest first."""
        return [extent(row) for row in self._between(first, last, count)]

    def median(self) -> int:
        """Place of the row in the middle."""
        return next(islice(self._rows, len(self._rows) // 2, None), 0)

    def read(self, first: int, last: int, count: int, size: int) -> list[Row | int]:
        """Rows, oldest first. None is ever damaged."""
        found: list[Row | int] = []
        for row in self._between(first, last, count):
            found.append(row)
            size -= row.batch.size
            if size <= 0:
                break
        return found

    def unread(self, position: Position) -> int:
        """Rows held that are not in the position."""
        return sum(place not in position for place in self._rows)

    def rebuild(self) -> None:
        """Memory does not break."""

    def disk_free(self) -> int | None:
        """No disk."""
        return None

    def room_inside(self) -> int:
        """Nothing is set aside."""
        return 0

    def relieve(self) -> None:
        """There are no reserves."""

    def tidy(self) -> None:
        """Python gives memory back by itself."""

    def close(self, stopped: int) -> None:  # noqa: ARG002 - the protocol's
        """Forget everything."""
        self._rows.clear()
