"""Arrivals: from what a device pushes, some values at a time, to frames. The same rules as for polls, by other ways.

Columns go the way of a poll, confined to the tags that arrived. Single samples have a short way of their own, without
arrays, as long as no tag has an interval and every value is good: struct packs what the next frame holds, and what
the arrays would know is brought up to date when somebody looks at them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.collect.normalise import NO_VALUE, SOURCE_TIME, Normaliser
from gateway.collect.packing import pack, texts, writable
from gateway.collect.reading import Mask, Places, Reading
from gateway.config.base import Report, TagConfig
from gateway.model.frame import Frame, FrameFlag, PackedOrList
from gateway.model.quality import Quality
from gateway.model.types import DTYPES, DataType, Value
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Codes, Column, Tags, Times

PATTERNS: Final = 1024
"""Sets of tags that samples bring whose packing is remembered, per poll group; then it is begun anew."""
REPLAYED: Final = int(FrameFlag.REPLAYED)
_UNKNOWN: Final = object()
"""Equal to no value."""
_FORMATS: Final = dict(zip(DTYPES, "?bBhHiIqQfd", strict=True))
"""struct's letter for each packed type."""
Frames = list[tuple[Frame, int]]
Part = tuple[Callable[[Sequence[Any]], PackedOrList], int, int]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """How samples of the same tags are packed."""

    tags: tuple[int, ...]
    """Plan tags in schema order."""
    places: tuple[int, ...]
    """Their schema positions."""
    index: bytes | None
    parts: tuple[Part, ...]
    """For each column of the schema: what packs it (raises _Misfit), and which of the values are its own."""


class _Misfit(Exception):
    """A value is not of the type of its tag."""


