"""Report by exception: which of the values just read are sent on. Deadbands are compiled into raw units.

State advances only by what was reported, so a value that creeps by less than its deadband a poll is still reported once
it has crept far enough. Equality is equality of bits: NaN equals NaN, and int64 extremes are not rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.collect.reading import Mask, Reading, Span
from gateway.config.base import Report, TagConfig
from gateway.model.schema import Scale
from gateway.model.types import DTYPES

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Deadbands:
    """Deadbands of one column, in raw units: ``absolute + share × |last + shift|``; 0 where a tag has none."""

    absolute: Floats
    share: Floats
    shift: Floats
    none: Mask

    def moved(self, new: npt.NDArray[np.generic], last: npt.NDArray[np.generic]) -> Mask:
        """Where the change is worth a report. Written so that a NaN on one side counts as a change."""
        with np.errstate(invalid="ignore", over="ignore"):
            old: Floats = last.astype(np.float64)
            change = np.abs(new.astype(np.float64) - old)
            small: Mask = change <= self.absolute + self.share * np.abs(old + self.shift)
        return ~small | self.none

    def of(self, place: int) -> tuple[float, float, float] | None:
        """Absolute, share and shift of one tag, by its place in the column; None: it has no deadband."""
        return None if self.none[place] else (self.absolute[place], self.share[place], self.shift[place])


class ReportPolicy:
    """Policy of poll groups with the same tags, given in schema order. ``default``: for tags that name no policy.

    Keeps no state: what was reported, and when, belongs to each group.
    """

    def __init__(
        self, tags: Sequence[TagConfig], scales: Sequence[Scale], spans: Sequence[Span], default: Report
    ) -> None:
        self._spans = spans
        self._size = len(tags)
        self._lists_from = next((span.first for span in spans if not span.type.packed), len(tags))
        always = np.array([(tag.report or default) is Report.ALWAYS for tag in tags], np.bool_)
        self._always: Mask | None = always if always.any() else None
        self._all = bool(always.all())
        self._deadbands = [_deadbands(tags, scales, span) for span in spans]
        self._least = _nanoseconds(tags, lambda tag: tag.min_interval)
        self._most = _nanoseconds(tags, lambda tag: tag.max_interval)
        self.repeats = self._all or self._always is not None or self._most is not None
        """True when a poll without any change can still be worth a report."""

    def deadbands(self) -> dict[int, tuple[float, float, float]]:
        """Deadbands by schema position, in raw units: a change of ``absolute + share × |last + shift|`` is small."""
        return {
            place: (float(found[0]), float(found[1]), float(found[2]))
            for span, deadbands in zip(self._spans, self._deadbands, strict=True)
            for place in range(span.first, span.last)
            if deadbands is not None and (found := deadbands.of(place - span.first)) is not None
        }

    def never_sent(self) -> Times | None:
        """When each tag was reported last, for a group that has reported nothing; None: nobody asks."""
        if self._least is None and self._most is None:
            return None
        return np.full(self._size, np.iinfo(np.int64).min // 2, np.int64)

    def select(self, new: Reading, last: Reading, sent: Times | None, clock: int) -> tuple[Mask | None, bool]:
        """Which tags to report (None: all), and whether a change is held back for now by a minimum interval.

        ``last``: what was reported so far; ``sent``: when. ``clock``: monotonic nanoseconds.
        """
        if self._all and self._least is None:
            return None, False
        mask = self._changed(new, last)
        judged: Mask = new.quality != last.quality
        mask |= judged
        if self._always is not None:
            mask |= self._always
        held_back = False
        if sent is not None:
            age = clock - sent
            if self._least is not None:
                early: Mask = mask & (age < self._least) & ~judged
                held_back = bool(early.any())
                mask &= ~early
            if self._most is not None:
                mask |= (self._most > 0) & (age >= self._most)
        return mask, held_back

    def _changed(self, new: Reading, last: Reading) -> Mask:
        mask: Mask = np.empty(self._size, np.bool_)
        for span, deadbands in zip(self._spans, self._deadbands, strict=True):
            kind, first, end_position, start, end = span
            if not kind.packed:
                a, b = first - self._lists_from, end_position - self._lists_from
                pairs = zip(new.lists[a:b], last.lists[a:b], strict=True)
                mask[first:end_position] = [value != before for value, before in pairs]
                continue
            fresh, known = new.packed[start:end], last.packed[start:end]
            bits = f"<u{kind.width}"
            np.not_equal(fresh.view(bits), known.view(bits), out=mask[first:end_position])
            if deadbands is not None:
                dtype = DTYPES[kind]
                mask[first:end_position] &= deadbands.moved(fresh.view(dtype), known.view(dtype))
        return mask


def _deadbands(tags: Sequence[TagConfig], scales: Sequence[Scale], span: Span) -> _Deadbands | None:
    own = [tag.deadband for tag in tags[span.first : span.last]]
    if not any(deadband.absolute or deadband.percent for deadband in own):
        return None
    of = scales[span.first : span.last]
    pairs = list(zip(own, of, strict=True))
    return _Deadbands(
        np.array([deadband.absolute * scale.divide / abs(scale.multiply) for deadband, scale in pairs]),
        np.array([deadband.percent / 100 for deadband in own]),
        np.array([scale.add * scale.divide / scale.multiply for scale in of]),
        np.array([not (deadband.absolute or deadband.percent) for deadband in own]),
    )


def _nanoseconds(tags: Sequence[TagConfig], of: Callable[[TagConfig], float]) -> Times | None:
    times = np.array([int(of(tag) * 1e9) for tag in tags], np.int64)
    return times if times.any() else None
