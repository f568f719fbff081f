"""What a device says about the time of its values, as ns since the Unix epoch; 0 when it says nothing credible.

Pure. Which times to believe: `gateway.sdk.source_time`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.sdk.source_time import EARLIEST, FACTORS, LATEST, TimeFormat, credible

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})")
_LEAP: Final = re.compile(r"(T\d{2}:\d{2}:)60", re.IGNORECASE)


def parse_zone(text: str) -> tzinfo:
    """Return the zone of an IANA name (Asia/Shanghai) or an offset (+08:00). Raises ValueError."""
    if match := _OFFSET.fullmatch(text):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(hours=24):
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone: write Asia/Shanghai, UTC or +08:00") from None


def reader(form: TimeFormat, zone: tzinfo) -> Callable[[Any], int]:
    """Return what reads a time out of a decoded member. ``zone``: of ISO texts that carry none."""
    if form is TimeFormat.ISO8601:
        return lambda value: _iso(value, zone)
    factor = FACTORS[form]
    return lambda value: _number(value, factor)


def _number(value: Any, factor: int) -> int:
    if type(value) is int:
        time = value * factor
        return time if EARLIEST <= time < LATEST else 0
    if type(value) is float:
        # whole and fraction apart: a double has no room for ns since 1970
        whole = value // 1
        return credible(int(whole) * factor + round((value - whole) * factor)) if abs(value) < 1e19 else 0
    if type(value) is str and len(value) <= 40:
        try:
            return _number(int(value) if value.isdecimal() else float(value), factor)
        except ValueError:
            return 0
    return 0


def _iso(value: Any, zone: tzinfo) -> int:
    """Local times that happen twice (the clock is put back) are taken as the first; a leap second as one second later
    than the 59th."""
    if type(value) is not str or len(value) > 64:
        return 0
    text, leaps = _LEAP.subn(r"\g<1>59", value.replace(" ", "T", 1) if value[10:11] == " " else value)
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=zone)
        elapsed = time - _EPOCH + _SECOND * leaps
    except (ValueError, OverflowError):
        return 0
    return credible(elapsed // _MICROSECOND * 1000)
