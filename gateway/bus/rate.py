"""How many hours the room that is left will last at the present rate."""

from __future__ import annotations

import math
from typing import Final

MEMORY_SECONDS: Final = 300.0
"""The rate is an exponential mean over about this long."""
SETTLE_SECONDS: Final = 10.0
"""Before that much has been seen there is no figure."""


class Rate:
    """Mean bytes per second. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._started = self._at = now
        self._rate = 0.0
        self._gathered = 0

    def add(self, size: int, now: float) -> None:
        """Take ``size`` bytes into account."""
        self._gathered += size
        passed = now - self._at
        if passed < 1.0:
            return
        # Until the memory is full, every second counts the same: the first figures are a plain mean.
        share = max(1.0 - math.exp(-passed / MEMORY_SECONDS), passed / (now - self._started))
        self._rate += share * (self._gathered / passed - self._rate)
        self._at, self._gathered = now, 0

    def hours(self, room: int, now: float) -> float | None:
        """Hours until ``room`` bytes are used up; None: too early to say, or nothing arrives."""
        if now - self._started < SETTLE_SECONDS or self._rate <= 0:
            return None
        return max(0, room) / self._rate / 3600
