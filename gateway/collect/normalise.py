"""Normalise: from what a poll brought to frames. Compiled once per poll group into a few vector operations.

The order of work is the order of cost. Bytes that equal those of the poll before are not even decoded. What differs is
gathered into packed columns in one go (`RegisterTable`), compared with what was last *reported*, and only what changed
by more than its deadband leaves. No Python object is made per value, strings apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from gateway.collect.packing import convert, pack, texts
from gateway.collect.reading import Bytes, Mask, Places, Reading
from gateway.collect.shape import shape_of
from gateway.config.base import Report, TagConfig
from gateway.model.frame import NARROW_INDEX, Frame, FrameFlag, PackedOrList
from gateway.model.quality import Quality
from gateway.model.schema import Schema, schema_id
from gateway.model.types import DTYPES
from gateway.sdk.adapter import Plan, Readings
from gateway.sdk.push import Codes, Column, Tags, Times

CONFIRMED: Final = int(FrameFlag.CONFIRMED)
SOURCE_TIME: Final = int(FrameFlag.SOURCE_TIME)
_FARTHEST: Final = 1 << 62
"""ns, 146 years: farther from the epoch nothing is a time."""
NO_VALUE: Final = 0x80
"""From this quality on there is no value (see model.quality)."""


NEVER: Final = 0xFF
"""Quality of what was never reported: equal to none."""


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
        self._places: Places = np.array(shape.layout.position, np.intp)
        """Plan tag → schema position."""
        self.schema = Schema(device, group, shape.columns)
        self.identity = schema_id(self.schema.encode())
        self.size = len(tags)
        self._sent = self._policy.never_sent()
        self._image: bytearray | None = None
        """Image of the last poll, when an equal one would decode and report the same; else None."""
        self._read: Reading | None = None
        self._reported = self._blank(NEVER)
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
                self._select(self._read, time, clock, found)
        else:
            own = self._own_times(readings.times) if readings.times else None
            if readings.columns:
                self._read, own = self._gathered(readings, time)
            else:
                self._read = self._decode(readings, time)
            held_back = self._select(self._read, time, clock, found, own)
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

    def _blank(self, quality: int, time: int = 0) -> Reading:
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
                    packed[start:end] = pack(kind, values, first, bad)
                else:
                    lists += texts(kind, values, first, bad)
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

    def _gathered(self, readings: Readings, time: int) -> tuple[Reading, Times | None]:
        """Decode a poll that was given in columns; with the devices' times. What no column names is not available."""
        read = self._blank(Quality.NOT_AVAILABLE, time)
        own: Times | None = None
        for tags, values, quality, times in readings.columns:
            places = self._scatter(read, tags, values, quality)
            if times is not None:
                own = np.zeros(self.size, np.int64) if own is None else own
                own[places] = times
        self._limit(read, slice(None))
        for tag, code in readings.failures.items():
            self._spoil(read, self._layout.position[tag], code)
        return read, own

    def _scatter(self, read: Reading, tags: Tags, values: Column, codes: Codes | None) -> Places:
        """Put a column into a reading; returns the schema positions. Raises ValueError for tags of several types."""
        places = self._places[tags]
        span = next(span for span in self._spans if span.first <= places[0] < span.last)
        if places.min() < span.first or places.max() >= span.last:
            raise ValueError("the tags of one column must have the same type")
        quality = np.zeros(len(places), np.uint8) if codes is None else codes.astype(np.uint8)
        if span.type.packed:
            packed, misfits = convert(span.type, np.asarray(values))
            numbers = packed.view(DTYPES[span.type])
            if misfits is not None:
                quality[misfits & (quality < NO_VALUE)] = Quality.UNDECODABLE
            gone = quality >= NO_VALUE
            if gone.any():
                numbers = np.where(gone, np.zeros(1, numbers.dtype), numbers)
            read.packed[span.start : span.end].view(numbers.dtype)[places - span.first] = numbers
        else:
            bad: list[int] = []
            found = texts(span.type, list(values), 0, bad)
            undecodable = [place for place in bad if quality[place] < NO_VALUE]
            quality[undecodable] = Quality.UNDECODABLE
            for place, value, code in zip(places.tolist(), found, quality.tolist(), strict=True):
                read.lists[place - self._lists_from] = None if code >= NO_VALUE else value
        read.quality[places] = quality
        return places

    def _limit(self, read: Reading, places: Places | slice) -> None:
        """Apply ranges and clamps; only the quality of some places is touched."""
        codes = self._ranges.apply(read.packed)
        if codes is not None:
            quality = read.quality[places]
            read.quality[places] = np.where(quality == Quality.GOOD, codes[places], quality)

    def _spoil(self, read: Reading, place: int, code: int) -> None:
        """Give one tag a quality; a bad one takes its value away."""
        read.quality[place] = code
        if code < NO_VALUE:
            return
        if place >= self._lists_from:
            read.lists[place - self._lists_from] = None
            return
        span = next(span for span in self._spans if span.first <= place < span.last)
        read.packed[span.start : span.end].view(DTYPES[span.type])[place - span.first] = 0

    def _select(
        self, read: Reading, time: int, clock: int, found: list[tuple[Frame, int]], own: Times | None = None
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
        offsets, flags = None, self.flags
        if own is not None:
            time, offsets, flags = self._dated(own, time)
        self._report(read, chosen, time, clock, found, offsets=offsets, flags=flags)
        return held_back

    def _dated(self, own: Times, time: int) -> tuple[int, Times | None, int]:
        """Time of a frame, offsets from it, flags; ``own``: the device's times, ns, 0 where it has none.

        Where every value has its own time, ours says nothing, nor does it matter whether our clock can be trusted.
        """
        if own.all():
            base, flags = int(own.max()), SOURCE_TIME
        else:
            base, flags = time, self.flags | SOURCE_TIME
        offsets = np.where(own == 0, 0, own - base)
        return base, offsets if offsets.any() else None, flags

    def _report(
        self,
        read: Reading,
        chosen: Places | None,
        time: int,
        clock: int,
        found: list[tuple[Frame, int]],
        *,
        offsets: Times | None,
        flags: int,
    ) -> None:
        """Add the frame of some places (None: all), and remember what it told. ``offsets``: ns, one per tag."""
        quality = read.quality if chosen is None else read.quality[chosen]
        if offsets is not None and chosen is not None:
            offsets = offsets[chosen]
        frame = Frame(
            self.identity,
            time,
            self._columns(read, chosen),
            index=None if chosen is None else self._index(chosen),
            quality=None if read.quality is self._good or not quality.any() else quality.tobytes(),
            offsets=None if offsets is None else offsets.astype("<i8").tobytes(),
            flags=flags,
        )
        found.append((frame, self.size if chosen is None else len(chosen)))
        self._remember(read, chosen)
        if self._sent is not None:
            self._sent[slice(None) if chosen is None else chosen] = clock
        if self._heartbeat:
            self._silent[slice(None) if chosen is None else chosen] = False

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

    def _own_times(self, times: Mapping[int, int]) -> Times:
        own: Times = np.zeros(self.size, np.int64)
        for tag, at in times.items():
            if abs(at) < _FARTHEST:  # a clock that is off by centuries says nothing: ours stands
                own[self._layout.position[tag]] = at
        return own

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
