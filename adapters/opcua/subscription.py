"""One subscription: which values of it belong to which tag of which poll group, and which message comes next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from adapters.opcua.address import Address
from adapters.opcua.columns import Column
from adapters.opcua.config import OpcUaDevice
from adapters.opcua.plan import OpcUaPlan, queue, sampling
from adapters.opcua.services import Created, Item
from adapters.opcua.spread import Places, kinds_of, part_of, spread
from adapters.opcua.status import CODE, OVERFLOW
from gateway.sdk import Feed, ProtocolFault, Quality

GONE: Final = 0x80340000
"""BadNodeIdUnknown, as a value: the node was there, and is no more."""
LAST_SEQUENCE: Final = 0xFFFFFFFF


class Subscription:
    """All poll groups with one publishing interval. A value's client handle is its place among all their tags."""

    def __init__(self, interval: float, keepalive: int, silence: float, feeds: Sequence[Feed]) -> None:
        self.interval = interval
        """Seconds, as asked for."""
        self.keepalive = keepalive
        self.silence = silence
        self.feeds = tuple(feeds)
        self.id = 0
        self.expected = 0
        """Sequence number of the next message; 0: not known yet."""
        self.bad: dict[int, Quality] = {}
        """Handles of tags that the server does not watch, and why."""
        self.ids: dict[int, int] = {}
        """The server's own number of each watched item, by handle."""
        self.stale_at = 0.0
        """Time of the loop at which it has been without a sign of life for too long."""
        self.overflowed = False
        """The server had to drop values."""
        self._seen: npt.NDArray[np.bool_] | None = None
        """After an interruption: handles that a message has come for since."""
        counts = [len(feed.tags) for feed in self.feeds]
        self._held = np.zeros(sum(counts))
        """Seconds for which the queue of each item lasts."""
        self._eager = np.zeros(sum(counts), np.bool_)
        """Items whose every change is queued."""
        self._starts = np.concatenate(([0], np.cumsum(counts)))
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._place: Places = np.arange(self._starts[-1]) - np.repeat(self._starts[:-1], counts)
        self._kinds = [kinds_of(feed.tags) for feed in self.feeds]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def address(self, handle: int) -> Address:
        """Where the tag with this handle lies."""
        owner, place = int(self._owner[handle]), int(self._place[handle])
        return cast("OpcUaPlan", self.feeds[owner].plan).points[place].address

    def item(self, handle: int, node: bytes) -> Item:
        """What the server is to watch for a tag."""
        owner, place = int(self._owner[handle]), int(self._place[handle])
        plan = cast("OpcUaPlan", self.feeds[owner].plan)
        device, tag = cast("OpcUaDevice", plan.device), plan.points[place]
        band = tag.server_deadband
        return Item(
            node,
            handle,
            sampling(device, tag),
            queue(device, tag),
            device.discard_oldest,
            band.percent or band.absolute,
            bool(band.percent),
            tag.index,
        )

    def handles(self) -> list[int]:
        """All handles, ordered by type: servers report in this order, and equal records decode in one go."""
        return np.argsort(np.concatenate(self._kinds), kind="stable").tolist() if len(self) else []

    def resume(self) -> None:
        """An interruption is over: from now on, note for which tags something comes."""
        self._seen = np.zeros(len(self), np.bool_)

    def unseen(self) -> list[int]:
        """Watched tags for which nothing has come since; from now on that is no longer noted."""
        seen, self._seen = self._seen, None
        return [] if seen is None else [handle for handle in np.flatnonzero(~seen).tolist() if handle not in self.bad]

    def tell_bad(self, handles: Iterable[int]) -> None:
        """Tell the feeds which of their tags the server does not watch."""
        told: dict[int, dict[int, Quality]] = {}
        for handle in handles:
            told.setdefault(int(self._owner[handle]), {})[int(self._place[handle])] = self.bad[handle]
        for owner, failures in told.items():
            self.feeds[owner].sample({}, failures=failures)

    def heard(self, now: float) -> None:
        """Note a sign of life."""
        self.stale_at = now + self.silence

    def alive(self) -> None:
        """Note that the subscription shows signs of life."""
        for feed in self.feeds:
            feed.alive()

    def deliver(self, columns: Sequence[Column]) -> None:
        """Hand over the values of a message. Raises ProtocolFault for a handle that nobody has."""
        served: set[int] = set()
        for column in columns:
            if not len(column.keys):
                continue
            if int(column.keys.max()) >= len(self):
                raise ProtocolFault(f"subscription {self.id} brings a value that nobody asked for")
            if column.statuses is not None:
                self._note(column)
            if self._seen is not None:
                self._seen[column.keys] = True
            for owner, part in self._shares(column):
                served.add(owner)
                spread(part, self._place[part.keys], self._kinds[owner], self.feeds[owner].put)
        for owner, feed in enumerate(self.feeds):
            if owner not in served:
                feed.alive()

    def _shares(self, column: Column) -> Iterator[tuple[int, Column]]:
        """The part of each poll group."""
        owners = self._owner[column.keys]
        first = int(owners[0])
        if len(self.feeds) == 1 or (owners == first).all():
            yield first, column
            return
        for owner in np.unique(owners).tolist():
            yield owner, part_of(column, np.flatnonzero(owners == owner))

    def _note(self, column: Column) -> None:
        """Note nodes that are gone, to be looked for again, and values that were dropped."""
        statuses = cast("Places", column.statuses)
        if ((statuses & OVERFLOW) == OVERFLOW).any():
            self.overflowed = True
        for handle in column.keys[(statuses & CODE) == GONE].tolist():
            self.bad[handle] = Quality.ADDRESS_REFUSED

    def next(self) -> int:
        """Sequence number behind the expected one (Part 4, 7.8: 0 is left out)."""
        return 1 if self.expected == LAST_SEQUENCE else self.expected + 1

    def watched(self, handle: int, created: Created) -> None:
        """Note what the server made of an item."""
        self.ids[handle] = created.id
        self.bad.pop(handle, None)
        self._held[handle] = created.queue * created.sampling / 1000 if created.queue > 1 else 0.0
        self._eager[handle] = created.queue > 1 and created.sampling == 0

    def covers(self, feed: Feed, span: float) -> bool:
        """True when the server has kept, for a poll group, whatever happened in ``span`` seconds.

        It says so itself when it had to drop a value; where it looks at values at intervals, the length of its queue
        must allow for it as well, for not every server says so.
        """
        own = self._owner == self.feeds.index(feed)
        enough = (self._held >= span) | self._eager
        return not self.overflowed and bool(enough[own].all())
