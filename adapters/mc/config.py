"""What a configuration file can say about MELSEC CPUs: connection, device with its series and route, tag."""

from __future__ import annotations

import codecs
from enum import StrEnum
from math import ceil
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, model_validator

from adapters.mc.address import Address, Kind
from adapters.mc.codec import Code, Frame, Route
from adapters.mc.series import Series
from gateway.config.fields import Duration
from gateway.model.types import DataType
from gateway.sdk import Access, DeviceConfig, TagConfig, TcpConnection

TICK: Final = 0.25
"""Seconds of one step of the monitoring timer."""


class Transport(StrEnum):
    """How messages travel."""

    TCP = "tcp"
    UDP = "udp"


class McConnection(TcpConnection):
    """A connection entry of a CPU or of an Ethernet module, as the programming tool sets it up."""

    transport: Transport = Transport.TCP
    """tcp or udp, as in the entry. With udp take frame 4e: 3e answers cannot be told from late or doubled ones."""
    frame: Frame = Frame.E3
    """3e, or 4e, which carries a serial number."""
    code: Code = Code.BINARY
    """binary, ascii, or ascii_octal: the communication data code of the entry. With a wrong one a CPU keeps silent."""
    source: Annotated[str, Field(max_length=45, pattern=r"^[0-9A-Fa-f:.]*$")] = ""
    """Local IP address to connect from, on a box with several networks."""
    source_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Local UDP port, where the entry names the port of its partner; 0: any. Needs frame 4e."""
    monitoring: Duration | None = None
    """How long the CPU may take before it answers with an error; 0s: no limit. Default: a little less than timeout."""
    gap: Duration = 0.0
    """Silence between an answer and the next request."""
    rest: Duration = 0.02
    """Pause after closing: an entry takes one connection, and needs a few milliseconds to see that it is free."""

    @model_validator(mode="after")
    def _complete(self) -> McConnection:
        if self.source_port and self.transport is not Transport.UDP:
            raise ValueError("source_port belongs to transport udp")
        if self.source_port and self.frame is not Frame.E4:
            raise ValueError("source_port needs frame 4e: on one port a late 3e answer looks like the next one")
        if self.monitoring is not None and self.monitoring > 0xFFFF * TICK:
            raise ValueError("monitoring is at most 16383s")
        return self

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once."""
        return f"{self.transport}://{self.host}:{self.port}"

    @property
    def timer(self) -> int:
        """Monitoring timer as transmitted: steps of 250 ms, so that the CPU gives up before we do."""
        if self.monitoring is None:
            return min(max(ceil(self.timeout / TICK) - 1, 1), 0xFFFF)
        return min(ceil(self.monitoring / TICK), 0xFFFF)


_SERIES: Final = {
    "r": "iq-r", "iqr": "iq-r", "f": "iq-f", "iqf": "iq-f",
    "fx5": "iq-f", "fx5u": "iq-f", "fx5uc": "iq-f", "fx5uj": "iq-f", "fx5s": "iq-f",
}  # fmt: skip


def _series(value: object) -> object:
    return _SERIES.get(value.lower(), value.lower()) if isinstance(value, str) else value


