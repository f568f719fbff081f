"""What observations mean: texts to raw values, timestamps to ns, conditions to what is worst now. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from gateway.sdk import DataType, Quality, TagFault, Value
from gateway.sdk.source_time import credible

from .document import CONDITIONS, Observation

UNAVAILABLE: Final = "UNAVAILABLE"
"""Text of an observation whose value the agent does not have (Part 1)."""
_STAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.(\d{1,18}))?(Z|[+-]\d\d:\d\d)?(?:@[\d.]+)?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_WORDS: Final = {"1": True, "TRUE": True, "ON": True, "ACTIVE": True, "YES": True}
_WORDS_NOT: Final = {"0": False, "FALSE": False, "OFF": False, "INACTIVE": False, "NO": False}
_WHOLE: Final = re.compile(r"[+-]?\d{1,20}", re.ASCII)


@lru_cache(maxsize=256)
def time_of(stamp: str) -> int:
    """ns since the epoch of an ISO 8601 timestamp, UTC unless it says otherwise; 0 for one that is not credible."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return 0
    upto, seconds, fraction, zone = match.groups()
    leap = seconds == "60"  # told as one second later than the 59th
    try:
        whole = datetime.fromisoformat(f"{upto}{'59' if leap else seconds}{(zone or 'Z').replace('Z', '+00:00')}")
    except ValueError:
        return 0
    return credible(((whole - _EPOCH) // _SECOND + leap) * 10**9 + int((fraction or "")[:9].ljust(9, "0")))


def value_of(kind: DataType, observation: Observation) -> Value:
    """Raw value of an observation. Raises TagFault: NOT_AVAILABLE, or UNDECODABLE for a text that is no such value."""
    text = observation.text
    if observation.level:
        return _condition(kind, observation.level)
    if text is None:
        raise TagFault(f"{observation.id} has members of its own", quality=Quality.UNDECODABLE)
    if text.strip() == UNAVAILABLE:
        raise TagFault(f"{observation.id} is unavailable", quality=Quality.NOT_AVAILABLE)
    try:
        return _READERS.get(kind, _whole)(text)
    except ValueError as error:
        raise TagFault(f"{observation.id}: {text[:64]!r} is no {kind}", quality=Quality.UNDECODABLE) from error


def _condition(kind: DataType, level: str) -> Value:
    if level not in CONDITIONS:
        quality = Quality.NOT_AVAILABLE if level.upper() == UNAVAILABLE else Quality.UNDECODABLE
        raise TagFault(f"condition {level[:32]}", quality=quality)
    if kind is DataType.STRING:
        return level.upper()
    return level == "Fault" if kind is DataType.BOOL else CONDITIONS[level]


def _bool(text: str) -> bool:
    found = (_WORDS | _WORDS_NOT).get(text.strip().upper())
    if found is None:
        raise ValueError(text)
    return found


def _real(text: str) -> float:
    number = float(text)
    if "_" in text or (math.isinf(number) and "inf" not in text.lower()):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    number = _real(stripped)
    if not number.is_integer() or abs(number) > 2**53:
        raise ValueError(text)
    return int(number)


_READERS: Final[dict[DataType, Callable[[str], Value]]] = {
    DataType.BOOL: _bool,
    DataType.FLOAT32: _real,
    DataType.FLOAT64: _real,
    DataType.STRING: str,
}
"""How a text is read, by type; all others are whole numbers."""


class Conditions:
    """Several faults can be active behind one condition at a time; what is told is the worst of them (Part 3)."""

    MOST: Final = 256
    """Active faults of one condition that are kept apart."""

    def __init__(self) -> None:
        self._active: dict[str, dict[str, str]] = {}

    def settle(self, observation: Observation) -> Observation:
        """Take one, and return it with the level that the condition has now. Any other observation is as it was."""
        level, native = observation.level, observation.native
        if not level:
            return observation
        active = self._active.setdefault(observation.id, {})
        if level not in CONDITIONS or (level == "Normal" and not native):
            active.clear()
            return observation
        active.pop(native, None)
        if level != "Normal" and len(active) < self.MOST:
            active[native] = level
        worst = max(active.values(), key=CONDITIONS.__getitem__, default="Normal")
        return observation._replace(level=worst)

    def forget(self) -> None:
        """A new state of everything follows."""
        self._active.clear()
