"""The types a tag can have, and how a column of each is packed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np


class DataType(StrEnum):
    """Type of a tag as the machine has it. The order of the members is the order of columns in a schema."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"

    @property
    def packed(self) -> bool:
        """True when a column of this type is packed little-endian bytes; False when it is a list."""
        return self in DTYPES

    @property
    def width(self) -> int:
        """Bytes a value takes in a packed column; 0 when the column is a list."""
        return DTYPES[self].itemsize if self in DTYPES else 0


Value = bool | int | float | str | bytes
"""One engineering value, as people and JSON see it."""

DTYPES: Final[dict[DataType, np.dtype[np.generic]]] = {
    DataType.BOOL: np.dtype("u1"),
    DataType.INT8: np.dtype("i1"),
    DataType.UINT8: np.dtype("u1"),
    DataType.INT16: np.dtype("<i2"),
    DataType.UINT16: np.dtype("<u2"),
    DataType.INT32: np.dtype("<i4"),
    DataType.UINT32: np.dtype("<u4"),
    DataType.INT64: np.dtype("<i8"),
    DataType.UINT64: np.dtype("<u8"),
    DataType.FLOAT32: np.dtype("<f4"),
    DataType.FLOAT64: np.dtype("<f8"),
}
"""numpy type of each packed column, little-endian. A bool is one byte, 0 or 1."""

TYPE_ORDER: Final[dict[DataType, int]] = {member: rank for rank, member in enumerate(DataType)}
