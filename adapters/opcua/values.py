"""From the types of OPC UA to those of tags. Pure."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from adapters.opcua.codec import BOOLEAN, DATETIME, EPOCH, FIXED, string, unix_times
from adapters.opcua.columns import Column
from adapters.opcua.status import qualities
from gateway.model.quality import Quality
from gateway.model.types import DataType, Value

Codes = npt.NDArray[np.uint8]
Fitted = npt.NDArray[np.generic] | list[Value | None]

_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)


def fit(kind: DataType, column: Column) -> tuple[Fitted, Codes | None]:
    """Values of a column as tags of a type take them, and their quality codes (None: all good).

    What cannot be such a value is ``undecodable``; no value at all, although the device calls it good, is
    ``not_available``.
    """
    codes = None if column.statuses is None else qualities(column.statuses)
    values = column.values
    if isinstance(values, np.ndarray):
        if column.kind == DATETIME:
            return _times(kind, values), codes
        if kind.packed:
            return values, codes
        values = values.tolist()
    found: list[Value | None] = [_one(kind, value) for value in values]
    missing = [place for place, value in enumerate(found) if value is None]
    if missing:
        codes = np.zeros(len(found), np.uint8) if codes is None else codes
        for place in missing:
            if codes[place] < 0x80:
                codes[place] = Quality.NOT_AVAILABLE if values[place] is None else Quality.UNDECODABLE
    return (_numbers(found) if kind.packed else found), codes


def _times(kind: DataType, times: npt.NDArray[Any]) -> Fitted:
    """A DateTime: ns since 1970 as an integer, seconds as a float, text in ISO 8601."""
    found = unix_times(times)
    if kind in (DataType.FLOAT32, DataType.FLOAT64):
        return found / 1e9
    if kind is DataType.STRING:
        return [(_1970 + timedelta(microseconds=time // 1000)).isoformat() for time in found.tolist()]
    return found if kind.packed else [None] * len(found)


def _one(kind: DataType, value: object) -> Value | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if kind.packed:
        return value if isinstance(value, bool | int | float) else None
    if isinstance(value, list):
        return _text(kind, json.dumps(value, ensure_ascii=False, default=_shown))
    return _text(kind, value)


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _text(kind: DataType, value: object) -> Value | None:
    if kind is DataType.BYTES:
        return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numbers(values: list[Value | None]) -> npt.NDArray[np.generic]:
    """An array of numbers that came one by one (arrays of one element, values within values)."""
    filled = [0 if value is None else value for value in values]
    if any(isinstance(value, float) for value in filled):
        return np.array(filled, np.float64)
    unsigned = all(isinstance(value, int) and value >= 0 for value in filled)
    return np.array(filled, np.uint64 if unsigned else np.int64)


STRING, BYTE_STRING, XML, LOCALIZED = 12, 15, 16, 21
BUILT_IN: Final[dict[DataType, int]] = {
    DataType.BOOL: 1, DataType.INT8: 2, DataType.UINT8: 3, DataType.INT16: 4, DataType.UINT16: 5, DataType.INT32: 6,
    DataType.UINT32: 7, DataType.INT64: 8, DataType.UINT64: 9, DataType.FLOAT32: 10, DataType.FLOAT64: 11,
    DataType.STRING: STRING, DataType.BYTES: BYTE_STRING,
}  # fmt: skip
"""Built-in type of each type that a tag can have (Part 6, table 1)."""
TAG_TYPES: Final[dict[int, DataType]] = {kind: tag for tag, kind in BUILT_IN.items()} | {
    DATETIME: DataType.STRING, 14: DataType.STRING, XML: DataType.STRING, 17: DataType.STRING, 19: DataType.UINT32,
    20: DataType.STRING, LOCALIZED: DataType.STRING, 22: DataType.BYTES, 29: DataType.INT32,
}  # fmt: skip
"""Type that suits a tag for each built-in type; 29: enumerations (Part 3, 8.14)."""


def variant(kind: int, value: Value) -> bytes:
    """Encoded Variant of a value for a variable of a built-in type. Raises ValueError for what does not fit."""
    if kind in FIXED:
        if isinstance(value, str | bytes):
            raise ValueError(f"{value!r} is no number")
        if kind == DATETIME:
            value = EPOCH + round(value) // 100
        if kind == BOOLEAN:
            value = bool(value)
        elif FIXED[kind][-2] != "f":
            if isinstance(value, float) and not value.is_integer():
                raise ValueError(f"{value!r} is no whole number")
            value = int(value)
        try:
            return bytes((kind,)) + struct.pack(f"<{_LETTERS[kind]}", value)
        except (struct.error, OverflowError):
            raise ValueError(f"{value!r} does not fit the variable's type") from None
    if kind in (STRING, XML, LOCALIZED) and isinstance(value, str):
        return bytes((kind,)) + (b"\2" if kind == LOCALIZED else b"") + string(value)
    if kind == BYTE_STRING and isinstance(value, bytes):
        return bytes((kind,)) + string(value)
    raise ValueError(f"{value!r} cannot be written to a variable of built-in type {kind}")


_LETTERS: Final[dict[int, str]] = dict(zip(FIXED, "?bBhHiIqQfdqI", strict=True))
"""struct's letter for each built-in type of fixed size."""
