"""Packing: from what an adapter gives, Python values or arrays of any kind of number, to the columns of a frame.

What does not fit the type of its tag is never forced into it: it is noted as bad.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gateway.collect.reading import Bytes, Mask
from gateway.model.types import DTYPES, DataType, Value


def pack(kind: DataType, values: Sequence[Value | None], first: int, bad: list[int]) -> Bytes:
    """Pack Python values; what is missing or does not fit the type becomes 0 and is noted in ``bad``."""
    dtype, convert = DTYPES[kind], _CONVERT.get(kind, operator.index)
    try:
        with np.errstate(over="raise"):
            return np.array([convert(value) for value in values], dtype).view(np.uint8)  # type: ignore[arg-type]
    except _MISFITS:
        pass
    whole = np.zeros(len(values), dtype)
    for place, value in enumerate(values):
        try:
            with np.errstate(over="raise"):
                whole[place] = convert(value)  # type: ignore[arg-type]
        except _MISFITS:
            bad.append(first + place)
    return whole.view(np.uint8)


_MISFITS: Final = (TypeError, ValueError, OverflowError, FloatingPointError)


def _number(value: float) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(value)


def _truth(value: float) -> bool:
    if value in {0, 1}:
        return bool(value)
    raise ValueError(value)


_CONVERT: Final[dict[DataType, Callable[[float], float]]] = {
    DataType.BOOL: _truth,
    DataType.FLOAT32: _number,
    DataType.FLOAT64: _number,
}
"""What may stand for a value of each type; integers take only whole numbers (operator.index)."""


def texts(kind: DataType, values: Sequence[Value | None], first: int, bad: list[int]) -> list[str | bytes | None]:
    """Check Python values; what is no text (or no bytes) becomes None and is noted in ``bad``."""
    wanted = str if kind is DataType.STRING else bytes
    found: list[str | bytes | None] = []
    for place, value in enumerate(values):
        if isinstance(value, wanted) and writable(value):
            found.append(value)
        else:
            found.append(None)
            bad.append(first + place)
    return found


def writable(value: str | bytes) -> bool:
    """False for text that has no UTF-8, such as half a surrogate pair: one such value would hold up its whole batch."""
    if isinstance(value, bytes) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def convert(kind: DataType, values: npt.NDArray[Any]) -> tuple[Bytes, Mask | None]:
    """Convert numbers of any numpy type to a packed column, and tell which did not fit (None: all did).

    A whole number fits whatever type holds it, a float fits an integer type only when it is whole; float64 is rounded
    to float32, unless it is too large. What does not fit becomes 0.
    """
    dtype = DTYPES[kind]
    if kind is DataType.BOOL:
        misfits: Mask = (values != 0) & (values != 1)
        made = values != 0
    elif values.dtype == dtype:
        return np.ascontiguousarray(values).view(np.uint8), None
    elif dtype.kind == "f":
        with np.errstate(over="ignore"):
            made = values.astype(dtype)
        misfits = np.isinf(made) & ~np.isinf(values.astype(np.float64))
    else:
        limits = np.iinfo(str(dtype))
        with np.errstate(invalid="ignore"):
            made = values.astype(dtype)
            fits: Mask = (values >= limits.min) & (values <= limits.max) & (made == values)
        misfits = ~fits
    made = made.astype(dtype)
    if not misfits.any():
        return made.view(np.uint8), None
    made[misfits] = 0
    return made.view(np.uint8), misfits
