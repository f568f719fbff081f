"""What a document says about the time of its values: ns since the Unix epoch; 0 when it says nothing credible. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

EARLIEST: Final = 946_684_800_000_000_000
"""2000-01-01: whoever says an earlier time has a clock that was never set."""
LATEST: Final = 4_102_444_800_000_000_000
"""2100-01-01."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TimeFormat(StrEnum):
    """How a time is written."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO8601 = "iso8601"


FACTORS: Final = {TimeFormat.S: 10**9, TimeFormat.MS: 10**6, TimeFormat.US: 10**3, TimeFormat.NS: 1}
"""ns of one unit."""


def read_time(value: Any, form: TimeFormat) -> int:
    """Read a decoded member, or a text. An ISO 8601 text without an offset is taken as UTC."""
    try:
        time = _iso(value) if form is TimeFormat.ISO8601 else _number(value, FACTORS[form])
    except (ValueError, OverflowError, TypeError):
        return 0
    return time if EARLIEST <= time < LATEST else 0


def _number(value: Any, factor: int) -> int:
    if isinstance(value, str) and len(value) <= 40:
        value = int(value) if value.strip().isdecimal() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # whole and fraction apart: a double has no room for ns since 1970
    whole = int(value // 1)
    return whole * factor + round((value - whole) * factor)


def _iso(value: Any) -> int:
    if not isinstance(value, str) or len(value) > 64:
        return 0
    time = datetime.fromisoformat(value)
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1) * 1000
