"""Values to bytes, for writing: the inverse of what a register table reads. Pure; bytes least significant first."""

from __future__ import annotations

import math
import struct
from typing import Final

from gateway.model.types import DTYPES, DataType, Value

_REAL: Final = (DataType.FLOAT32, DataType.FLOAT64)
_FORMATS: Final = dict(zip(DTYPES, "?bBhHiIqQfd", strict=True))


def encode_number(name: str, kind: DataType, value: Value, *, bcd: bool = False) -> bytes:
    """Bytes of a raw number of the tag ``name``; ``bcd``: two decimal digits each. Raises ValueError: does not fit."""
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} is a number, {value!r} is not")  # noqa: TRY004, one kind of error for all
    real = kind in _REAL
    if not real and (not math.isfinite(value) or value != int(value)):
        raise ValueError(f"{name} holds whole numbers, {value} is none")
    try:
        if bcd:
            digits = f"{int(value):0{2 * kind.width}d}"
            if int(value) < 0 or len(digits) > 2 * kind.width:
                raise ValueError(f"{name} holds {2 * kind.width} digits, {value} does not fit")
            return bytes.fromhex(digits)[::-1]
        return struct.pack(f"<{_FORMATS[kind]}", value if real else int(value))
    except (OverflowError, struct.error) as error:
        raise ValueError(f"{name} is {kind}, {value} does not fit") from error


def encode_text(name: str, kind: DataType, value: Value, length: int, encoding: str = "") -> bytes:
    """Bytes of a text, or bytes, in reading order, filled up with NUL. Raises ValueError for what does not fit."""
    if isinstance(value, str) and kind is DataType.STRING:
        try:
            data = value.encode(encoding or "utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{name}: {encoding} has no {value[error.start]!r}") from error
    elif isinstance(value, bytes) and kind is DataType.BYTES:
        data = value
    else:
        raise ValueError(f"{name} is {kind}, {value!r} is not")
    if len(data) > length:
        raise ValueError(f"{name} holds {length} bytes, {len(data)} do not fit")
    return data.ljust(length, b"\0")
