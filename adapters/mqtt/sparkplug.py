"""Payloads of Sparkplug B: the protocol buffers that a host needs, decoded, and the one command that it sends, encoded.

Sans-io. Sources: Eclipse Sparkplug Specification 3.0.0, clause 6.4 (payloads; the numbers of fields and of data types)
and Protocol Buffers Encoding. Whatever the bytes are, decoding costs time and memory in proportion to their number, and
ends with a payload or a ProtocolFault.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.model.faults import ProtocolFault
from gateway.model.quality import Quality
from gateway.model.types import DataType, Value


class Kind(IntEnum):
    """Data types of metrics (clause 6.4.16) that can become the value of a tag."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    BYTES = 17
    FILE = 18


TYPES: Final[dict[int, DataType]] = {
    Kind.INT8: DataType.INT8, Kind.INT16: DataType.INT16, Kind.INT32: DataType.INT32, Kind.INT64: DataType.INT64,
    Kind.UINT8: DataType.UINT8, Kind.UINT16: DataType.UINT16, Kind.UINT32: DataType.UINT32,
    Kind.UINT64: DataType.UINT64, Kind.FLOAT: DataType.FLOAT32, Kind.DOUBLE: DataType.FLOAT64,
    Kind.BOOLEAN: DataType.BOOL, Kind.STRING: DataType.STRING, Kind.DATETIME: DataType.INT64,
    Kind.TEXT: DataType.STRING, Kind.UUID: DataType.STRING, Kind.BYTES: DataType.BYTES, Kind.FILE: DataType.BYTES,
}  # fmt: skip
"""Type of the tag that holds a metric as it is."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a payload (clause 6.4.8)."""

    name: str = ""
    alias: int | None = None
    timestamp: int = 0
    """ms since the epoch; 0: not given."""
    datatype: int = 0
    """0: not given, as is usual in data messages."""
    historical: bool = False
    null: bool = False
    quality: Quality = Quality.GOOD
    """From the property "Quality" (clause 6.4.13), where there is one."""
    field: int = 0
    """Number of the field that holds the value; 0: there is none."""
    raw: int | bytes = 0
    """The value as it lies on the wire."""

    def value(self, datatype: int) -> Value | None:
        """Return the value as a data type has it; None when it holds none of that type."""
        read = _READERS.get(datatype)
        return None if read is None or self.null else read(self.field, self.raw)


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload (clause 6.4.5)."""

    timestamp: int = 0
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()


_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN, _STRING, _BYTES = range(10, 17)
"""Numbers of the fields of a metric that hold its value."""
_U64: Final = 1 << 64
_QUALITIES: Final = {0: Quality.SENSOR_FAILURE, 192: Quality.GOOD, 500: Quality.NOT_CONNECTED}
"""Bad, good, stale (clause 6.4.13): stale is what an edge node says of a device that it has lost."""


def decode(data: bytes) -> Payload:
    """Decode a payload. Raises ProtocolFault."""
    timestamp, seq, metrics = 0, None, []
    for number, value in _fields(data):
        if number == 1:
            timestamp = _number(value)
        elif number == 2:
            metrics.append(_metric(_bytes(value)))
        elif number == 3:
            seq = _number(value)
    return Payload(timestamp, seq, tuple(metrics))


def _metric(data: bytes) -> Metric:
    name, alias, timestamp, datatype = "", None, 0, 0
    historical = null = False
    quality, field, raw = Quality.GOOD, 0, 0  # type: tuple[Quality, int, int | bytes]
    for number, value in _fields(data):
        if _INT <= number <= _BYTES:
            field, raw = number, value
        elif number == 1:
            name = _text(value)
        elif number == 2:
            alias = _number(value)
        elif number == 3:
            timestamp = _number(value)
        elif number == 4:
            datatype = _number(value)
        elif number == 5:
            historical = bool(_number(value))
        elif number == 7:
            null = bool(_number(value))
        elif number == 9:
            quality = _quality(_bytes(value))
    return Metric(name, alias, timestamp, datatype, historical, null, quality, field, raw)


def _quality(data: bytes) -> Quality:
    """Look for the property "Quality" in a set of properties (clause 6.4.9)."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, value in _fields(data):
        if number == 1:
            keys.append(_text(value))
        elif number == 2:
            values.append(_bytes(value))
    if "Quality" not in keys or keys.index("Quality") >= len(values):
        return Quality.GOOD
    for number, value in _fields(values[keys.index("Quality")]):
        if number in (3, 4):
            return _QUALITIES.get(_number(value), Quality.SENSOR_UNCERTAIN)
    return Quality.GOOD


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a message: number, and varint or bytes (fixed 32 and 64 bit: their 4 or 8 bytes)."""
    at, size = 0, len(data)
    while at < size:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0 or key > 0xFFFF_FFFF:
            raise ProtocolFault("Sparkplug: a field without a number", data=data)
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ProtocolFault(f"Sparkplug: wire type {wire} is not in use", data=data)
        if at + length > size:
            raise ProtocolFault("Sparkplug: a field is longer than its message", data=data)
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for place in range(at, min(at + 10, len(data))):
        digit = data[place]
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number % _U64, place + 1
        shift += 7
    raise ProtocolFault("Sparkplug: a number that does not end", data=data[at : at + 16])


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtocolFault("Sparkplug: bytes where a number should be", data=value)
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtocolFault("Sparkplug: a number where bytes should be")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ProtocolFault("Sparkplug: a text that is not UTF-8") from error


# values


def _signed(bits: int) -> Callable[[int, int | bytes], Value | None]:
    """Signed integers are two's complement, cut to their size or extended to that of the field: both are in use."""
    half, whole = 1 << (bits - 1), 1 << bits

    def read(field: int, raw: int | bytes) -> Value | None:
        if isinstance(raw, bytes) or field not in (_INT, _LONG):
            return None
        if raw < whole:
            return raw - whole if raw >= half else raw
        for extended in (1 << 32, _U64):
            if extended - half <= raw < extended:
                return raw - extended
        return None

    return read


