"""What a configuration file can say about S7: connection to a CPU, device with its oddities, tag."""

from __future__ import annotations

import codecs
import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from adapters.s7.address import SIZES, Address, Area
from gateway.config.fields import Port
from gateway.model.types import DataType
from gateway.sdk import Access, ConnectionConfig, DeviceConfig, TagConfig


class Cpu(StrEnum):
    """Families of controllers."""

    SMART = "s7-200smart"
    S7_300 = "s7-300"
    S7_400 = "s7-400"
    S7_1200 = "s7-1200"
    S7_1500 = "s7-1500"
    LOGO = "logo"

    @property
    def slot(self) -> int:
        """Where the CPU usually sits in rack 0."""
        return _SLOTS.get(self, 1)

    @property
    def pdu(self) -> int:
        """Largest PDU that is usually granted, bytes."""
        return _PDUS[self]


_SLOTS: Final = {Cpu.S7_300: 2, Cpu.S7_400: 3}
_PDUS: Final = {
    Cpu.SMART: 240, Cpu.S7_300: 240, Cpu.S7_400: 480, Cpu.S7_1200: 240, Cpu.S7_1500: 960, Cpu.LOGO: 240,
}  # fmt: skip


class ConnectionType(StrEnum):
    """Whose connection resource of the CPU is taken."""

    PG = "pg"
    OP = "op"
    BASIC = "basic"

    @property
    def code(self) -> int:
        """First byte of the remote TSAP."""
        return list(ConnectionType).index(self) + 1


_TSAP: Final = re.compile(r"([0-9A-Fa-f]{2})\.([0-9A-Fa-f]{2})")


def _tsap(value: object) -> object:
    if isinstance(value, str) and (value == "" or _TSAP.fullmatch(value)):
        return value.upper()
    quote = "; write it in quotes" if isinstance(value, int | float) else ""
    raise ValueError(f"a TSAP as two hexadecimal bytes, such as '03.01'{quote}")


Tsap = Annotated[str, BeforeValidator(_tsap)]
"""Two hexadecimal bytes with a dot between them; empty: made from rack and slot."""


def _charset(value: str) -> str:
    try:
        "".encode(value or "latin-1")
    except LookupError:
        raise ValueError(f"{value!r} is no text encoding; latin-1, gbk, utf-8, cp1252 …") from None
    if value and len(" \0A".encode(value)) != 3:
        raise ValueError(f"{value} has more than one byte for an ASCII letter; for UTF-16 take encoding: wstring")
    return codecs.lookup(value).name if value else ""


Charset = Annotated[str, Field(max_length=32), AfterValidator(_charset)]


