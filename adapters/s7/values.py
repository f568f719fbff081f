"""Where a tag's bytes lie, for reading, and which bytes a value becomes, for writing: one the inverse of the other.

Numbers are decoded by the register table, all at once. What no table can do (texts with their length in front, dates)
is converted one by one into bytes that a table can: behind the bytes from the wire, the image has a place for each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from adapters.s7.config import FLOATS, Encoding, S7Device, S7Tag
from adapters.s7.moments import (
    MOMENTS,
    SPANS,
    format_moment,
    format_time_of_day,
    parse_moment,
    parse_time_of_day,
)
from gateway.model.types import DataType, Value
from gateway.wire.registers import Field

_FORMATS: Final[dict[DataType, str]] = {
    DataType.INT8: ">b", DataType.UINT8: ">B", DataType.INT16: ">h", DataType.UINT16: ">H",
    DataType.INT32: ">i", DataType.UINT32: ">I", DataType.INT64: ">q", DataType.UINT64: ">Q",
    DataType.FLOAT32: ">f", DataType.FLOAT64: ">d",
}  # fmt: skip
_DATE_TEXT: Final = 32
"""Bytes in the image for a date as text: the longest has 29."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """One value that is brought into a form that a register table can read."""

    tag: int
    source: int
    """First image byte, as it came from the wire."""
    size: int
    to: int
    """First image byte of the converted form."""
    room: int
    kind: Encoding
    type: DataType

    def apply(self, image: bytearray) -> bool:
        """Convert; False when the bytes are no such value."""
        form = converted(self.kind, self.type, self.room, bytes(image[self.source : self.source + self.size]))
        if form is None:
            return False
        image[self.to : self.to + self.room] = form
        return True


def room(tag: S7Tag) -> int:
    """Bytes of the converted form of a tag; 0: the table reads it as it comes from the wire."""
    kind = tag.kind
    if kind is Encoding.S7STRING:
        return tag.length
    if kind is Encoding.WSTRING:
        return 3 * tag.length
    if kind in MOMENTS or kind in SPANS:
        return tag.type.width or _DATE_TEXT
    return 0


def field(device: S7Device, tag: S7Tag, start: int) -> Field:
    """Field of a register table for a tag that lies, or whose converted form lies, at image byte ``start``."""
    kind = tag.kind
    if tag.type is DataType.BOOL:
        return Field(DataType.BOOL, (start,), tag.address.bit)
    if size := room(tag):
        encoding = charset(device, tag) if kind is Encoding.S7STRING else "utf-8"
        return Field(tag.type, tuple(range(start, start + size)), encoding=encoding)
    if not tag.type.packed:
        return Field(tag.type, tuple(range(start, start + tag.length)), encoding=charset(device, tag))
    return Field(tag.type, tuple(range(start + tag.size - 1, start - 1, -1)), bcd=kind is Encoding.BCD)


def charset(device: S7Device, tag: S7Tag) -> str:
    """Text encoding of a string tag."""
    return tag.charset or device.charset or "latin-1"


@lru_cache(maxsize=8192)
def converted(kind: Encoding, form: DataType, size: int, raw: bytes) -> bytes | None:
    """Converted form of what came from the wire, ``size`` bytes; None when it is no such value. Most do not change."""
    try:
        if kind in MOMENTS:
            moment = MOMENTS[kind]
            ns = moment.decode(raw)
            if form is DataType.INT64:
                return (ns // 1_000_000).to_bytes(size, "little", signed=True)
            return format_moment(ns, moment.digits).encode().ljust(size, b"\0")
        if kind in SPANS:
            ms = SPANS[kind].decode(raw)
            if form is DataType.STRING:
                return format_time_of_day(ms).encode().ljust(size, b"\0")
            value = ms / 1000 if form in FLOATS else ms
            return struct.pack("<" + _FORMATS[form][1], value)
        return _TEXTS[kind](raw, size)
    except (ValueError, OverflowError):
        return None


def _from_string(raw: bytes, size: int) -> bytes | None:
    """STRING: longest length, actual length, characters. One whose length exceeds what the tag says is not cut."""
    longest, actual = raw[0], raw[1]
    if actual > min(longest, len(raw) - 2):
        return None
    return raw[2 : 2 + actual].ljust(size, b"\0")


def _from_wstring(raw: bytes, size: int) -> bytes | None:
    """WSTRING: the same with two bytes each, characters in UTF-16."""
    longest, actual = struct.unpack_from(">HH", raw)
    if actual > min(longest, len(raw) // 2 - 2):
        return None
    return raw[4 : 4 + 2 * actual].decode("utf-16-be").encode().ljust(size, b"\0")


_TEXTS: Final[dict[Encoding, Callable[[bytes, int], bytes | None]]] = {
    Encoding.S7STRING: _from_string,
    Encoding.WSTRING: _from_wstring,
}


# writing


def encode(device: S7Device, tag: S7Tag, value: Value) -> bytes:
    """Bytes of a raw value, as they lie in the CPU; of a bool one byte, 0 or 1. Raises ValueError for what cannot be.

    Of an s7string and a wstring: both lengths and the characters there are, not the room behind them.
    """
    kind = tag.kind
    if tag.type is DataType.BOOL:
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise ValueError(f"{tag.name} is true or false, {value!r} is neither")
        return bytes((int(value),))
    if kind in MOMENTS or kind in SPANS:
        return _encode_time(tag, kind, value)
    if not tag.type.packed:
        return _encode_text(device, tag, value)
    return _encode_number(tag, value)


def _encode_time(tag: S7Tag, kind: Encoding, value: Value) -> bytes:
    try:
        if tag.type is DataType.STRING:
            if not isinstance(value, str):
                raise ValueError("a text such as 2026-03-01T08:15:00")
            if kind in MOMENTS:
                return MOMENTS[kind].encode(parse_moment(value))
            return SPANS[kind].encode(parse_time_of_day(value))
        if isinstance(value, str | bytes) or not math.isfinite(value):
            raise ValueError("a number")
        if tag.type in FLOATS:
            value = round(value * 1000)
        elif value != int(value):
            raise ValueError("whole milliseconds")
        return MOMENTS[kind].encode(int(value) * 1_000_000) if kind in MOMENTS else SPANS[kind].encode(int(value))
    except ValueError as error:
        raise ValueError(f"{tag.name} is {kind}, {value!r} does not fit: {error}") from error


def _encode_number(tag: S7Tag, value: Value) -> bytes:
    if isinstance(value, str | bytes):
        raise ValueError(f"{tag.name} is a number, {value!r} is not")  # noqa: TRY004, one kind of error for all
    if tag.type not in FLOATS and (not math.isfinite(value) or value != int(value)):
        raise ValueError(f"{tag.name} holds whole numbers, {value} is none")
    try:
        if tag.kind is Encoding.BCD:
            digits = f"{int(value):0{2 * tag.size}d}"
            if int(value) < 0 or len(digits) > 2 * tag.size:
                raise ValueError(f"{tag.name} holds {2 * tag.size} digits, {value} does not fit")
            return bytes.fromhex(digits)
        return struct.pack(_FORMATS[tag.type], value if tag.type in FLOATS else int(value))
    except (OverflowError, struct.error) as error:
        raise ValueError(f"{tag.name} is {tag.type}, {value} does not fit") from error


def _encode_text(device: S7Device, tag: S7Tag, value: Value) -> bytes:
    if isinstance(value, bytes) and tag.type is DataType.BYTES:
        data = value
    elif isinstance(value, str) and tag.type is DataType.STRING:
        encoding = "utf-16-be" if tag.kind is Encoding.WSTRING else charset(device, tag)
        try:
            data = value.encode(encoding)
        except UnicodeEncodeError as error:
            raise ValueError(f"{tag.name}: {encoding} has no {value[error.start]!r}") from error
    else:
        raise ValueError(f"{tag.name} is {tag.type}, {value!r} is not")
    longest = tag.length * (2 if tag.kind is Encoding.WSTRING else 1)
    if len(data) > longest:
        raise ValueError(f"{tag.name} holds {longest} bytes, {len(data)} do not fit")
    if tag.kind is Encoding.S7STRING:
        return bytes((tag.length, len(data))) + data
    if tag.kind is Encoding.WSTRING:
        return struct.pack(">HH", tag.length, len(data) // 2) + data
    return data.ljust(tag.length, b"\0" if tag.type is DataType.BYTES else b" ")
