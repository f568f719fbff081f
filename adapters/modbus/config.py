"""What a configuration file can say about Modbus: connection, device with its oddities, tag."""

from __future__ import annotations

import codecs
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from adapters.modbus.address import Address
from gateway.config.fields import Duration, Port
from gateway.model.types import DataType
from gateway.sdk import Access, ConnectionConfig, DeviceConfig, TagConfig
from gateway.sdk.tls import ClientTls

_ALIASES: Final = {"big": "ABCD", "little": "DCBA", "big_swapped": "BADC", "little_swapped": "CDAB"}


class Transport(StrEnum):
    """How frames travel."""

    TCP = "tcp"
    RTU = "rtu"
    RTU_OVER_TCP = "rtu_over_tcp"
    TCP_LISTEN = "tcp_listen"
    RTU_LISTEN = "rtu_listen"

    @property
    def rtu(self) -> bool:
        """True when frames have a checksum and no transaction id."""
        return self in (Transport.RTU, Transport.RTU_OVER_TCP, Transport.RTU_LISTEN)

    @property
    def listens(self) -> bool:
        """True when the device dials in."""
        return self in (Transport.TCP_LISTEN, Transport.RTU_LISTEN)


class ByteOrder(StrEnum):
    """Order on the wire of the bytes of a value, A the most significant; for 16 bit AB or BA, likewise for 64 bit."""

    ABCD = "ABCD"
    DCBA = "DCBA"
    BADC = "BADC"
    CDAB = "CDAB"

    @property
    def wire(self) -> str:
        """Name of the same order in gateway.wire.registers."""
        return _WIRE[self]


_WIRE: Final = {ByteOrder(letters): name for name, letters in _ALIASES.items()}


def _order(value: object) -> object:
    return _ALIASES.get(value.lower(), value.upper()) if isinstance(value, str) else value


Order = Annotated[ByteOrder, BeforeValidator(_order)]
"""ABCD (or big), DCBA (little), BADC (big_swapped), CDAB (little_swapped)."""


class Tls(ClientTls):
    """MODBUS/TCP Security: TLS below the same frames."""


class ModbusConnection(ConnectionConfig):
    """A socket or a serial line to one or more Modbus devices."""

    transport: Transport = Transport.TCP
    """tcp, rtu (serial line), rtu_over_tcp (serial server), or tcp_listen and rtu_listen, where the device dials in."""
    host: Annotated[str, Field(max_length=253, pattern=r"^[^\s/]*$")] = ""
    """Name or IP address; for the listening transports the local address, by default 127.0.0.1."""
    port: Port = 502
    """TCP port; the standard has 502, and 802 for TLS."""
    source: Annotated[str, Field(max_length=45, pattern=r"^[0-9A-Fa-f:.]*$")] = ""
    """Local IP address to connect from, on a box with several networks."""
    tls: Tls | None = None
    """Set it, even to {}, for MODBUS/TCP Security."""
    serial_port: Annotated[str, Field(max_length=255)] = ""
    """Serial device file, such as /dev/ttyS1; for transport rtu."""
    baudrate: Annotated[int, Field(ge=110, le=4_000_000)] = 9600
    """Bits per second on the serial line."""
    parity: Annotated[str, Field(pattern="^[NEOMS]$")] = "N"
    """N none, E even, O odd, M mark, S space."""
    stopbits: Literal[1, 2] = 1
    """Stop bits; the standard wants 2 where there is no parity, most devices are content with 1."""
    pipeline: Annotated[int, Field(ge=1, le=16)] = 1
    """Requests sent before the first answer. More than 1 is fast, and many devices lose requests: try it. TCP only."""
    gap: Duration = 0.0
    """Silence between an answer and the next request; serial lines always keep 3.5 characters."""
    pause_after_connect: Duration = 0.0
    """Time to leave the peer in peace after connecting."""
    dial_in: Duration = 60.0
    """Listening transports: how long one try waits for the device to dial in."""

    @model_validator(mode="after")
    def _complete(self) -> ModbusConnection:
        if self.transport is Transport.RTU and not self.serial_port:
            raise ValueError("transport rtu needs serial_port, such as /dev/ttyS1")
        if self.transport in (Transport.TCP, Transport.RTU_OVER_TCP) and not self.host:
            raise ValueError(f"transport {self.transport} needs host")
        if self.transport is not Transport.RTU and self.serial_port:
            raise ValueError(f"serial_port belongs to transport rtu, not to {self.transport}")
        if self.transport.rtu and self.pipeline > 1:
            raise ValueError("pipeline must be 1 with RTU frames, which carry no transaction id")
        if self.tls is not None and self.transport is not Transport.TCP:
            raise ValueError("tls belongs to transport tcp")
        return self

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once."""
        if self.transport is Transport.RTU:
            return f"serial:{self.serial_port}"
        if self.transport.listens:
            return f"listen://{self.host or '127.0.0.1'}:{self.port}"
        return f"tcp://{self.host}:{self.port}"


class ModbusDevice(DeviceConfig):
    """One unit, with its oddities."""

    unit: Annotated[int, Field(ge=0, le=255)] = 1
    """Unit id (slave address): 1 to 247; 255 or 0 for a device that is itself the TCP endpoint."""
    base: Literal[0, 1] = 0
    """First address in the device's documents, for addresses such as hr:100; 40001 always counts from 1."""
    order: Order = ByteOrder.ABCD
    """Byte order of tags that name none: ABCD, CDAB, BADC, DCBA."""
    max_registers: Annotated[int, Field(ge=1, le=125)] = 125
    """Most registers in one read."""
    max_bits: Annotated[int, Field(ge=1, le=2000)] = 2000
    """Most coils or discrete inputs in one read."""
    max_gap: Annotated[int, Field(ge=0, le=124)] = 8
    """Registers nobody asked for that one read may run over, so that two reads become one; 16 times as many bits."""
    single_reads: bool = False
    """true: each value in a read of its own."""
    gap: Duration = 0.0
    """Silence this device wants between an answer and the next request."""
    write_multiple_only: bool = False
    """true: write single values with functions 15 and 16 as well, for devices without 5 and 6."""


