"""A consumer: hands out batches in its order, remembers what is in flight and what was acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from gateway.bus.cursor import FAR, Position, Range
from gateway.bus.recent import Recent
from gateway.bus.store import Row
from gateway.config.root import Order
from gateway.model.batch import Batch

MAX_IN_FLIGHT: Final = 4096
"""More unacknowledged batches than this are not handed out: it bounds the ranges of a position."""
MAX_STRETCHES: Final = 256
"""With this many stretches left behind, fresh_first no longer leaves more behind."""
STALE: Final = 2_000_000_000
"""fresh_first: a batch that waited this long (ns) is backlog, and the newest comes first."""
READ_ROWS: Final = 64
READ_BYTES: Final = 4 * 1024 * 1024


class Host(Protocol):
    """What a consumer asks of its bus."""

    epoch: int
    recent: Recent
    newest: int
    """Place of the newest batch committed."""

    def now(self) -> int:
        """The bus's own time (gateway.bus.age), ns."""

    def base(self, epoch: int) -> int:
        """Place before the first batch of an epoch."""

    def read(self, consumer: LocalConsumer, scan: Scan, first: int, last: int) -> None:
        """Read rows from the store; `Scan.arrived` is called with them."""

    def acknowledged(self, consumer: LocalConsumer) -> None:
        """Its position has changed."""

    def check(self) -> None:
        """Raise what made the bus fail, if it did."""


class Scan:
    """Goes once through the places, upwards, past those that are acknowledged, in flight or gone."""

    def __init__(self, consumer: LocalConsumer, at: int) -> None:
        self.at = at
        """Everything up to here was handed out, or is not to be."""
        self.reading = False
        self.gone: set[int] = set()
        """Rows deleted while a read was under way."""
        self._consumer = consumer
        self._ahead: deque[Row] = deque()
        self._ahead_to = 0
        """Every row up to here that was read is in `_ahead`."""

    def next(self, last: int) -> Row | None:
        """Next row up to ``last``; None when there is none, or when it is being read."""
        consumer = self._consumer
        recent = consumer.host.recent
        while (place := consumer.position.next_open(self.at + 1)) <= last:
            row = None
            if place <= self._ahead_to:
                row = self._from_ahead(place)
            elif place >= recent.first:
                row = recent.get(place)
                if row is None:
                    consumer.position.add(place)
                    self.at = place
                    continue
            else:
                self._read_on(place, last)
                return None
            if row is None:
                continue
            self.at = row.place
            if row.place not in consumer.in_flight:
                self._read_ahead(last)
                return row
        return None

    def _from_ahead(self, place: int) -> Row | None:
        """The first row read at or after ``place``; what lies between is no more in the store."""
        while self._ahead and self._ahead[0].place < place:
            self._ahead.popleft()
        row = self._ahead.popleft() if self._ahead else None
        end = row.place - 1 if row else self._ahead_to
        self._consumer.position.add(place, end)
        self.at = end
        return row

    def _read_on(self, place: int, last: int) -> None:
        if not self.reading:
            self.reading = True
            consumer = self._consumer
            until = min(last, consumer.host.recent.first - 1, consumer.position.open_until(place))
            consumer.host.read(consumer, self, place, until)

    def _read_ahead(self, last: int) -> None:
        if self._ahead_to > self.at and len(self._ahead) < READ_ROWS // 2:
            place = self._consumer.position.next_open(self._ahead_to + 1)
            if place <= last and place < self._consumer.host.recent.first:
                self._read_on(place, last)

    def arrived(self, places: Range, found: Sequence[Row | int]) -> None:
        """Take what a read of ``places`` brought. A place alone is a damaged row: it is passed over."""
        self.reading = False
        rows = [row for row in found if isinstance(row, Row)]
        cut_short = len(found) >= READ_ROWS or sum(row.batch.size for row in rows) >= READ_BYTES
        tail = found[-1] if cut_short else places[1]
        self._ahead_to = tail.place if isinstance(tail, Row) else tail
        self._ahead.extend(row for row in rows if row.place not in self.gone)
        self.gone.clear()

    def removed(self, places: Collection[int]) -> None:
        """Rows were deleted."""
        if self.reading:
            self.gone.update(places)
        if self._ahead:
            self._ahead = deque(row for row in self._ahead if row.place not in places)


