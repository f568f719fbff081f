"""Normalise: from what a poll brought to frames. Compiled once per poll group into a few vector operations.

The order of work is the order of cost. Bytes that equal those of the poll before are not even decoded. What differs is
gathered into packed columns in one go (`RegisterTable`), compared with what was last *reported*, and only what changed
by more than its deadband leaves. No Python object is made per value, strings apart.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.collect.reading import Bytes, Mask, Places, Reading
from gateway.collect.shape import shape_of
from gateway.config.base import Report, TagConfig
from gateway.model.frame import NARROW_INDEX, Frame, FrameFlag, PackedOrList
from gateway.model.quality import Quality
from gateway.model.schema import Schema, schema_id
from gateway.model.types import DTYPES, DataType, Value
from gateway.sdk.adapter import Plan, Readings

CONFIRMED: Final = int(FrameFlag.CONFIRMED)
SOURCE_TIME: Final = int(FrameFlag.SOURCE_TIME)
_FARTHEST: Final = 1 << 63
"""ns that a value's own time may be away from ours: what an offset holds."""
NO_VALUE: Final = 0x80
"""From this quality on there is no value (see model.quality)."""


class Normaliser:
    """Makes the frames of one poll group of one device.

    ``report``: policy of tags that name none. ``heartbeat``: seconds after which tags that were read and not reported
    are confirmed as unchanged; 0: never.
    """

    def __init__(
        self, device: str, group: str, tags: Sequence[TagConfig], plan: Plan, report: Report, heartbeat: float
    ) -> None:
        shape = shape_of(tags, plan.table, report)
        self._table = plan.table
        self._layout = shape.layout
        self._spans = shape.spans
        self._policy = shape.policy
        self._ranges = shape.ranges
        self._lists_from = shape.lists_from
        self._good = shape.good
        self.schema = Schema(device, group, shape.columns)
        self.identity = schema_id(self.schema.encode())
        self.size = len(tags)
        self._sent = self._policy.never_sent()
        self._image: bytearray | None = None
        """Image of the last poll, when an equal one would decode and report the same; else None."""
        self._read: Reading | None = None
        self._reported = self._blank(Quality.NOT_AVAILABLE)
        self._heartbeat = int(heartbeat * 1e9)
        self._confirm_at = 0
        self.flags = 0
        """What every frame is to say of the clock that stamps it."""
        self._silent: Mask = np.ones(self.size, np.bool_)
        """Tags that were not reported since the last confirmation."""

    def frames(self, readings: Readings, time: int, clock: int) -> list[tuple[Frame, int]]:
        """Frames that one poll gives rise to (none, one or two), each with its number of values.

        ``time``: ns since the epoch, for the frame. ``clock``: monotonic ns, for intervals.
        """
        found: list[tuple[Frame, int]] = []
        image = readings.image
        if self._read is not None and self._image is not None and image == self._image and not readings.failures:
            self._read.time = time
            if self._policy.repeats:
                self._select(self._read, {}, time, clock, found)
        else:
            self._read = self._decode(readings, time)
            held_back = self._select(self._read, readings.times, time, clock, found)
            repeatable = image is not None and not readings.failures and not held_back
            self._image = bytearray(image) if repeatable and image is not None else None
        if self._heartbeat:
            self._confirm(time, clock, found)
        return found

    def lost(self, quality: Quality, time: int) -> Frame | None:
        """Frame that says why there are no values any more; None when that was said already."""
        self._image = None
        self._read = self._blank(quality, time)
        if np.array_equal(self._read.quality, self._reported.quality):
            return None
        self._reported = self._blank(quality, time)
        codes = self._read.quality.tobytes()
        return Frame(self.identity, time, self._columns(self._read, None), quality=codes, flags=self.flags)

    def snapshot(self) -> Frame | None:
        """All values as last read, reported or not; None before the first poll. For views, not for the bus."""
        if self._read is None:
            return None
        quality = self._read.quality
        return Frame(
            self.identity,
            self._read.time,
            self._columns(self._read, None),
            quality=quality.tobytes() if quality.any() else None,
        )

    def _blank(self, quality: Quality, time: int = 0) -> Reading:
        packed = self._spans[-1].end if self._spans else 0
        return Reading(
            np.zeros(packed, np.uint8),
            [None] * (self.size - self._lists_from),
            np.full(self.size, quality, np.uint8),
            time,
        )

    def _decode(self, readings: Readings, time: int) -> Reading:
        bad: list[int] = []
        lists: list[str | bytes | None] = []
        if self._table is not None and readings.image is not None:
            packed = self._table.packed(readings.image, bad)
            if self._lists_from < self.size:
                lists = [text for _, text in self._table.texts(readings.image, bad)]
        else:
            packed = np.zeros(self._spans[-1].end if self._spans else 0, np.uint8)
            for kind, first, last, start, end in self._spans:
                values = [readings.values[tag] for tag in self._layout.order[first:last]]
                if kind.packed:
                    packed[start:end] = _pack(kind, values, first, bad)
                else:
                    lists += _texts(kind, values, first, bad)
        quality = self._ranges.apply(packed)
        if bad or readings.failures:
            quality = self._good.copy() if quality is None else quality
            quality[bad] = Quality.UNDECODABLE
            for tag, code in readings.failures.items():
                quality[self._layout.position[tag]] = code
            self._blank_bad(packed, lists, quality)
        return Reading(packed, lists, self._good if quality is None else quality, time)

    def _blank_bad(self, packed: Bytes, lists: list[str | bytes | None], quality: Bytes) -> None:
        """Clear the slots of bad values: what stands there is not a value, and must not look like one."""
        for kind, first, last, start, end in self._spans:
            gone = quality[first:last] >= NO_VALUE
            if not gone.any():
                continue
            if kind.packed:
                packed[start:end].view(DTYPES[kind])[gone] = 0
            else:
                for place in np.flatnonzero(gone):
                    lists[first - self._lists_from + int(place)] = None

    def _select(
        self, read: Reading, times: Mapping[int, int], time: int, clock: int, found: list[tuple[Frame, int]]
    ) -> bool:
        """Add the frame of what is to be reported now, if anything is. True when a change is held back."""
        mask, held_back = self._policy.select(read, self._reported, self._sent, clock)
        chosen: Places | None = None
        if mask is not None:
            count = np.count_nonzero(mask)
            if count == 0:
                return held_back
            if count < self.size:
                chosen = np.flatnonzero(mask)
        quality = read.quality if chosen is None else read.quality[chosen]
        offsets = self._offsets(times, chosen, time) if times else None
        frame = Frame(
            self.identity,
            time,
            self._columns(read, chosen),
            index=None if chosen is None else self._index(chosen),
            quality=None if read.quality is self._good or not quality.any() else quality.tobytes(),
            offsets=offsets,
            flags=self.flags | SOURCE_TIME if times else self.flags,
        )
        found.append((frame, self.size if chosen is None else len(chosen)))
        self._remember(read, chosen)
        if self._sent is not None:
            self._sent[slice(None) if chosen is None else chosen] = clock
        if self._heartbeat:
            self._silent[slice(None) if chosen is None else chosen] = False
        return held_back

    def _remember(self, read: Reading, chosen: Places | None) -> None:
        """What was reported is what the next poll is compared with."""
        if chosen is None:
            self._reported = Reading(read.packed, read.lists, read.quality.copy(), read.time)
            return
        known = self._reported
        for span in self._spans:
            places = span.among(chosen)
            if span.type.packed:
                dtype = f"<u{span.type.width}"
                part = slice(span.start, span.end)
                known.packed[part].view(dtype)[places] = read.packed[part].view(dtype)[places]
            else:
                for place in (places + span.first - self._lists_from).tolist():
                    known.lists[place] = read.lists[place]
        known.quality[chosen] = read.quality[chosen]

    def _columns(self, read: Reading, chosen: Places | None) -> list[PackedOrList]:
        columns: list[PackedOrList] = []
        for span in self._spans:
            packed = read.packed[span.start : span.end]
            first = span.first - self._lists_from
            if chosen is None:
                columns.append(
                    packed.tobytes() if span.type.packed else read.lists[first : span.last - self._lists_from]
                )
                continue
            places = span.among(chosen)
            if span.type.packed:
                columns.append(packed.view(f"<u{span.type.width}")[places].tobytes())
            else:
                columns.append([read.lists[first + place] for place in places.tolist()])
        return columns

    def _index(self, chosen: Places) -> bytes:
        return chosen.astype("<u2" if self.size <= NARROW_INDEX else "<u4").tobytes()

    def _offsets(self, times: Mapping[int, int], chosen: Places | None, time: int) -> bytes:
        offsets: npt.NDArray[np.int64] = np.zeros(self.size, "<i8")
        for tag, at in times.items():
            if abs(at - time) < _FARTHEST:  # a clock that is off by centuries says nothing: ours stands
                offsets[self._layout.position[tag]] = at - time
        return (offsets if chosen is None else offsets[chosen]).tobytes()

    def _confirm(self, time: int, clock: int, found: list[tuple[Frame, int]]) -> None:
        """Once per heartbeat: say which tags were read, are good, and have not been reported since the last time."""
        if self._confirm_at == 0:
            self._confirm_at = clock + self._heartbeat
        if clock < self._confirm_at or self._read is None:
            return
        self._confirm_at = clock + self._heartbeat
        silent: Mask = self._silent & (self._read.quality < NO_VALUE)
        self._silent[:] = True
        count = int(np.count_nonzero(silent))
        if count:
            index = None if count == self.size else self._index(np.flatnonzero(silent))
            empty: list[PackedOrList] = [b"" if span.type.packed else [] for span in self._spans]
            found.append((Frame(self.identity, time, empty, index=index, flags=self.flags | CONFIRMED), 0))


