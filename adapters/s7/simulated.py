"""A simulated CPU: memory, services, counters, and the ways in which it can be told to misbehave. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import error as struct_error
from struct import pack, unpack_from
from typing import Any, Final, cast

from adapters.s7 import codec
from adapters.s7.address import Area
from adapters.s7.codec import COUNTED, Place
from adapters.s7.config import FLOATS, Encoding, S7Device, S7Tag
from adapters.s7.moments import MOMENTS, parse_moment
from adapters.s7.values import converted, encode, field, room
from gateway.model.schema import Scale
from gateway.model.types import DTYPES, DataType, Value
from gateway.wire.registers import RegisterTable

AREA_BYTES: Final = 65_536
STATUS_BYTES: Final = codec.JOB_HEADER + 12 + codec.ITEM_HEADER
"""Bytes of a PDU that a part of a status list does not have."""
ITEM_CODE: Final = 0x05
_FIRST_MOMENT: Final = parse_moment("1990-01-01")


@dataclass(slots=True)
class Faults:
    """How a CPU misbehaves. Several may be combined; the default is not at all."""

    silent: bool = False
    """No answer."""
    delay: float = 0.0
    """Seconds before the answer; later answers queue behind it."""
    late: float = 0.0
    """Seconds before the answer, which others overtake."""
    error: int = 0
    """Answer with this error class and code for the whole telegram."""
    item_code: int = 0
    """Answer each item of a read or a write with this return code."""
    wrong_reference: bool = False
    wrong_function: bool = False
    short_items: int = 0
    """Leave off so many bytes of each item, and say so."""
    repeat: int = 0
    """Send the answer this many times more."""
    truncate: int = 0
    """Leave off this many bytes at the end."""
    garbage: bytes = b""
    """Bytes sent before the answer."""
    dribble: float = 0.0
    """Seconds between single bytes of the answer."""
    fragment: int = 0
    """Send the telegram in transport units of this many bytes."""
    hang_up: bool = False
    """Close the connection instead of answering."""
    disconnect: bool = False
    """Send a DR instead of the answer."""
    times: int = -1
    """Requests that are answered like this; then the CPU is well again. -1: all."""


@dataclass(slots=True)
class Counters:
    """What the simulator saw: for tests that a client keeps the limits it declares."""

    sessions: int = 0
    """Now open."""
    sessions_most: int = 0
    requests: int = 0
    in_flight_most: int = 0
    """Most requests received before the answer to the first of them was sent."""
    pdu_most: int = 0
    """Largest telegram in either direction, bytes."""
    items_most: int = 0
    reads: int = 0
    writes: int = 0
    rejected_bytes: int = 0
    """Bytes that were no request."""


class Refused(Exception):
    """The CPU answers with an error for the whole telegram."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Cpu:
    """One CPU: its memory, and what it answers."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.memory: dict[Place, bytearray] = {
            (area.code, 0): bytearray(AREA_BYTES) for area in Area if area not in (Area.DATA_BLOCK, Area.VARIABLE)
        }
        """Bytes by area code and data block; what is not here does not exist."""
        self.grant_pdu = 960
        self.grant_jobs = 8
        self.put_get = True
        """False: reads and writes are refused as an S7-1500 does it by default."""
        self.remote_tsaps: set[bytes] = set()
        """TSAPs that are there; empty: any."""
        self.identity = {
            1: "Xingsha", 2: "PLC_1", 3: "", 4: "Simulated Equipment", 5: "S V-L9AA00000001", 7: "CPU 1515-2 PN",
        }  # fmt: skip
        """Component identification by index; empty: the lists are refused."""
        self.order_number = "6ES7 515-2AM01-0AB0"
        self.firmware = (2, 8, 1)
        self.faults: Faults | None = None
        self.silent = False
        self.on_read: Callable[[Cpu], None] | None = None
        """Is called before the values of a request are read."""
        self._holes: list[tuple[Place, int, int, int]] = []
        self._parts: dict[int, bytes] = {}

    # memory

    def block(self, number: int, size: int = AREA_BYTES) -> bytearray:
        """Return data block ``number``, made on first use."""
        return self.memory.setdefault((Area.DATA_BLOCK.code, number), bytearray(size))

    def area(self, area: Area) -> bytearray:
        """Memory of an area that is no data block; of V it is data block 1."""
        return self.block(1) if area is Area.VARIABLE else self.memory[area.code, 0]

    def refuse(self, place: Place, first: int, last: int, code: int = ITEM_CODE) -> None:
        """Answer items that touch bytes ``first`` to ``last`` (both included) with a return code."""
        self._holes.append((place, first, last, code))

    def allow(self) -> None:
        """Take back every `refuse`."""
        self._holes.clear()

    # services

    def answer(self, telegram: bytes, pdu: int) -> bytes:
        """Answer to a telegram, with the same reference."""
        kind, _, reference, parameters, size = unpack_from(">BHHHH", telegram, 1)
        parameter = telegram[10 : 10 + parameters]
        data = telegram[10 + parameters : 10 + parameters + size]
        try:
            if self.faults is not None and self.faults.error:
                raise Refused(self.faults.error)
            if kind == codec.USER_DATA:
                header, body = self._status(parameter, data, pdu)
                return pack(">BBHHHH", 0x32, codec.USER_DATA, 0, reference, len(header), len(body)) + header + body
            header, body = self._serve(parameter, data, pdu)
            return pack(">BBHHHHH", 0x32, codec.ANSWER, 0, reference, len(header), len(body), 0) + header + body
        except Refused as refused:
            return pack(">BBHHHHH", 0x32, codec.ACK, 0, reference, 0, 0, refused.code)
        except (IndexError, ValueError, struct_error):
            return pack(">BBHHHHH", 0x32, codec.ACK, 0, reference, 0, 0, 0x8500)

    def setup(self, parameter: bytes) -> tuple[int, int]:
        """Jobs and PDU size for who asks with ``parameter``."""
        jobs, _, pdu = unpack_from(">HHH", parameter, 2)
        return max(1, min(jobs, self.grant_jobs)), min(pdu, self.grant_pdu)

    def _serve(self, parameter: bytes, data: bytes, pdu: int) -> tuple[bytes, bytes]:
        function = parameter[0]
        if function == codec.SETUP:
            jobs, granted = self.setup(parameter)
            return pack(">BBHHH", codec.SETUP, 0, jobs, jobs, granted), b""
        if function not in (codec.READ, codec.WRITE) or not self.put_get:
            raise Refused(0x8104)
        items = [parameter[at : at + 12] for at in range(2, 2 + 12 * parameter[1], 12)]
        if not 1 <= len(items) <= 20 or len(items[-1]) != 12:
            raise Refused(0x8500)
        self.counters.items_most = max(self.counters.items_most, len(items))
        if function == codec.WRITE:
            self.counters.writes += 1
            return bytes((codec.WRITE, len(items))), self._write(items, data)
        self.counters.reads += 1
        if self.on_read is not None:
            self.on_read(self)
        body = self._read(items)
        if len(body) + codec.READ_OVERHEAD[1] > pdu:
            raise Refused(0x8500)
        return bytes((codec.READ, len(items))), body

    def _where(self, item: bytes) -> tuple[int, bytearray, int, int, int]:
        """Return code, memory, first byte, bytes and bit of an item; the bit is -1 where it is about bytes."""
        _, _, syntax, transport, count, block = unpack_from(">BBBBHH", item)
        area, address = item[8], int.from_bytes(item[9:12], "big")
        place = area, block if area == Area.DATA_BLOCK.code else 0
        memory = self.memory.get(place)
        width = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 4, 0x1C: 2, 0x1D: 2}.get(transport)
        first = 2 * address if area in COUNTED else address // 8
        size = count * (width or 1)
        code = codec.GOOD
        if syntax != 0x10 or width is None or (transport == codec.BIT and count != 1):
            code = 0x06
        elif memory is None:
            code = 0x0A
        elif first + size > len(memory):
            code = 0x05
        for where, start, last, refusal in self._holes:
            if where == place and first <= last and start < first + size:
                code = refusal
        if self.faults is not None and self.faults.item_code:
            code = self.faults.item_code
        return code, memory or bytearray(), first, size, address % 8 if transport == codec.BIT else -1

    def _read(self, items: list[bytes]) -> bytes:
        found: list[bytes] = []
        for item in items:
            code, memory, first, size, bit = self._where(item)
            if self.faults is not None:
                size -= min(size, self.faults.short_items)
            if code != codec.GOOD:
                data = bytes((code, 0, 0, 0))
            elif bit >= 0:
                data = bytes((codec.GOOD, codec.DATA_BIT, 0, 1, memory[first] >> bit & 1))
            elif item[3] in COUNTED:
                data = pack(">BBH", codec.GOOD, codec.DATA_OCTETS, size) + memory[first : first + size]
            else:
                data = pack(">BBH", codec.GOOD, codec.DATA_BYTE, 8 * size) + memory[first : first + size]
            if found and len(found[-1]) & 1:
                found[-1] += b"\0"
            found.append(data)
        return b"".join(found)

    def _write(self, items: list[bytes], data: bytes) -> bytes:
        codes = bytearray()
        at = 0
        for item in items:
            code, memory, first, size, bit = self._where(item)
            transport, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
            length //= codec.LENGTH_UNITS[transport]
            value = data[at + 4 : at + 4 + length]
            at += 4 + length + (length & 1)
            if code == codec.GOOD and (len(value) != size or (transport == codec.DATA_BIT) != (bit >= 0)):
                code = 0x07
            if code == codec.GOOD and bit >= 0:
                memory[first] = memory[first] & ~(1 << bit) | (value[0] & 1) << bit
            elif code == codec.GOOD:
                memory[first : first + size] = value
            codes.append(code)
        return bytes(codes)

    def _status(self, parameter: bytes, data: bytes, pdu: int) -> tuple[bytes, bytes]:
        """System status lists 0x0011 and 0x001C, in parts that fit into a PDU."""
        if parameter[5] != 0x44 or parameter[6] != 1:
            raise Refused(0x8104)
        if parameter[4] == 0x12:
            content = self._parts.pop(parameter[7], b"")
        else:
            content = self._list(int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big"))
            if not content:
                return b"\0\1\x12\x08\x12\x84\x01\0\0\0\xd4\x01", b"\x0a\0\0\0"
        room = pdu - STATUS_BYTES
        part, rest = content[:room], content[room:]
        sequence = (parameter[7] + 1) % 256 or 1
        if rest:
            self._parts = {sequence: rest}
        header = bytes((0, 1, 0x12, 8, 0x12, 0x84, 1, sequence, 0, int(bool(rest)), 0, 0))
        return header, pack(">BBH", codec.GOOD, codec.DATA_OCTETS, len(part)) + part

    def _list(self, identity: int, index: int) -> bytes:
        if not self.identity:
            return b""
        if identity == 0x001C:
            rows = [pack(">H", number) + text.encode().ljust(32, b"\0") for number, text in self.identity.items()]
        elif identity == 0x0011:
            order = self.order_number.encode().ljust(20)
            rows = [
                pack(">H", 1) + order + pack(">HHH", 0, 0, 1),
                pack(">H", 6) + order + pack(">HHH", 0, 0, 1),
                pack(">H", 7) + order + pack(">H", 0) + b"V" + bytes(self.firmware),
            ]
        else:
            return b""
        return pack(">HHHH", identity, index, len(rows[0]), len(rows)) + b"".join(rows)


class Machine:
    """One device's view of a CPU: its tags, in engineering values."""

    def __init__(self, cpu: Cpu, device: S7Device) -> None:
        self.cpu = cpu
        self.device = device

    @property
    def silent(self) -> bool:
        """True: the CPU does not answer."""
        return self.cpu.silent

    @silent.setter
    def silent(self, value: bool) -> None:
        self.cpu.silent = value

    def refuse(self, tag: S7Tag, code: int = ITEM_CODE) -> None:
        """Its address does not exist any more."""
        first = tag.address.offset
        self.cpu.refuse(tag.address.place, first, first + tag.size - 1, code)

    def allow(self) -> None:
        """Every address exists again."""
        self.cpu.allow()

    def _memory(self, tag: S7Tag) -> bytearray:
        code, block = tag.address.place
        return self.cpu.block(block) if code == Area.DATA_BLOCK.code else self.cpu.memory[code, 0]

    def set(self, tag: S7Tag, value: Value) -> None:
        """Set an engineering value: the inverse of how a gateway with this tag reads it.

        What is no date raises ValueError, and leaves the first day of 1990 where no date was before: an `xingsha sim`
        that knows nothing of dates then shows some.
        """
        raw: Any = value
        if tag.type.packed and tag.type is not DataType.BOOL and not isinstance(value, str | bytes):
            scale = Scale.of(tag.scale, tag.offset)
            raw = value if scale.identity else (value - scale.add) * scale.divide / scale.multiply
            if tag.type not in FLOATS:
                raw = round(raw)
            if tag.kind is Encoding.S5TIME:
                raw = _coarse(raw * 1000 if tag.type in FLOATS else raw) / (1000 if tag.type in FLOATS else 1)
        memory, first = self._memory(tag), tag.address.offset
        try:
            data = encode(self.device, tag, raw)
        except ValueError:
            if tag.kind in MOMENTS and self.get(tag) is None:
                memory[first : first + tag.size] = MOMENTS[tag.kind].encode(_FIRST_MOMENT)
            raise
        if tag.type is DataType.BOOL:
            memory[first] = memory[first] & ~(1 << tag.address.bit) | data[0] << tag.address.bit
        else:
            memory[first : first + len(data)] = data

    def get(self, tag: S7Tag) -> Value | None:
        """Raw value of a tag as it now stands, decoded with the gateway's own tables; None: undecodable."""
        first = tag.address.offset
        data = bytes(self._memory(tag)[first : first + tag.size])
        if needed := room(tag):
            form = converted(cast("Encoding", tag.kind), tag.type, needed, data)
            if form is None:
                return None
            data = form
        table = RegisterTable(len(data), [field(self.device, tag, 0)])
        bad: list[int] = []
        if not tag.type.packed:
            return table.texts(data + b"\0", bad)[0][1]
        value: Value = table.packed(data + b"\0", bad).view(DTYPES[tag.type])[0].item()
        return None if bad else bool(value) if tag.type is DataType.BOOL else value


def _coarse(ms: float) -> int:
    """Nearest duration below that the three digits of an S5TIME can hold."""
    for unit in (10, 100, 1_000, 10_000):
        if ms < 1000 * unit:
            return int(ms // unit * unit)
    return int(ms)