NUMBERS: Final = frozenset(kind for kind in DataType if kind.packed and kind is not DataType.BOOL)
_BCD: Final = (DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64)
_BYTE: Final = (DataType.INT8, DataType.UINT8)


class ModbusTag(TagConfig):
    """One value in a device."""

    address: Address
    """hr:100, ir:30, co:5, di:7, hr:100.3 (bit), hr:100.hi (byte), or 40001 (counts from 1)."""
    order: Order | None = None
    """Byte order on the wire, ABCD, CDAB, BADC or DCBA. Default: the device's."""
    length: Annotated[int, Field(ge=0, le=250)] = 0
    """Bytes of a string or bytes tag, two per register."""
    encoding: Annotated[str, Field(max_length=32)] = ""
    """bcd for decimal digits in four bits each; for strings: utf-8 (default), ascii, gbk, latin-1 …"""

    @model_validator(mode="after")
    def _readable(self) -> ModbusTag:
        text = self.type in (DataType.STRING, DataType.BYTES)
        where = f"{self.type} at {self.address}"
        if self.address.area.bits and self.type is not DataType.BOOL:
            raise ValueError(f"{where}: coils and discrete inputs are of type bool")
        if self.type is DataType.BOOL and not self.address.area.bits and self.address.bit is None:
            raise ValueError(f"{where}: a bool in a register needs its bit, such as {self.address.area}:100.0")
        if self.address.bit is not None and self.type is not DataType.BOOL:
            raise ValueError(f"{where}: one bit of a register is of type bool")
        if (self.address.part in ("hi", "lo")) != (self.type in _BYTE):
            raise ValueError(f"{where}: 8-bit types, and only they, need hi or lo, such as hr:100.lo")
        if text != bool(self.length):
            need = "needs its length in bytes" if text else "has no length"
            raise ValueError(f"{where}: {need}")
        self._encoded(where)
        if self.access is not Access.READ and not self.address.area.writable:
            raise ValueError(f"{where}: only coils and holding registers can be written")
        return self

    def _encoded(self, where: str) -> None:
        if not self.encoding:
            return
        if self.type in _BCD and self.encoding == "bcd":
            return
        if self.type is not DataType.STRING:
            raise ValueError(f"{where}: encoding is bcd with an unsigned integer type, or the encoding of a string")
        try:
            codecs.lookup(self.encoding)
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"{where}: {self.encoding!r} is no text encoding; utf-8, ascii, gbk, latin-1 …") from None

    @property
    def registers(self) -> int:
        """Registers, or coils, that the value takes."""
        if self.length:
            return (self.length + 1) // 2
        return max(1, self.type.width // 2)
