"""The bus's own time, by which batches grow old. It counts while a gateway runs, and no clock that is set moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CLOCK_SET: Final = 1_704_067_200
"""2024-01-01 in seconds: a clock that shows less has not been set since power came."""


Nanoseconds = Callable[[], int]
"""A clock."""


def bus_time(start: int, monotonic: Nanoseconds) -> Nanoseconds:
    """Nanoseconds that go on from ``start``, where the journal's newest batch left off."""
    offset = start - monotonic()
    return lambda: monotonic() + offset


def first_epoch(now: int, chance: Callable[[int], int]) -> int:
    """Number of an epoch that has no known forerunner, from wall time (ns).

    Epochs grow, so the second serves. A clock that starts at the same time after each power cut would give the same
    number again and again, and a platform would take new batches for old ones: then ``chance``, below a limit, decides.
    """
    seconds = now // 10**9
    return seconds if seconds >= CLOCK_SET else 1 + chance(CLOCK_SET - 1)
