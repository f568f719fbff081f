"""Simulated units: memory, services, counters, and the ways in which they can be told to misbehave. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import error as struct_error
from struct import unpack_from
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from adapters.modbus import codec
from adapters.modbus.address import Area
from adapters.modbus.config import ModbusDevice, ModbusTag
from adapters.modbus.values import encode, field, mask
from gateway.model.schema import Scale
from gateway.model.types import DTYPES, DataType, Value
from gateway.wire.registers import RegisterTable

OnRead = Callable[["Unit", Area, int, int], None]


@dataclass(slots=True)
class Faults:
    """How a unit misbehaves. Several may be combined; the default is not at all."""

    silent: bool = False
    """No answer."""
    delay: float = 0.0
    """Seconds before the answer; later answers queue behind it."""
    late: float = 0.0
    """Seconds before the answer, which others overtake."""
    exception: int = 0
    """Answer with this exception code."""
    wrong_crc: bool = False
    wrong_transaction: bool = False
    wrong_unit: bool = False
    wrong_function: bool = False
    repeat: int = 0
    """Send the answer this many times more."""
    truncate: int = 0
    """Leave off this many bytes at the end."""
    garbage: bytes = b""
    """Bytes sent before the answer."""
    dribble: float = 0.0
    """Seconds between single bytes of the answer."""
    hang_up: bool = False
    """Close the connection instead of answering."""
    times: int = -1
    """Requests that are answered like this; then the unit is well again. -1: all."""


@dataclass(slots=True)
class Counters:
    """What the simulator saw: for tests that a client keeps the limits it declares."""

    connections: int = 0
    """Now open."""
    most_connections: int = 0
    requests: int = 0
    most_in_flight: int = 0
    """Most requests received before the answer to the first of them was sent."""
    most_registers: int = 0
    most_bits: int = 0
    writes: int = 0
    least_gap: float = float("inf")
    """Shortest time from an answer to the next request, seconds."""
    rejected_bytes: int = 0
    """Bytes that were no request."""


class Refused(Exception):
    """The unit answers with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Unit:
    """One device: four areas of 65,536 places each."""

    def __init__(self, number: int, device: ModbusDevice | None = None) -> None:
        self.number = number
        self.device = device or ModbusDevice(connection="simulated", unit=number)
        """Base and byte order for `set` and `get`."""
        self.coils: npt.NDArray[np.bool_] = np.zeros(65_536, np.bool_)
        self.discretes: npt.NDArray[np.bool_] = np.zeros(65_536, np.bool_)
        self.inputs: npt.NDArray[np.uint16] = np.zeros(65_536, ">u2")
        self.holding: npt.NDArray[np.uint16] = np.zeros(65_536, ">u2")
        self.areas: dict[Area, npt.NDArray[Any]] = {
            Area.COIL: self.coils, Area.DISCRETE: self.discretes, Area.INPUT: self.inputs, Area.HOLDING: self.holding,
        }  # fmt: skip
        self.identity = ("Xingsha", "simulated unit", "1.0")
        """Vendor, product, revision; empty: the question is refused."""
        self.faults: Faults | None = None
        self.on_read: OnRead | None = None
        """Is called before values are read, with (unit, area, address, count)."""
        self.counters = Counters()
        self._holes: list[tuple[Area, int, int, int]] = []

    def refuse(self, area: Area | str, first: int, last: int, code: int = 2) -> None:
        """Answer with an exception whenever protocol addresses ``first`` to ``last`` (both included) are touched."""
        self._holes.append((Area(area), first, last, code))

    def allow(self) -> None:
        """Take back every `refuse`."""
        self._holes.clear()

    def set(self, tag: ModbusTag, value: Value) -> None:
        """Set an engineering value: the inverse of how a gateway with this tag reads it."""
        raw = value
        if not isinstance(value, str | bytes | bool) and tag.type is not DataType.BOOL:
            scale = Scale.of(tag.scale, tag.offset)
            raw = value if scale.identity else (value - scale.add) * scale.divide / scale.multiply
            if tag.type not in (DataType.FLOAT32, DataType.FLOAT64):
                raw = round(raw)
        address = tag.address.offset(self.device.base)
        if tag.address.area.bits:
            self.areas[tag.address.area][address] = bool(raw)
            return
        words = np.frombuffer(encode(self.device, tag, raw), ">u2")
        area = self.areas[tag.address.area]
        if tag.address.part:
            own = mask(self.device, tag)
            area[address] = int(area[address]) & ~own | int(words[0])
        else:
            area[address : address + len(words)] = words

    def get(self, tag: ModbusTag) -> Value | None:
        """Raw value of a tag as it now stands, decoded with the gateway's own tables; None: undecodable."""
        address = tag.address.offset(self.device.base)
        if tag.address.area.bits:
            return bool(self.areas[tag.address.area][address])
        data = self.areas[tag.address.area][address : address + tag.registers].tobytes()
        table = RegisterTable(len(data), [field(self.device, tag, 0, 0)])
        bad: list[int] = []
        if not tag.type.packed:
            return table.texts(data + b"\0", bad)[0][1]
        packed = table.packed(data + b"\0", bad)
        value: Value = packed.view(DTYPES[tag.type])[0].item()
        return None if bad else bool(value) if tag.type is DataType.BOOL else value

    # what requests do

    def answer(self, pdu: bytes) -> bytes:
        """Answer PDU to a request PDU."""
        self.counters.requests += 1
        function = pdu[0]
        try:
            if self.faults is not None and self.faults.exception:
                raise Refused(self.faults.exception)
            serve = self._services.get(function)
            if serve is None:
                raise Refused(1)
            return serve(self, pdu)
        except Refused as refused:
            return bytes((function | 0x80, refused.code))
        except (IndexError, ValueError, struct_error):
            return bytes((function | 0x80, 3))

    def _touch(self, area: Area, address: int, count: int, limit: int) -> None:
        if not 1 <= count <= limit:
            raise Refused(3)
        if address + count > 65_536:
            raise Refused(2)
        for where, first, last, code in self._holes:
            if where is area and address <= last and first < address + count:
                raise Refused(code)

    def _read_bits(self, pdu: bytes) -> bytes:
        function, address, count = unpack_from(">BHH", pdu)
        area = Area.COIL if function == 1 else Area.DISCRETE
        self._touch(area, address, count, codec.MAX_READ_BITS)
        self.counters.most_bits = max(self.counters.most_bits, count)
        if self.on_read is not None:
            self.on_read(self, area, address, count)
        data = np.packbits(self.areas[area][address : address + count], bitorder="little").tobytes()
        return bytes((function, len(data))) + data

    def _read_registers(self, pdu: bytes) -> bytes:
        function, address, count = unpack_from(">BHH", pdu)
        area = Area.HOLDING if function == 3 else Area.INPUT
        self._touch(area, address, count, codec.MAX_READ_REGISTERS)
        self.counters.most_registers = max(self.counters.most_registers, count)
        if self.on_read is not None:
            self.on_read(self, area, address, count)
        return bytes((function, 2 * count)) + self.areas[area][address : address + count].tobytes()

    def _write_coil(self, pdu: bytes) -> bytes:
        address, state = unpack_from(">HH", pdu, 1)
        if state not in (0, 0xFF00):
            raise Refused(3)
        self._touch(Area.COIL, address, 1, 1)
        self.coils[address] = state != 0
        self.counters.writes += 1
        return pdu[:5]

    def _write_register(self, pdu: bytes) -> bytes:
        address, value = unpack_from(">HH", pdu, 1)
        self._touch(Area.HOLDING, address, 1, 1)
        self.holding[address] = value
        self.counters.writes += 1
        return pdu[:5]

    def _write_coils(self, pdu: bytes) -> bytes:
        address, count, size = unpack_from(">HHB", pdu, 1)
        self._touch(Area.COIL, address, count, codec.MAX_WRITE_BITS)
        if size != -(-count // 8) or len(pdu) != 6 + size:
            raise Refused(3)
        bits = np.unpackbits(np.frombuffer(pdu, np.uint8, size, 6), count=count, bitorder="little")
        self.coils[address : address + count] = bits
        self.counters.writes += 1
        return pdu[:5]

    def _write_registers(self, pdu: bytes) -> bytes:
        address, count, size = unpack_from(">HHB", pdu, 1)
        self._touch(Area.HOLDING, address, count, codec.MAX_WRITE_REGISTERS)
        if size != 2 * count or len(pdu) != 6 + size:
            raise Refused(3)
        self.holding[address : address + count] = np.frombuffer(pdu, ">u2", count, 6)
        self.counters.writes += 1
        return pdu[:5]

    def _mask_write(self, pdu: bytes) -> bytes:
        address, keep, put = unpack_from(">HHH", pdu, 1)
        self._touch(Area.HOLDING, address, 1, 1)
        self.holding[address] = int(self.holding[address]) & keep | put & ~keep & 0xFFFF
        self.counters.writes += 1
        return pdu[:7]

    def _read_write(self, pdu: bytes) -> bytes:
        address, count, to, amount, size = unpack_from(">HHHHB", pdu, 1)
        self._touch(Area.HOLDING, address, count, codec.MAX_READ_REGISTERS)
        self._touch(Area.HOLDING, to, amount, 121)
        if size != 2 * amount or len(pdu) != 10 + size:
            raise Refused(3)
        self.holding[to : to + amount] = np.frombuffer(pdu, ">u2", amount, 10)
        self.counters.writes += 1
        return bytes((pdu[0], 2 * count)) + self.holding[address : address + count].tobytes()

    def _identify(self, pdu: bytes) -> bytes:
        if not self.identity or pdu[1] != 0x0E or pdu[2] not in (1, 2, 3):
            raise Refused(1)
        objects = b"".join(
            bytes((place, len(text.encode()))) + text.encode() for place, text in enumerate(self.identity)
        )
        return bytes((pdu[0], 0x0E, pdu[2], 1, 0, 0, len(self.identity))) + objects

    _services: ClassVar[dict[int, Callable[[Unit, bytes], bytes]]] = {
        1: _read_bits, 2: _read_bits, 3: _read_registers, 4: _read_registers,
        5: _write_coil, 6: _write_register, 15: _write_coils, 16: _write_registers,
        22: _mask_write, 23: _read_write, 43: _identify,
    }  # fmt: skip
