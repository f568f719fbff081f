"""Where a tag's bytes lie, for reading, and which bytes a value becomes, for writing: one the inverse of the other.

Words are little-endian throughout, and of a value of several words the lowest comes first; so do the letters of texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.mc.address import Kind
from adapters.mc.config import McTag
from gateway.model.types import DataType, Value
from gateway.wire.encoding import encode_number, encode_text
from gateway.wire.registers import Field


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
        return encode_text(tag.name, tag.type, value, tag.length, tag.encoding)
    if tag.type is DataType.BOOL:
        return bytes((bool(value),))
    return encode_number(tag.name, tag.type, value, bcd=tag.encoding == "bcd").ljust(
        tag.cells * tag.address.area.size, b"\0"
    )


def whole_words(tag: McTag) -> bool:
    """True for a tag on bit devices that takes them 16 at a time."""
    return tag.address.area.kind is Kind.BIT and tag.type is not DataType.BOOL