class LocalConsumer:
    """See `gateway.bus.protocol.Consumer`."""

    def __init__(self, host: Host, name: str, order: Order, position: Position, backlog: int) -> None:
        self.name = name
        self.host = host
        self.position = position
        self.in_flight: dict[int, Batch] = {}
        """By place: handed out, still held, not acknowledged."""
        self.retired = False
        self._order = order
        self._backlog = backlog
        self._boundary = host.newest
        """What was committed up to here is backlog."""
        self._again: deque[int] = deque()
        self._behind = Scan(self, position.low)
        self._live = Scan(self, host.newest) if order is Order.FRESH_FIRST else self._behind
        self._parked: Row | None = None
        """Next to hand out, once the epoch before it is acknowledged."""
        self._serving = 0
        self._wake = asyncio.Event()

    async def fetch(self) -> Batch:
        """See the protocol."""
        while True:
            self.host.check()
            if self.retired:
                raise RuntimeError(f"consumer {self.name} was opened again or forgotten: this one is of no more use")
            self._wake.clear()
            if (batch := self._next()) is not None:
                return batch
            await self._wake.wait()

    def live(self, batch: Batch) -> bool:
        """See the protocol."""
        return self.host.base(batch.epoch) + batch.seq > self._boundary

    def acknowledge(self, seq: int) -> None:
        """See the protocol. A seq that is not in flight is passed over: it was acknowledged, or is no longer held."""
        place = self.host.base(self._serving) + seq
        if self.in_flight.pop(place, None) is None:
            return
        self.position.add(place)
        self._backlog -= 1
        self.host.acknowledged(self)
        self._wake.set()

    def restart(self) -> None:
        """See the protocol. Whatever is committed by now counts as backlog from here on."""
        self._again = deque(sorted(self.in_flight))
        self._boundary = self.host.newest
        if self._live is not self._behind:
            self._live.at = self._boundary
        self._wake.set()

    @property
    def backlog(self) -> int:
        """See the protocol."""
        return self._backlog

    def committed(self, count: int) -> None:
        """So many batches more are there."""
        self._backlog += count
        self._wake.set()

    def removed(self, places: set[int], last: int) -> None:
        """Rows were deleted from the store, ``last`` the newest of them."""
        if last > self.position.low:
            self._backlog -= sum(place not in self.position for place in places)
            for place in places & self.in_flight.keys():
                del self.in_flight[place]
        if self._parked is not None and self._parked.place in places:
            self._parked = None
        for scan in {self._behind, self._live}:
            scan.removed(places)
        self._wake.set()

    def damaged(self, place: int) -> None:
        """A row cannot be read: the bus declares it lost, this consumer goes past it."""
        if place not in self.position:
            self.position.add(place)
            self._backlog -= 1

    def wake(self) -> None:
        """Look again: something was read, or something failed."""
        self._wake.set()

    def _next(self) -> Batch | None:
        older = self.position.next_open(self._behind.at + 1) <= self.host.base(self.host.epoch)
        if self._fresh_first and not older:
            self._leave_behind()
            if (batch := self._hand_out(self._live, self.host.newest)) is not None:
                return batch
        while self._again:
            if (batch := self.in_flight.get(self._again.popleft())) is not None:
                return batch
        last = self._boundary if self._fresh_first else self.host.newest
        if (batch := self._hand_out(self._behind, last)) is None:
            self._settle()
        return batch

    @property
    def _fresh_first(self) -> bool:
        return self._live is not self._behind

    def _hand_out(self, scan: Scan, last: int) -> Batch | None:
        """The scan's next batch. Two epochs are never in flight at once, so that a seq alone says which is meant."""
        if len(self.in_flight) >= MAX_IN_FLIGHT:
            return None
        row, self._parked = self._parked, None
        if row is None and (row := scan.next(last)) is None:
            return None
        batch = row.batch
        if self.in_flight and batch.epoch != self._serving:
            self._parked = row
            return None
        self._serving = batch.epoch
        self.in_flight[row.place] = batch
        return batch

    def _leave_behind(self) -> None:
        """When the next batch is no longer fresh, begin again at the newest ones; what is skipped becomes backlog."""
        recent, newest, now = self.host.recent, self.host.newest, self.host.now()
        place = self.position.next_open(self._live.at + 1)
        if place >= newest or len(self.position) >= MAX_STRETCHES:
            return
        row = recent.get(place)
        if row is not None and now - row.closed <= STALE:
            return
        fresh = newest
        while (row := recent.get(fresh - 1)) is not None and now - row.closed <= STALE:
            fresh -= 1
        if fresh > place:
            self._live.at = self._boundary = fresh - 1

    def _settle(self) -> None:
        """When everything was handed out, the backlog is exactly what is in flight."""
        scans = {(self._behind, self._boundary if self._fresh_first else FAR), (self._live, FAR)}
        idle = self._parked is None and not any(scan.reading for scan, _ in scans)
        newest = self.host.newest
        if idle and all(self.position.next_open(scan.at + 1) > min(last, newest) for scan, last in scans):
            self._backlog = len(self.in_flight)