class McDevice(DeviceConfig):
    """One CPU, the connected one or another that it has a route to."""

    series: Annotated[Series | None, BeforeValidator(_series)] = None
    """q, l, iq-r, or iq-f (FX5), which decides how X and Y are counted, and the limits. Needed for X and Y."""
    network: Annotated[int, Field(ge=0, le=255)] = 0
    """Network number; 0: the connected station."""
    pc: Annotated[int, Field(ge=0, le=255)] = 255
    """Station (PC) number on that network; 255: the connected one."""
    io: Annotated[int, Field(ge=0, le=0xFFFF)] = 0x3FF
    """Module I/O number: 1023 (03FF) the CPU; 992 to 995 (03E0 to 03E3) CPU 1 to 4 of a multiple CPU system."""
    station: Annotated[int, Field(ge=0, le=255)] = 0
    """Station number behind that module, on a multidrop line; 0: none."""
    wide: bool = False
    """true: name all devices in the long specification of iQ-R (subcommand 0002); halves what a request may hold."""
    max_words: Annotated[int, Field(ge=2, le=960)] = 960
    """Most words in one read, where the series can do as many."""
    max_points: Annotated[int, Field(ge=0, le=192)] = 192
    """Most places in one random read (0403); 0: the peer does not know that command."""
    max_blocks: Annotated[int, Field(ge=0, le=120)] = 120
    """Most blocks in one block read (0406); 0: the peer does not know that command."""
    max_gap: Annotated[int, Field(ge=0, le=480)] = 32
    """Words nobody asked for that one read may run over, so that two become one; of bits, 16 in a word."""

    @model_validator(mode="after")
    def _possible(self) -> McDevice:
        if self.wide and self.series not in (None, Series.IQ_R):
            raise ValueError(f"wide belongs to series iq-r, {self.series} does not know the long specification")
        return self

    @property
    def octal(self) -> bool:
        """True when X and Y are counted in octal."""
        return self.series is not None and self.series.octal

    @property
    def route(self) -> Route:
        """The way to it."""
        return Route(self.network, self.pc, self.io, self.station)


_BCD: Final = (DataType.UINT16, DataType.UINT32, DataType.UINT64)
_LONG: Final = (DataType.INT32, DataType.UINT32)


class McTag(TagConfig):
    """One value in a CPU."""

    address: Address
    """D100, M7, X1F, W1A, TN5, ZR32768, or D100.F (a bit of a word)."""
    length: Annotated[int, Field(ge=0, le=960)] = 0
    """Bytes of a string or bytes tag, two per word, the lower byte first."""
    encoding: Annotated[str, Field(max_length=32)] = ""
    """bcd for decimal digits in four bits each; for strings: utf-8 (default), ascii, gbk, shift_jis …"""

    @model_validator(mode="after")
    def _readable(self) -> McTag:
        kind, bit = self.address.area.kind, self.address.bit
        text = self.type in (DataType.STRING, DataType.BYTES)
        where = f"{self.type} at {self.address}"
        if self.type is DataType.BOOL and kind is not Kind.BIT and bit is None:
            raise ValueError(f"{where}: a bool in a word needs its bit, such as D100.0")
        if bit is not None and self.type is not DataType.BOOL:
            raise ValueError(f"{where}: one bit of a word is of type bool")
        if self.type.width == 1 and self.type is not DataType.BOOL:
            raise ValueError(f"{where}: devices hold bits and words, no single bytes")
        if kind is Kind.LONG and self.type not in _LONG:
            raise ValueError(f"{where}: {self.address.area.name} is of type int32 or uint32")
        if text != bool(self.length):
            raise ValueError(f"{where}: {'needs its length in bytes' if text else 'has no length'}")
        self._encoded(where)
        if self.access is not Access.READ:
            self._written(where)
        return self

    def _encoded(self, where: str) -> None:
        if not self.encoding:
            return
        if self.type in _BCD and self.encoding == "bcd":
            return
        if self.type is not DataType.STRING:
            raise ValueError(f"{where}: encoding is bcd with uint16, uint32, uint64, or the encoding of a string")
        try:
            codecs.lookup(self.encoding)
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"{where}: {self.encoding!r} is no text encoding; utf-8, gbk, shift_jis …") from None

    def _written(self, where: str) -> None:
        if self.address.bit is not None:
            raise ValueError(f"{where}: a bit of a word cannot be written without its 15 neighbours; use a bit device")
        if not self.address.area.writable:
            raise ValueError(f"{where}: {self.address.area.name} can only be read")
        if self.length % 2:
            raise ValueError(f"{where}: a text that is written needs an even length, whole words")

    @property
    def cells(self) -> int:
        """Words that the value takes; points of two words for long timers and the like."""
        if self.length:
            return (self.length + 1) // 2
        return 1 if self.address.area.kind is Kind.LONG else max(1, self.type.width // 2)
