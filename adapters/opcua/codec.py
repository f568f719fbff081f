"""OPC UA binary encoding (Part 6, 5.2): bytes in, values out, and back. Sans-io; no clock, no socket.

Here are the built-in types one by one; many values at a time are in ``columns``, messages in ``services``. Whatever the
bytes are, the result is values or a ProtocolFault, with memory in proportion to them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from gateway.model.faults import ProtocolFault

EPOCH: Final = 116_444_736_000_000_000
"""1 January 1970 as a DateTime: units of 100 ns since 1601 (Part 6, 5.2.2.5)."""
LAST_TIME: Final = EPOCH + (2**63 - 1) // 100
"""Last DateTime that fits into ns since 1970."""
DEEPEST: Final = 8
"""Levels of values within values."""
BOOLEAN, DATETIME, BYTES, EXTENSION, STATUS = 1, 13, 15, 22, 19
FIXED: Final[dict[int, str]] = {
    1: "u1", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
    13: "<i8", 19: "<u4",
}  # fmt: skip
"""Built-in types of fixed size (Part 6, table 1) and how numpy reads them."""
HAS_VALUE, HAS_STATUS, HAS_SOURCE, HAS_SERVER, HAS_SOURCE_FINE, HAS_SERVER_FINE = 1, 2, 4, 8, 16, 32
"""Bits of the mask of a DataValue (Part 6, 5.2.2.17)."""
_U16, _U32, _I32, _I64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<q")


class Reader:
    """Reads one value after the other. Raises ProtocolFault where bytes are missing or make no sense."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def skip(self, size: int) -> int:
        """Step over ``size`` bytes; return where they begin."""
        at = self.at
        if size < 0 or at + size > len(self.data):
            raise ProtocolFault(f"{size} bytes expected, {len(self.data) - at} left", data=self.data)
        self.at = at + size
        return at

    def byte(self) -> int:
        """Byte, or Boolean."""
        return self.data[self.skip(1)]

    def u16(self) -> int:
        """UInt16."""
        return int(_U16.unpack_from(self.data, self.skip(2))[0])

    def u32(self) -> int:
        """UInt32, or StatusCode."""
        return int(_U32.unpack_from(self.data, self.skip(4))[0])

    def i64(self) -> int:
        """Int64, or DateTime."""
        return int(_I64.unpack_from(self.data, self.skip(8))[0])

    def count(self, least: int = 1) -> int:
        """Length of an array whose elements take at least ``least`` bytes; null is 0."""
        number = int(_I32.unpack_from(self.data, self.skip(4))[0])
        if number * least > len(self.data) - self.at:
            raise ProtocolFault(f"an array of {number} in {len(self.data) - self.at} bytes", data=self.data)
        return max(number, 0)

    def blob(self) -> bytes | None:
        """ByteString; None for null."""
        size = int(_I32.unpack_from(self.data, self.skip(4))[0])
        return None if size < 0 else self.data[self.skip(size) : self.at]

    def text(self) -> str | None:
        """String; None for null. What is not UTF-8 becomes a replacement character."""
        found = self.blob()
        return None if found is None else found.decode("utf-8", "replace")

    def node(self) -> str:
        """NodeId or ExpandedNodeId, as text (Part 6, 5.2.2.9)."""
        form = self.byte()
        namespace, identifier = 0, ""
        kind = form & 0x3F
        if kind == 0:
            identifier = f"i={self.byte()}"
        elif kind == 1:
            namespace, identifier = self.byte(), f"i={self.u16()}"
        elif kind in (2, 3, 4, 5):
            namespace = self.u16()
            identifier = _IDENTIFIERS[kind](self)
        else:
            raise ProtocolFault(f"no node id begins with {form:#04x}", data=self.data)
        uri = self.text() if form & 0x80 else None
        if form & 0x40:
            self.u32()
        prefix = f"nsu={uri};" if uri else f"ns={namespace};" if namespace else ""
        return prefix + identifier

    def diagnostics(self, depth: int = 0) -> None:
        """Step over a DiagnosticInfo (Part 6, 5.2.2.12)."""
        if depth > DEEPEST:
            raise ProtocolFault("diagnostics within diagnostics, too deep", data=self.data)
        mask = self.byte()
        for bit in (1, 2, 4, 8):
            if mask & bit:
                self.u32()
        if mask & 16:
            self.blob()
        if mask & 32:
            self.u32()
        if mask & 64:
            self.diagnostics(depth + 1)

    def all_diagnostics(self) -> None:
        """Step over an array of them."""
        for _ in range(self.count()):
            self.diagnostics()

    def extension(self) -> tuple[str, bytes]:
        """ExtensionObject: type of its encoding, and its body."""
        kind = self.node()
        form = self.byte()
        if form not in (0, 1, 2):
            raise ProtocolFault(f"no extension object has form {form}", data=self.data)
        return kind, (self.blob() or b"") if form else b""

    def variant(self, depth: int = 0) -> tuple[int, Any]:
        """Variant (Part 6, 5.2.2.16): (built-in type, value); an array is a list."""
        if depth > DEEPEST:
            raise ProtocolFault("values within values, too deep", data=self.data)
        form = self.byte()
        kind = form & 0x3F
        if kind and kind not in _SCALARS:
            kind = BYTES if kind in range(26, 32) else kind  # reserved: decoded as bytes (Part 6, 5.2.2.16)
            if kind != BYTES:
                raise ProtocolFault(f"no value has type {kind}", data=self.data)
        if not form & 0x80:
            return kind, _SCALARS[kind](self, depth) if kind else None
        if not kind:
            raise ProtocolFault("an array of nothing", data=self.data)
        if kind in FIXED:
            dtype = np.dtype(FIXED[kind])
            size = self.count(dtype.itemsize)
            values = np.frombuffer(self.data, dtype, size, self.skip(size * dtype.itemsize)).tolist()
            if kind == BOOLEAN:
                values = [value != 0 for value in values]
        else:
            values = [_SCALARS[kind](self, depth) for _ in range(self.count())]
        if form & 0x40:
            for _ in range(self.count(4)):
                self.u32()
        return kind, values

    def data_value(self, depth: int = 0) -> tuple[int, Any, int, int]:
        """DataValue (Part 6, 5.2.2.17): (built-in type, value, status, ns since 1970 or 0)."""
        mask = self.byte()
        kind, value = self.variant(depth) if mask & HAS_VALUE else (0, None)
        status = self.u32() if mask & HAS_STATUS else 0
        source = self.i64() if mask & HAS_SOURCE else 0
        fine = self.u16() if mask & HAS_SOURCE_FINE else 0
        server = self.i64() if mask & HAS_SERVER else 0
        if mask & HAS_SERVER_FINE:
            self.u16()
        time = unix(source)
        return kind, value, status, time + min(fine, 9_999) // 100 if time else unix(server)