class S7Connection(ConnectionConfig):
    """A connection to one CPU."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]
    """Name or IP address of the CPU or its communication processor."""
    port: Port = 102
    """TCP port; the standard has 102."""
    source: Annotated[str, Field(max_length=45, pattern=r"^[0-9A-Fa-f:.]*$")] = ""
    """Local IP address to connect from, on a box with several networks."""
    cpu: Cpu = Cpu.S7_1500
    """Family of the CPU: gives the usual slot and PDU size."""
    rack: Annotated[int, Field(ge=0, le=7)] = 0
    """Rack of the CPU, as the hardware configuration has it."""
    slot: Annotated[int, Field(ge=0, le=31)] | None = None
    """Slot of the CPU. Default: 2 for s7-300, 3 for s7-400, 1 for the others."""
    connection_type: ConnectionType = ConnectionType.BASIC
    """pg, op or basic: which of the CPU's connection resources is taken. basic is what PUT/GET partners use."""
    local_tsap: Tsap = ""
    """Our own TSAP, such as '10.00', where the CPU wants a certain one. Default: 01.00."""
    remote_tsap: Tsap = ""
    """TSAP of the CPU, such as '02.01', instead of connection_type, rack and slot (S7-200 SMART, LOGO, routed CPUs)."""
    pdu: Annotated[int, Field(ge=112, le=960)] = 960
    """Largest PDU to ask for, bytes; the CPU may grant less, and the reads are packed to what it grants."""
    pipeline: Annotated[int, Field(ge=1, le=8)] = 4
    """Requests on their way at the same time, if the CPU grants so many; it has the last word."""

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once."""
        return f"tcp://{self.host}:{self.port}/{self.tsaps()[1].hex()}"

    def tsaps(self) -> tuple[bytes, bytes]:
        """Local and remote TSAP: connection type, then rack × 32 + slot."""
        slot = self.cpu.slot if self.slot is None else self.slot
        usual = f"{self.connection_type.code:02X}.{self.rack * 32 + slot:02X}"
        local, remote = self.local_tsap or "01.00", self.remote_tsap or usual
        return bytes.fromhex(local.replace(".", "")), bytes.fromhex(remote.replace(".", ""))

    @property
    def expected_pdu(self) -> int:
        """PDU that plans are made for before the CPU has said what it grants."""
        return min(self.pdu, self.cpu.pdu)


class S7Device(DeviceConfig):
    """A CPU, or the part of its data that makes one machine."""

    max_gap: Annotated[int, Field(ge=0, le=200)] = 32
    """Bytes nobody asked for that one item of a read may run over, so that two items become one."""
    max_items: Annotated[int, Field(ge=1, le=20)] = 20
    """Most items in one request; the CPUs bear 20."""
    charset: Charset = "latin-1"
    """Text encoding of STRING and CHAR tags that name none; gbk for Chinese texts in STRING."""


class Encoding(StrEnum):
    """How the bytes of a tag are to be read, where the type alone does not tell."""

    S7STRING = "s7string"
    WSTRING = "wstring"
    CHAR = "char"
    BCD = "bcd"
    DATE_AND_TIME = "date_and_time"
    DTL = "dtl"
    LDT = "ldt"
    DATE = "date"
    TIME = "time"
    TOD = "tod"
    S5TIME = "s5time"

    @property
    def text(self) -> bool:
        """True for what needs its length in characters."""
        return self in _LONGEST


WHOLE: Final = (
    DataType.INT8, DataType.UINT8, DataType.INT16, DataType.UINT16,
    DataType.INT32, DataType.UINT32, DataType.INT64, DataType.UINT64,
)  # fmt: skip
FLOATS: Final = (DataType.FLOAT32, DataType.FLOAT64)
_UNSIGNED: Final = (DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64)
_MOMENT: Final = (DataType.STRING, DataType.INT64)
_SPAN: Final = (DataType.INT32, DataType.UINT32, DataType.INT64, DataType.UINT64, *FLOATS)
TYPES: Final[dict[Encoding, tuple[DataType, ...]]] = {
    Encoding.S7STRING: (DataType.STRING,),
    Encoding.WSTRING: (DataType.STRING,),
    Encoding.CHAR: (DataType.STRING,),
    Encoding.BCD: _UNSIGNED,
    Encoding.DATE_AND_TIME: _MOMENT,
    Encoding.DTL: _MOMENT,
    Encoding.LDT: _MOMENT,
    Encoding.DATE: _MOMENT,
    Encoding.TIME: (DataType.INT32, DataType.INT64, *FLOATS),
    Encoding.TOD: (DataType.STRING, *_SPAN),
    Encoding.S5TIME: _SPAN,
}
"""Types that a tag with an encoding may have."""
_FIXED: Final[dict[Encoding, int]] = {
    Encoding.DATE_AND_TIME: 8, Encoding.DTL: 12, Encoding.LDT: 8, Encoding.DATE: 2, Encoding.TIME: 4, Encoding.TOD: 4,
    Encoding.S5TIME: 2,
}  # fmt: skip
_LONGEST: Final[dict[Encoding, int]] = {Encoding.S7STRING: 254, Encoding.WSTRING: 1000, Encoding.CHAR: 1000}
_BYTES_LONGEST: Final = 4096


class S7Tag(TagConfig):
    """One value in a CPU."""

    address: Address
    """DB1.DBX0.3, DB1.DBB4, DB1.DBW6, DB1.DBD8, DB1.DBL16, M10.2, MW20, IW64, QB1, PIW256, VW100, T5, C3."""
    encoding: Encoding | None = None
    """How the bytes are to be read: see the table of values. Default: s7string for strings, s5time for T, bcd for C."""
    length: Annotated[int, Field(ge=0, le=_BYTES_LONGEST)] = 0
    """Characters of a string, as declared in the CPU (STRING[20]: 20); bytes of a bytes tag."""
    charset: Charset = ""
    """Text encoding of s7string and char: latin-1, gbk, utf-8 … Default: the device's."""

    @model_validator(mode="after")
    def _readable(self) -> S7Tag:
        for check in (_bit, _counted, _encoded, _long_enough, _wide):
            if problem := check(self):
                raise ValueError(f"{self.type} at {self.address}: {problem}")
        if self.access is not Access.READ and not self.address.area.writable:
            raise ValueError(f"{self.address}: only Q, M, DB and V can be written")
        return self

    @property
    def kind(self) -> Encoding | None:
        """The encoding that applies, named or not; None: the type says all."""
        if self.encoding is not None:
            return self.encoding
        if self.type is DataType.STRING:
            return Encoding.S7STRING
        return {Area.TIMER: Encoding.S5TIME, Area.COUNTER: Encoding.BCD}.get(self.address.area)

    @property
    def size(self) -> int:
        """Bytes that the value takes in the CPU."""
        kind = self.kind
        if self.address.area.counted:
            return 2
        if kind in _FIXED:
            return _FIXED[kind]
        if kind is Encoding.S7STRING:
            return self.length + 2
        if kind is Encoding.WSTRING:
            return 2 * self.length + 4
        return self.length or self.type.width


def _bit(tag: S7Tag) -> str:
    if (tag.address.size == "X") != (tag.type is DataType.BOOL):
        return "a bool needs a bit, such as DB1.DBX0.3, and a bit is of type bool"
    return ""


def _counted(tag: S7Tag) -> str:
    area = tag.address.area
    if area.counted and tag.encoding is not None and tag.encoding not in (Encoding.S5TIME, Encoding.BCD):
        return "a timer has the encoding s5time, a counter bcd"
    if area.counted and tag.type.width < 2:
        return "a timer or counter needs a numeric type of at least 16 bits"
    return ""


def _encoded(tag: S7Tag) -> str:
    kind = tag.kind
    if kind is not None and tag.type not in TYPES[kind]:
        return f"with encoding {kind} the type is {', '.join(TYPES[kind])}"
    if tag.charset and kind not in (Encoding.S7STRING, Encoding.CHAR):
        return "a charset belongs to strings with encoding s7string or char"
    return ""


def _long_enough(tag: S7Tag) -> str:
    kind = tag.kind
    if tag.type is DataType.BYTES or (kind is not None and kind.text):
        longest = _BYTES_LONGEST if kind is None else _LONGEST[kind]
        return "" if 1 <= tag.length <= longest else f"needs its length, 1 to {longest}"
    return "has no length" if tag.length else ""


def _wide(tag: S7Tag) -> str:
    address = tag.address
    width = SIZES.get(address.size, 0)
    if width > 1 and width != tag.size:
        return (
            f"{address.size} is {width} bytes and the value has {tag.size}; B fits everything: it says where it begins"
        )
    if address.offset + tag.size > (131_072 if address.area.counted else 65_536):
        return "reaches past the last byte"
    return ""