class Arrivals(Normaliser):
    """Makes the frames of one pushed poll group. Its plan says how the source behaves."""

    def __init__(
        self, device: str, group: str, tags: Sequence[TagConfig], plan: Plan, report: Report, heartbeat: float
    ) -> None:
        self._holds = plan.push is not None and plan.push.on_change
        """Silence means that the last value still holds."""
        super().__init__(device, group, tags, plan, report, heartbeat if self._holds else 0.0)
        self._state = self._blank(Quality.NOT_AVAILABLE)
        """All values as they arrived last."""
        ordered = [tags[tag] for tag in self._layout.order]
        self._always = frozenset(place for place, tag in enumerate(ordered) if (tag.report or report) is Report.ALWAYS)
        self._plain = not self._heartbeat and self._sent is None
        self._deadbands = self._policy.deadbands()
        self._limits = self._ranges.limits()
        self._missing: Mask = np.ones(self.size, np.bool_)
        """Tags that have not arrived since the start, or since all was lost."""
        self._held: Mask = np.zeros(self.size, np.bool_)
        """Tags with a change that their minimum interval holds back."""
        self._lasting: Mask = np.array([tag.max_interval > 0 for tag in ordered], np.bool_)
        self._patterns: dict[tuple[int, ...], _Pattern] = {}
        self._told: list[Any] = [_UNKNOWN] * self.size
        """Values of single samples as last reported, by schema position."""
        self._ahead: dict[int, Value] = {}
        """Those of them that the arrays do not know yet …"""
        self._near: dict[int, Value] = {}
        """… and the last values of tags with a deadband, reported or not."""

    def sample(
        self,
        values: Mapping[int, Value | None],
        failures: Mapping[int, Quality] | None,
        own: int,
        time: int,
        clock: int,
        *,
        replayed: bool,
    ) -> Frames:
        """Frames of a sample, each with its number of values. ``own``: the device's time (0: none); ``time``: ours."""
        if self._plain and not failures and values:
            try:
                return self._short(values, own, time, replayed=replayed)
            except (_Misfit, struct.error, OverflowError, TypeError):
                pass  # the long way finds out which value it is
        return self._long(values, failures or {}, own, time, clock, replayed=replayed)

    def put(
        self,
        tags: Tags,
        values: Column,
        quality: Codes | None,
        times: Times | None,
        time: int,
        clock: int,
        *,
        replayed: bool,
    ) -> Frames:
        """Frames of a column, each with its number of values. Tags that come more than once give more frames."""
        found: Frames = []
        self._catch_up()
        for part in _rounds(tags) if len(tags) else ():
            some = values[part] if isinstance(values, np.ndarray) else [values[place] for place in part.tolist()]
            places = self._scatter(self._state, tags[part], some, None if quality is None else quality[part])
            for place in places.tolist() if self._patterns else ():
                self._told[place] = _UNKNOWN
            self._arrived(places, None if times is None else times[part], time, clock, found, replayed=replayed)
        return found

    def tick(self, time: int, clock: int) -> Frames:
        """Frames that are due without any arrival: changes held back, longest intervals, confirmations."""
        found: Frames = []
        if self._sent is not None:
            due: Mask = (self._held | self._lasting) if self._holds else self._held.copy()
            due &= self._state.quality < NO_VALUE
            if due.any():
                self._choose(due, time, clock, found, flags=self.flags)
        if self._heartbeat:
            self._read = self._state
            self._confirm(time, clock, found)
        return found

    def lost(self, quality: Quality, time: int) -> Frame | None:
        """Frame that says why there are no values any more; None when that was said already."""
        self._catch_up()
        self._told = [_UNKNOWN] * self.size
        self._held[:] = False
        self._missing[:] = True
        frame = super().lost(quality, time)
        self._state = self._blank(quality, time)
        return frame

    def snapshot(self) -> Frame | None:
        """All values as last arrived; None before the first. For views, not for the bus."""
        self._catch_up()
        self._read = self._state if self._state.time else None
        return super().snapshot()

    def bad(self) -> tuple[int, int]:
        """How many tags are bad, those that have not arrived left out, and the quality of one of them."""
        self._catch_up()
        quality = self._state.quality
        codes = quality[(quality >= NO_VALUE) & ~self._missing]
        return len(codes), int(codes[0]) if len(codes) else 0

    # the way of a poll, for some tags

    def _long(
        self,
        values: Mapping[int, Value | None],
        failures: Mapping[int, Quality],
        own: int,
        time: int,
        clock: int,
        *,
        replayed: bool,
    ) -> Frames:
        self._catch_up()
        tags = [*values, *(tag for tag in failures if tag not in values)]
        if not tags:
            return []
        places = self._places[tags]
        self._write(self._state, places, [values.get(tag) for tag in tags])
        for tag, code in failures.items():
            self._spoil(self._state, self._layout.position[tag], code)
        found: Frames = []
        times = np.full(len(tags), own, np.int64) if own else None
        told = self._arrived(places, times, time, clock, found, replayed=replayed)
        for tag, place in zip(tags, places.tolist(), strict=True):
            if self._state.quality[place] != Quality.GOOD:
                self._told[place] = _UNKNOWN
            elif told[place]:
                self._told[place] = values[tag]
        return found

    def _write(self, read: Reading, places: Places, values: Sequence[Value | None]) -> None:
        """Put Python values of any types into a reading."""
        read.quality[places] = Quality.GOOD
        for span in self._spans:
            inside = np.flatnonzero((places >= span.first) & (places < span.last))
            if not len(inside):
                continue
            bad: list[int] = []
            own = [values[place] for place in inside.tolist()]
            if span.type.packed:
                numbers = pack(span.type, own, 0, bad).view(DTYPES[span.type])
                read.packed[span.start : span.end].view(numbers.dtype)[places[inside] - span.first] = numbers
            else:
                for place, text in zip(places[inside].tolist(), texts(span.type, own, 0, bad), strict=True):
                    read.lists[place - self._lists_from] = text
            read.quality[places[inside[bad]]] = Quality.UNDECODABLE

    def _arrived(
        self, places: Places, times: Times | None, time: int, clock: int, found: Frames, *, replayed: bool
    ) -> Mask:
        """Report what is to be reported of some places, which were just written. Returns what was reported."""
        self._limit(self._state, places)
        self._state.time = time
        self._missing[places] = False
        touched: Mask = np.zeros(self.size, np.bool_)
        touched[places] = True
        if times is None:
            return self._choose(touched, time, clock, found, flags=self.flags, replayed=replayed)
        base, shifts, flags = self._dated(times, time)
        offsets: Times | None = None
        if shifts is not None:
            offsets = np.zeros(self.size, np.int64)
            offsets[places] = shifts
        return self._choose(touched, base, clock, found, offsets=offsets, flags=flags, replayed=replayed)

    def _choose(
        self,
        asked: Mask,
        time: int,
        clock: int,
        found: Frames,
        *,
        flags: int,
        offsets: Times | None = None,
        replayed: bool = False,
    ) -> Mask:
        """Add the frame of those of some tags that are to be reported now, if there are any; returns which."""
        state, mask = self._state, asked
        if replayed:
            flags |= REPLAYED
        else:
            selected, held_back = self._policy.select(state, self._reported, self._sent, clock)
            if selected is not None:
                mask = asked & selected
            if held_back or self._held.any():
                changed, _ = self._policy.select(state, self._reported, None, clock)
                waiting = (asked | self._held) & ~mask
                self._held = waiting if changed is None else waiting & changed
        count = int(np.count_nonzero(mask))
        if count:
            chosen = None if count == self.size else np.flatnonzero(mask)
            self._report(state, chosen, time, clock, found, offsets=offsets, flags=flags)
        return mask

    def _remember(self, read: Reading, chosen: Places | None) -> None:
        """Here a reading lives on, and is written to: what was reported must be a copy."""
        if chosen is None:
            read = Reading(read.packed.copy(), list(read.lists), read.quality, read.time)
        super()._remember(read, chosen)

    # the short way

    def _short(self, values: Mapping[int, Value | None], own: int, time: int, *, replayed: bool) -> Frames:
        """Frame of a sample of good values. Raises what struct raises, or _Misfit, for a value that does not fit."""
        pattern = self._patterns.get(tuple(values)) or self._pattern(tuple(values))
        ordered = [values[tag] for tag in pattern.tags]
        if self._limits:
            self._within(pattern.places, ordered)
        if not replayed and len(self._always) < self.size:
            fresh = self._fresh(pattern, ordered)
            if len(fresh) < len(ordered):
                if not fresh:
                    return []
                pattern = self._patterns.get(fresh) or self._pattern(fresh)
                ordered = [values[tag] for tag in fresh]
        told, ahead = self._told, self._ahead
        columns = [packing(ordered[first:last]) for packing, first, last in pattern.parts]
        for place, value in zip(pattern.places, ordered, strict=True):
            told[place] = ahead[place] = value  # type: ignore[assignment] # None does not pack
        self._state.time = time
        flags = SOURCE_TIME if own else self.flags
        if replayed:
            flags |= REPLAYED
        return [(Frame(self.identity, own or time, columns, index=pattern.index, flags=flags), len(ordered))]

    def _within(self, places: Sequence[int], values: Sequence[Any]) -> None:
        """Raise _Misfit for a value that is out of range or to be clamped."""
        for place, value in zip(places, values, strict=True):
            limits = self._limits.get(place)
            if limits is not None and not limits[0] <= value <= limits[1]:
                raise _Misfit

    def _fresh(self, pattern: _Pattern, values: Sequence[Any]) -> tuple[int, ...]:
        """Tags of a sample that are to be reported."""
        told, always, deadbands = self._told, self._always, self._deadbands
        if not deadbands:
            return tuple(
                tag
                for tag, place, value in zip(pattern.tags, pattern.places, values, strict=True)
                if told[place] != value or place in always
            )
        fresh = []
        for tag, place, value in zip(pattern.tags, pattern.places, values, strict=True):
            last = told[place]
            if place in deadbands:
                absolute, share, shift = deadbands[place]
                self._near[place] = value
                moved = last is _UNKNOWN or not abs(value - last) <= absolute + share * abs(last + shift)
            else:
                moved = last != value
            if moved or place in always:
                fresh.append(tag)
        return tuple(fresh)

    def _pattern(self, tags: tuple[int, ...]) -> _Pattern:
        if len(self._patterns) >= PATTERNS:
            self._patterns.clear()
        position = self._layout.position
        inside = tuple(sorted(tags, key=position.__getitem__))
        places = tuple(position[tag] for tag in inside)
        index = None if len(places) == self.size else self._index(np.array(places, np.intp))
        parts: list[Part] = []
        for span in self._spans:
            own = [rank for rank, place in enumerate(places) if span.first <= place < span.last]
            first, last = (own[0], own[-1] + 1) if own else (0, 0)
            parts.append((_packing(span.type, len(own)), first, last))
        pattern = self._patterns[tags] = _Pattern(inside, places, index, tuple(parts))
        return pattern

    def _catch_up(self) -> None:
        """Bring the arrays up to date with what the short way reported."""
        if self._ahead:
            ahead, self._ahead = self._ahead, {}
            for reading in (self._state, self._reported):
                self._write(reading, np.array(list(ahead), np.intp), list(ahead.values()))
            self._missing[list(ahead)] = False
        if self._near:
            near, self._near = self._near, {}
            self._write(self._state, np.array(list(near), np.intp), list(near.values()))


