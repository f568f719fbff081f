"""The writer's thread and the inbox through which the event loop speaks to it.

While one commit runs, everything that arrives is gathered for the next: group commit without waiting for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.bus.batcher import Sealed
from gateway.bus.cursor import Range
from gateway.bus.ledger import Ledger, Outcome
from gateway.model.schema import SchemaId

RETRY_SECONDS: Final = 1.0


class Writer:
    """Owns the thread; ``ledger`` is touched by nobody else while it runs."""

    def __init__(
        self,
        ledger: Ledger,
        committed: Callable[[Outcome], None],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._ledger = ledger
        self._committed = committed
        self._ended = ended
        self._changed = threading.Condition()
        self._sealed: deque[Sealed] = deque()
        self._schemas: dict[SchemaId, bytes] = {}
        self._positions: dict[str, str | None] = {}
        self._removable: list[Range] | None = None
        self._aside: set[int] = set()
        self._damaged = False
        self._woken = False
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="bus-writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, sealed: Sealed, schemas: dict[SchemaId, bytes]) -> None:
        """Commit a batch, and with it the schemas that became known."""
        with self._changed:
            self._sealed.append(sealed)
            self._schemas.update(schemas)
            self._wake()

    def put_positions(self, positions: dict[str, str | None], removable: list[Range]) -> None:
        """Make positions durable with the next commit; ``removable`` is what every consumer has."""
        with self._changed:
            self._positions.update(positions)
            self._removable = removable
            self._wake()

    def set_aside(self, place: int) -> None:
        """A row was found damaged."""
        with self._changed:
            self._aside.add(place)
            self._wake()

    def rebuild(self) -> None:
        """The store's structure was found damaged."""
        with self._changed:
            self._damaged = True
            self._wake()

    def give_up_oldest(self) -> Sealed | None:
        """Take back the oldest batch that still waits; None when there is none but the one being written."""
        with self._changed:
            return self._sealed.popleft() if self._sealed else None

    def stop(self) -> None:
        """Commit all that is there, once more, and end."""
        with self._changed:
            self._stop = True
            self._wake()

    def _wake(self) -> None:
        self._woken = True
        self._changed.notify()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._turn():
                pass
        except BaseException as unexpected:  # noqa: BLE001 - handed to the loop, which raises it
            error = unexpected
        self._ended(error)

    def _turn(self) -> bool:
        with self._changed:
            ledger = self._ledger
            stuck = bool(ledger.held) or ledger.store.broken
            if not self._woken and (stuck or not self._sealed):
                self._changed.wait(RETRY_SECONDS if stuck or ledger.later else None)
            self._woken = False
            taken = self._take()
            stop = self._stop and not self._sealed
            self._ledger.store.broken |= self._damaged
            self._damaged = False
        for sealed in taken:
            self._ledger.take(sealed)
        self._committed(self._ledger.attempt(final=stop))
        return not stop

    def _take(self) -> list[Sealed]:
        """Move what arrived to the ledger, batches up to a bound. Called with the lock."""
        ledger = self._ledger
        ledger.schemas.update(self._schemas)
        ledger.positions.update(self._positions)
        ledger.aside |= self._aside
        self._schemas, self._positions, self._aside = {}, {}, set()
        if self._removable is not None:
            ledger.removable = self._removable
        taken: list[Sealed] = []
        weight = sum(each.weight for each in ledger.held)
        while self._sealed and (weight < ledger.store.group or self._stop):
            taken.append(self._sealed.popleft())
            weight += taken[-1].size
        return taken
