"""Times stamped while nobody vouched for a gateway's clock, and the records that correct them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec
import numpy as np

from gateway.model.batch import Gap
from gateway.model.frame import STRETCH_BIT, Frame, FrameFlag, stretch_of
from gateway.reader.events import Corrected

MAX_CLOCKS: Final = 10_000
"""Stretches of untrusted time that are remembered, over all gateways; the oldest go first."""
_KEEP: Final = (1 << STRETCH_BIT) - 1 & ~FrameFlag.TIME_UNTRUSTED
_INT64: Final = np.iinfo(np.int64)


class _Known(NamedTuple):
    """What was last said of a stretch; compares by how much it is worth."""

    final: bool
    epoch: int
    seq: int
    offset: int


class Clocks:
    """Corrections by gateway and stretch."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()

    def learn(self, gateway: str, epoch: int, seq: int, record: Gap) -> Corrected | None:
        """Take a record from a batch; None when a better one is known: batches may overtake each other.

        Raises ValueError for an offset that is out of range.
        """
        if not _INT64.min <= record.offset <= _INT64.max:
            raise ValueError(f"clock offset {record.offset} is not a 64-bit number of nanoseconds")
        new = _Known(record.into == 0, epoch, seq, record.offset)
        old = self._known.get((gateway, record.clock))
        if old is not None and old > new:
            return None
        self._known[gateway, record.clock] = new
        self._known.move_to_end((gateway, record.clock))
        while len(self._known) > MAX_CLOCKS:
            self._known.popitem(last=False)
        return Corrected(gateway, record.clock, record.offset, record.since, record.until, new.final)

    def frame(self, gateway: str, frame: Frame) -> Frame:
        """The frame with the right time, when that is known; a device's own times are left alone."""
        stretch = stretch_of(frame.flags)
        offset = self._final(gateway, stretch) if stretch else None
        own = frame.flags & FrameFlag.SOURCE_TIME
        if offset is None or (own and frame.offsets is None):
            return frame
        offsets = frame.offsets
        if own and offsets is not None and len(offsets) % 8 == 0:
            before = np.frombuffer(offsets, "<i8")
            offsets = np.where(before == 0, 0, before - offset).astype("<i8").tobytes()
        return msgspec.structs.replace(frame, time=frame.time + offset, offsets=offsets, flags=frame.flags & _KEEP)

    def gap(self, gateway: str, gap: Gap) -> Gap:
        """Likewise for a gap."""
        offset = self._final(gateway, gap.clock) if gap.clock else None
        if offset is None:
            return gap
        return msgspec.structs.replace(gap, since=gap.since + offset, until=gap.until + offset, clock=0)

    def _final(self, gateway: str, stretch: int) -> int | None:
        known = self._known.get((gateway, stretch))
        return known.offset if known is not None and known.final else None
