"""What a document says about the time of its values: ns since the Unix epoch; 0 when it says nothing credible. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.sdk.source_time import FACTORS, TimeFormat, credible

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(value: Any, form: TimeFormat) -> int:
    """Read a decoded member, or a text. An ISO 8601 text without an offset is taken as UTC."""
    try:
        time = _iso(value) if form is TimeFormat.ISO8601 else _number(value, FACTORS[form])
    except (ValueError, OverflowError, TypeError):
        return 0
    return credible(time)


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
