"""Credible ranges and clamps, compiled into raw units: no value is scaled to find out whether it is in range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.collect.reading import Bytes, Span
from gateway.config.base import TagConfig
from gateway.model.quality import Quality
from gateway.model.schema import Scale
from gateway.model.types import DTYPES

Limits = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Raw limits of one column; tags without a limit have the extremes of the type."""

    span: Span
    low: Limits
    high: Limits
    clamps: bool


class Ranges:
    """Marks what is out of range, and limits what is to be clamped. Tags are given in schema order."""

    def __init__(self, tags: Sequence[TagConfig], scales: Sequence[Scale], spans: Sequence[Span]) -> None:
        self._size = len(tags)
        self._bounds = [
            bounds
            for span in spans
            for clamps, of in ((False, _range), (True, _clamp))
            if (bounds := _compile(span, tags, scales, of, clamps=clamps)) is not None
        ]

    def limits(self) -> dict[int, tuple[float, float]]:
        """Raw limits by schema position, of tags that have some: the narrower of range and clamp."""
        found: dict[int, tuple[float, float]] = {}
        for bounds in self._bounds:
            pairs = zip(bounds.low.tolist(), bounds.high.tolist(), strict=True)
            for place, (low, high) in enumerate(pairs, bounds.span.first):
                known = found.get(place, (-math.inf, math.inf))
                found[place] = (max(low, known[0]), min(high, known[1]))
        return found

    def apply(self, packed: Bytes) -> Bytes | None:
        """Quality of all tags, None when nothing is out of range. Values to be clamped are limited in place."""
        quality: Bytes | None = None
        for bounds in self._bounds:
            first, last, start, end = bounds.span[1:]
            values = packed[start:end].view(DTYPES[bounds.span.type])
            outside = (values < bounds.low) | (values > bounds.high)  # NaN is neither: it is passed on as it is
            if not outside.any():
                continue
            if quality is None:
                quality = np.zeros(self._size, np.uint8)
            quality[first:last][outside] = Quality.CLAMPED if bounds.clamps else Quality.OUT_OF_RANGE
            if bounds.clamps:
                np.clip(values, bounds.low, bounds.high, out=values)
        return quality


def _range(tag: TagConfig) -> tuple[float, float] | None:
    return tag.range


def _clamp(tag: TagConfig) -> tuple[float, float] | None:
    return tag.clamp


def _compile(
    span: Span,
    tags: Sequence[TagConfig],
    scales: Sequence[Scale],
    of: Callable[[TagConfig], tuple[float, float] | None],
    *,
    clamps: bool,
) -> _Bounds | None:
    own = [of(tag) for tag in tags[span.first : span.last]]
    if not span.type.packed or not any(own):
        return None
    dtype = DTYPES[span.type]
    lows, highs = [], []
    for limits, scale in zip(own, scales[span.first : span.last], strict=True):
        low, high = _raw(limits, scale) if limits else (-math.inf, math.inf)
        if dtype.kind in "iu":
            kind = np.iinfo(str(dtype))
            low = kind.min if low <= kind.min else min(math.ceil(low), kind.max)
            high = kind.max if high >= kind.max else max(math.floor(high), kind.min)
        lows.append(low)
        highs.append(high)
    return _Bounds(span, np.array(lows, dtype), np.array(highs, dtype), clamps)


def _raw(limits: tuple[float, float], scale: Scale) -> tuple[float, float]:
    ends = sorted((limit - scale.add) * scale.divide / scale.multiply for limit in limits)
    return ends[0], ends[1]