def _packing(kind: DataType, count: int) -> Callable[[Sequence[Any]], PackedOrList]:
    """What packs ``count`` values of a column."""
    if kind.packed:
        pack_all = struct.Struct(f"<{count}{_FORMATS[kind]}").pack
        return (
            (lambda values: pack_all(*map(_truth, values)))
            if kind is DataType.BOOL
            else (lambda values: pack_all(*values))
        )
    wanted = str if kind is DataType.STRING else bytes
    return lambda values: _listed(values, wanted)


def _truth(value: Any) -> bool:
    if value in {0, 1}:
        return bool(value)
    raise _Misfit


def _listed(values: Sequence[Any], wanted: type[str | bytes]) -> list[Any]:
    if all(isinstance(value, wanted) and writable(value) for value in values):
        return list(values)
    raise _Misfit


def _rounds(tags: Tags) -> Iterator[Places]:
    """Split a column so that each part names each tag once, first the first values of each: places in the column."""
    order = np.argsort(tags, kind="stable")
    ordered = tags[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    if fresh.all():
        yield order
        return
    starts = np.flatnonzero(fresh)
    rank = np.arange(len(tags)) - np.repeat(starts, np.diff(np.append(starts, len(tags))))
    for turn in range(int(rank.max()) + 1):
        yield order[rank == turn]