def _pack(kind: DataType, values: Sequence[Value | None], first: int, bad: list[int]) -> Bytes:
    """Pack Python values; what is missing or does not fit the type becomes 0 and is noted in ``bad``."""
    dtype, convert = DTYPES[kind], _CONVERT.get(kind, operator.index)
    try:
        with np.errstate(over="raise"):
            return np.array([convert(value) for value in values], dtype).view(np.uint8)  # type: ignore[arg-type]
    except _MISFITS:
        pass
    whole = np.zeros(len(values), dtype)
    for place, value in enumerate(values):
        try:
            with np.errstate(over="raise"):
                whole[place] = convert(value)  # type: ignore[arg-type]
        except _MISFITS:
            bad.append(first + place)
    return whole.view(np.uint8)


_MISFITS: Final = (TypeError, ValueError, OverflowError, FloatingPointError)


def _number(value: float) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(value)


def _truth(value: float) -> bool:
    if value in {0, 1}:
        return bool(value)
    raise ValueError(value)


_CONVERT: Final[dict[DataType, Callable[[float], float]]] = {
    DataType.BOOL: _truth,
    DataType.FLOAT32: _number,
    DataType.FLOAT64: _number,
}
"""What may stand for a value of each type; integers take only whole numbers (operator.index)."""


def _texts(kind: DataType, values: Sequence[Value | None], first: int, bad: list[int]) -> list[str | bytes | None]:
    wanted = str if kind is DataType.STRING else bytes
    found: list[str | bytes | None] = []
    for place, value in enumerate(values):
        if isinstance(value, wanted) and _writable(value):
            found.append(value)
        else:
            found.append(None)
            bad.append(first + place)
    return found


def _writable(value: str | bytes) -> bool:
    """False for text that has no UTF-8, such as half a surrogate pair: one such value would hold up its whole batch."""
    if isinstance(value, bytes) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