def unix(time: int) -> int:
    """Ns since 1970 of a DateTime; 0 for none, and for one that no clock of today shows."""
    return (time - EPOCH) * 100 if EPOCH < time < LAST_TIME else 0


def unix_times(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same for a column."""
    inside = (times > EPOCH) & (times < LAST_TIME)
    return np.where(inside, times - EPOCH, 0) * 100


def _guid(reader: Reader) -> str:
    at = reader.skip(16)
    return str(UUID(bytes_le=bytes(reader.data[at : at + 16])))


def _localized(reader: Reader) -> str | None:
    mask = reader.byte()
    if mask & 1:
        reader.blob()
    return reader.text() if mask & 2 else None


def _qualified(reader: Reader) -> str | None:
    namespace = reader.u16()
    found = reader.text()
    return found if found is None or not namespace else f"{namespace}:{found}"


def _fixed(kind: int) -> Any:
    dtype = np.dtype(FIXED[kind])
    if kind == BOOLEAN:
        return lambda reader, _depth: reader.byte() != 0
    return lambda reader, _depth: np.frombuffer(reader.data, dtype, 1, reader.skip(dtype.itemsize))[0].item()


def _plain(read: Any) -> Any:
    return lambda reader, _depth: read(reader)


_IDENTIFIERS: Final[dict[int, Any]] = {
    2: lambda reader: f"i={reader.u32()}",
    3: lambda reader: f"s={reader.text() or ''}",
    4: lambda reader: f"g={_guid(reader)}",
    5: lambda reader: f"b={(reader.blob() or b'').hex()}",
}
_SCALARS: Final[dict[int, Any]] = {kind: _fixed(kind) for kind in FIXED} | {
    12: _plain(Reader.text), 14: _plain(_guid), 15: _plain(Reader.blob), 16: _plain(Reader.blob),
    17: _plain(Reader.node), 18: _plain(Reader.node), 20: _plain(_qualified), 21: _plain(_localized),
    22: lambda reader, _depth: reader.extension()[1],
    23: lambda reader, depth: reader.data_value(depth + 1)[1],
    24: lambda reader, depth: reader.variant(depth + 1)[1],
    25: lambda reader, depth: reader.diagnostics(depth + 1),
}  # fmt: skip
"""How a single value of each built-in type is read."""


# the other direction


def string(text: str | bytes | None) -> bytes:
    """String, or ByteString."""
    if text is None:
        return b"\xff\xff\xff\xff"
    data = text.encode() if isinstance(text, str) else text
    return _I32.pack(len(data)) + data


def array(items: Sequence[bytes]) -> bytes:
    """Array of what is encoded already."""
    return _I32.pack(len(items)) + b"".join(items)


def node_id(namespace: int, identifier: int | str | UUID | bytes) -> bytes:
    """NodeId, in its shortest form."""
    if isinstance(identifier, int):
        if namespace == 0 and identifier < 256:
            return bytes((0, identifier))
        if namespace < 256 and identifier < 65_536:
            return struct.pack("<BBH", 1, namespace, identifier)
        return struct.pack("<BHI", 2, namespace, identifier)
    if isinstance(identifier, UUID):
        return struct.pack("<BH", 4, namespace) + identifier.bytes_le
    return struct.pack("<BH", 3 if isinstance(identifier, str) else 5, namespace) + string(identifier)
