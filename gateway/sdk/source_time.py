"""Times that a source tells: how they are written, and which of them to believe.

A clock that was never set (1970), or that is off by decades, is no time: the gateway's own then stands.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

EARLIEST: Final = 946_684_800_000_000_000
"""2000-01-01: whoever says an earlier time has a clock that was never set."""
LATEST: Final = 4_102_444_800_000_000_000
"""2100-01-01."""


class TimeFormat(StrEnum):
    """How a time is written."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO8601 = "iso8601"


FACTORS: Final = {TimeFormat.S: 10**9, TimeFormat.MS: 10**6, TimeFormat.US: 10**3, TimeFormat.NS: 1}
"""ns of one unit."""


def credible(time: int) -> int:
    """Return a time, ns since the epoch, or 0 for one that no working clock shows."""
    return time if EARLIEST <= time < LATEST else 0