def _unsigned(bits: int) -> Callable[[int, int | bytes], Value | None]:
    def read(field: int, raw: int | bytes) -> Value | None:
        return raw if isinstance(raw, int) and field in (_INT, _LONG) and raw < 1 << bits else None

    return read


def _real(field: int, raw: int | bytes) -> Value | None:
    if isinstance(raw, bytes) and (field, len(raw)) in ((_FLOAT, 4), (_DOUBLE, 8)):
        number: float = struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0]
        return number
    return None


def _boolean(field: int, raw: int | bytes) -> Value | None:
    return bool(raw) if field == _BOOLEAN and isinstance(raw, int) else None


def _string(field: int, raw: int | bytes) -> Value | None:
    if field != _STRING or isinstance(raw, int):
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _binary(field: int, raw: int | bytes) -> Value | None:
    return raw if field == _BYTES and isinstance(raw, bytes) else None


_READERS: Final[dict[int, Callable[[int, int | bytes], Value | None]]] = {
    Kind.INT8: _signed(8), Kind.INT16: _signed(16), Kind.INT32: _signed(32), Kind.INT64: _signed(64),
    Kind.UINT8: _unsigned(8), Kind.UINT16: _unsigned(16), Kind.UINT32: _unsigned(32), Kind.UINT64: _unsigned(64),
    Kind.FLOAT: _real, Kind.DOUBLE: _real, Kind.BOOLEAN: _boolean, Kind.STRING: _string, Kind.DATETIME: _unsigned(63),
    Kind.TEXT: _string, Kind.UUID: _string, Kind.BYTES: _binary, Kind.FILE: _binary,
}  # fmt: skip


# the command


def rebirth(timestamp: int) -> bytes:
    """Encode the request for a rebirth (clause 5.8.2, NCMD); ``timestamp``: ms since the epoch."""
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + bytes((len(name),)) + name + b"\x18" + _encoded(timestamp) + b"\x20\x0b\x70\x01"
    return b"\x08" + _encoded(timestamp) + b"\x12" + bytes((len(metric),)) + metric


def _encoded(number: int) -> bytes:
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
