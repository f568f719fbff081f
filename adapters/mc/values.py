"""Where a tag's bytes lie, for reading, and which bytes a value becomes, for writing: one the inverse of the other.

Words are little-endian throughout, and of a value of several words the lowest comes first; so do the letters of texts.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from adapters.mc.address import Kind
from adapters.mc.config import McTag
from gateway.model.types import DataType, Value
from gateway.wire.registers import Field

_FORMATS: Final[dict[DataType, str]] = {
    DataType.INT16: "<h", DataType.UINT16: "<H",
    DataType.INT32: "<i", DataType.UINT32: "<I",
    DataType.INT64: "<q", DataType.UINT64: "<Q",
    DataType.FLOAT32: "<f", DataType.FLOAT64: "<d",
}  # fmt: skip


def field(tag: McTag, cells: Sequence[int], bit: int) -> Field:
    """Field of a register table for a tag whose cells begin at these bytes of the image; ``bit``: of a bool."""
    if tag.type is DataType.BOOL:
        return Field(DataType.BOOL, (cells[0] + bit // 8,), bit % 8)
    size = tag.address.area.size
    at = tuple(start + byte for start in cells for byte in range(size))
    bcd = tag.encoding == "bcd"
    return Field(tag.type, at[: tag.length or None], 0, bcd, (not bcd and tag.encoding) or "utf-8")


def encode(tag: McTag, value: Value) -> bytes:
    """Bytes of a raw value, whole cells long; of a bool one, 0 or 1. Raises ValueError for what the tag cannot hold."""
    if tag.length:
        return _text(tag, value)
    if tag.type is DataType.BOOL:
        return bytes((bool(value),))
    return _number(tag, value).ljust(tag.cells * tag.address.area.size, b"\0")


def whole_words(tag: McTag) -> bool:
    """True for a tag on bit devices that takes them 16 at a time."""
    return tag.address.area.kind is Kind.BIT and tag.type is not DataType.BOOL


def _number(tag: McTag, value: Value) -> bytes:
    if isinstance(value, str | bytes):
        raise ValueError(f"{tag.name} is a number, {value!r} is not")  # noqa: TRY004, one kind of error for all
    real = tag.type in (DataType.FLOAT32, DataType.FLOAT64)
    if not real and (not math.isfinite(value) or value != int(value)):
        raise ValueError(f"{tag.name} holds whole numbers, {value} is none")
    try:
        if tag.encoding == "bcd":
            digits = f"{int(value):0{2 * tag.type.width}d}"
            if int(value) < 0 or len(digits) > 2 * tag.type.width:
                raise ValueError(f"{tag.name} holds {2 * tag.type.width} digits, {value} does not fit")
            return bytes.fromhex(digits)[::-1]
        return struct.pack(_FORMATS[tag.type], value if real else int(value))
    except (OverflowError, struct.error) as error:
        raise ValueError(f"{tag.name} is {tag.type}, {value} does not fit") from error


def _text(tag: McTag, value: Value) -> bytes:
    if isinstance(value, str) and tag.type is DataType.STRING:
        try:
            data = value.encode(tag.encoding or "utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{tag.name}: {tag.encoding} has no {value[error.start]!r}") from error
    elif isinstance(value, bytes) and tag.type is DataType.BYTES:
        data = value
    else:
        raise ValueError(f"{tag.name} is {tag.type}, {value!r} is not")
    if len(data) > tag.length:
        raise ValueError(f"{tag.name} holds {tag.length} bytes, {len(data)} do not fit")
    return data.ljust(tag.length, b"\0")
