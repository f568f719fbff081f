"""Simulated CPUs: memory, commands, and the ways in which they can be told to misbehave. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from adapters.mc import codec
from adapters.mc.address import AREAS, Area, Kind
from adapters.mc.codec import Code
from adapters.mc.config import McDevice, McTag
from adapters.mc.series import LACKING, Series, capacity
from adapters.mc.values import encode, field
from gateway.model.types import DTYPES, DataType, Value
from gateway.sdk.simulator import raw_value
from gateway.wire.registers import RegisterTable
from gateway.wire.serving import Counters as Served

NO_DEVICE: Final = 0xC05C
TOO_FAR: Final = 0xC056
WRONG_LENGTH: Final = 0xC061
NO_COMMAND: Final = 0xC059
NOT_AT_RANDOM: Final = 0x4032
BITS_IN_A_WRITE: Final = 188
"""Most bits of one random write."""


@dataclass(slots=True)
class Faults:
    """How a CPU misbehaves. Several may be combined; the default is not at all."""

    silent: bool = False
    """No answer."""
    delay: float = 0.0
    """Seconds before the answer."""
    end_code: int = 0
    """Answer with this end code."""
    bare: bool = False
    """Leave off what usually follows an end code that is not 0."""
    wrong_serial: bool = False
    wrong_route: bool = False
    wrong_command: bool = False
    """A refusal names another command."""
    repeat: int = 0
    """Send the answer this many times more."""
    truncate: int = 0
    """Leave off this many bytes at the end."""
    garbage: bytes = b""
    """Bytes sent before the answer."""
    flip: int = -1
    """Offset of a byte of the answer whose bits are all inverted."""
    dribble: float = 0.0
    """Seconds between single bytes of the answer."""
    hang_up: bool = False
    """Close the connection instead of answering."""
    times: int = -1
    """Requests that are answered like this; then the CPU is well again. -1: all."""


@dataclass(slots=True)
class Counters(Served):
    """What the simulator saw: for tests that a client keeps the limits it declares."""

    words_most: int = 0
    points_most: int = 0
    blocks_most: int = 0
    writes: int = 0
    ignored: int = 0
    """Messages in another code or frame than is set: a CPU does not answer them."""


class Refused(Exception):
    """The CPU answers with an end code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Fields:
    """Reads a request's data, in its code. Raises Refused where it breaks off."""

    def __init__(self, code: Code, data: bytes) -> None:
        self._code = code
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        """A field of ``size`` bytes."""
        return codec.parse_number(self._code, self.raw(size * (2 if self._code.text else 1)))

    def raw(self, size: int) -> bytes:
        """Bytes as they are."""
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise Refused(WRONG_LENGTH)
        self._at += size
        return data

    def device(self, *, wide: bool) -> tuple[Area, int]:
        """A device, and its number."""
        if not self._code.text:
            number, kind = self.number(4 if wide else 3), self.number(2 if wide else 1)
            area = _BY_CODE.get(kind)
        else:
            area = (_BY_LONG if wide else _BY_SHORT).get(self.raw(4 if wide else 2).decode("latin-1").rstrip("*"))
            digits = self.raw(8 if wide else 6).decode("latin-1")
            octal = area is not None and area.octal and self._code is Code.ASCII_OCTAL
            try:
                number = int(digits, 8 if octal else area.ascii_base if area else 16)
            except ValueError:
                raise Refused(NO_DEVICE) from None
        if area is None or (not wide and not area.short):
            raise Refused(NO_DEVICE)
        return area, number

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise Refused(WRONG_LENGTH)


_BY_CODE: Final = {area.code: area for area in AREAS.values()}
_BY_SHORT: Final = {area.short: area for area in AREAS.values() if area.short}
_BY_LONG: Final = {area.long: area for area in AREAS.values()}


@dataclass(frozen=True, slots=True)
class Reply:
    """Data of an answer, in binary; ``longs``: bytes at its end in numbers of four; ``verbatim``: written as it is."""

    data: bytes = b""
    longs: int = 0
    verbatim: bool = False

    def encode(self, code: Code) -> bytes:
        """Data in a code."""
        if not code.text or self.verbatim:
            return self.data
        words = len(self.data) - self.longs
        return codec.hexadecimal(self.data[:words], 2) + codec.hexadecimal(self.data[words:], 4)


class Cpu:
    """One CPU: every device of the table, 65,536 points of each unless ``points`` says otherwise."""

    def __init__(self, config: McDevice | None = None) -> None:
        self.config = config or McDevice(connection="simulated", series=Series.Q)
        self.points: dict[str, int] = {"ZR": 1 << 21, "Z": 24}
        """Points of a device, where they are not 65,536."""
        self.model = ("Q03UDECPU", 0x0268)
        """Name, and code of the model."""
        self.unsupported: set[int] = set()
        """Commands that it does not know."""
        self.silent = False
        """True: does not answer."""
        self.faults: Faults | None = None
        self.on_read: Callable[[Area, int, int], None] | None = None
        """Is called before values are read, with area, number and how many cells."""
        self.counters = Counters()
        self._memory: dict[str, npt.NDArray[Any]] = {}
        self._holes: list[tuple[str, int, int, int]] = []

    # for who plays with it

    def cells(self, area: str) -> npt.NDArray[Any]:
        """All cells of an area: words, of bits 16 in each, the first the lowest; of long ones numbers of four bytes."""
        if area not in self._memory:
            what = AREAS[area]
            count = -(-self.points.get(area, 0x10000) // what.step)
            self._memory[area] = np.zeros(count, "<u4" if what.kind is Kind.LONG else "<u2")
        return self._memory[area]

    def set(self, tag: McTag, value: Value) -> None:
        """Set an engineering value: a gateway with this tag reads just that. Raises ValueError when it does not fit."""
        data = encode(tag, raw_value(tag, value))
        area, number = tag.address.area, tag.address.number(octal=self.config.octal)
        cells = self.cells(area.name)
        if tag.type is DataType.BOOL:
            bit = number % 16 if tag.address.bit is None else tag.address.bit
            place = number // area.step
            cells[place] = int(cells[place]) & ~(1 << bit) & 0xFFFF | data[0] << bit
            return
        place = number // area.step
        if tag.length % 2:
            data += bytes((int(cells[place + tag.cells - 1]) >> 8,))
        cells[place : place + tag.cells] = np.frombuffer(data, cells.dtype)

    def get(self, tag: McTag) -> Value | None:
        """Raw value of a tag as it now stands, decoded with the gateway's own tables; None: undecodable."""
        area, number = tag.address.area, tag.address.number(octal=self.config.octal)
        place = number // area.step
        data = self.cells(area.name)[place : place + tag.cells].tobytes()
        bit = number % 16 if tag.address.bit is None else tag.address.bit
        table = RegisterTable(len(data), [field(tag, range(0, len(data), area.size), bit)])
        bad: list[int] = []
        if not tag.type.packed:
            return table.texts(data + b"\0", bad)[0][1]
        value: Value = table.packed(data + b"\0", bad).view(DTYPES[tag.type])[0].item()
        return None if bad else bool(value) if tag.type is DataType.BOOL else value

    def refuse(self, tag: McTag, code: int = TOO_FAR) -> None:
        """Answer with an end code whenever the place of a tag is touched: it does not exist any more."""
        area, number = tag.address.area, tag.address.number(octal=self.config.octal)
        self._holes.append((area.name, number, number + tag.cells * area.step - 1, code))
        if tag.type is DataType.BOOL and tag.address.bit is None:
            self._holes[-1] = (area.name, number, number, code)

    def allow(self) -> None:
        """Take back every `refuse`."""
        self._holes.clear()

    # what requests do

    def answer(self, code: Code, command: int, subcommand: int, data: bytes) -> Reply:
        """Carry out a request. Raises Refused."""
        if self.faults is not None and self.faults.end_code:
            raise Refused(self.faults.end_code)
        serve = self._services.get(command)
        wide = bool(subcommand & codec.LONG)
        if serve is None or command in self.unsupported or subcommand & ~3 or (wide and not self._wide):
            raise Refused(NO_COMMAND)
        return serve(self, Fields(code, data), wide, bool(subcommand & codec.BITS), code)

    @property
    def _wide(self) -> bool:
        return self.config.series in (None, Series.IQ_R)

    def _touch(self, area: Area, number: int, points: int) -> None:
        """Raises Refused for points that are not there."""
        if area.name in LACKING[self.config.series]:
            raise Refused(NO_DEVICE)
        for name, first, last, code in self._holes:
            if name == area.name and number <= last and first < number + points:
                raise Refused(code)
        if number + points > self.points.get(area.name, 0x10000):
            raise Refused(TOO_FAR)

    def _take(self, area: Area, number: int, cells: int) -> bytes:
        """Bytes of cells from any point on, of bits too."""
        self._touch(area, number, cells * area.step)
        if self.on_read is not None:
            self.on_read(area, number, cells)
        memory = self.cells(area.name)
        place, bit = divmod(number, area.step)
        if not bit:
            return memory[place : place + cells].tobytes()
        bits = np.unpackbits(memory[place : place + cells + 1].view(np.uint8), bitorder="little")
        return np.packbits(bits[bit : bit + 16 * cells], bitorder="little").tobytes()

    def _put(self, area: Area, number: int, data: bytes) -> None:
        cells = len(data) // area.size
        self._touch(area, number, cells * area.step)
        memory = self.cells(area.name)
        place, bit = divmod(number, area.step)
        if bit:
            self._put_bits(area, number, np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist())
        else:
            memory[place : place + cells] = np.frombuffer(data, memory.dtype)

    def _put_bits(self, area: Area, number: int, states: list[int]) -> None:
        memory = self.cells(area.name)
        for place, on in enumerate(states, number):
            cell, bit = divmod(place, 16)
            memory[cell] = int(memory[cell]) & ~(1 << bit) & 0xFFFF | on << bit

    def _room(self, code: Code, *, wide: bool) -> Any:
        return capacity(self.config.series, text=code.text, wide=wide)

    def _read(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        area, number = fields.device(wide=wide)
        count = fields.number(2)
        fields.end()
        if bits:
            return self._read_bits(area, number, count, code)
        if not 1 <= count <= self._room(code, wide=wide).words:
            raise Refused(0xC052)
        if area.kind is Kind.LONG:
            raise Refused(NOT_AT_RANDOM)
        self.counters.words_most = max(self.counters.words_most, count)
        return Reply(self._take(area, number, count))

    def _read_bits(self, area: Area, number: int, count: int, code: Code) -> Reply:
        if area.kind is not Kind.BIT:
            raise Refused(NO_DEVICE)
        if not 1 <= count <= (3584 if code.text else 7168):
            raise Refused(0xC051)
        self._touch(area, number, count)
        states = np.unpackbits(self.cells(area.name).view(np.uint8), bitorder="little")[number : number + count]
        if code.text:
            return Reply(bytes(48 + on for on in states.tolist()), verbatim=True)
        pairs = np.append(states, np.zeros(count % 2, np.uint8))
        return Reply((pairs[0::2] << 4 | pairs[1::2]).tobytes(), verbatim=True)

    def _read_random(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        words, longs = fields.number(1), fields.number(1)
        places = [fields.device(wide=wide) for _ in range(words + longs)]
        fields.end()
        if bits or not 1 <= words + longs <= self._room(code, wide=wide).points:
            raise Refused(0xC054)
        if any(not area.random for area, _ in places):
            raise Refused(NOT_AT_RANDOM)
        self.counters.points_most = max(self.counters.points_most, words + longs)
        data = b"".join(self._take(area, number, 1) for area, number in places[:words])
        data += b"".join(
            self._take(area, number, 1 if area.kind is Kind.LONG else 2) for area, number in places[words:]
        )
        return Reply(data, 4 * longs)

    def _read_block(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        words, others = fields.number(1), fields.number(1)
        blocks = [(*fields.device(wide=wide), fields.number(2)) for _ in range(words + others)]
        fields.end()
        room = self._room(code, wide=wide)
        total = sum(count for _, _, count in blocks)
        if bits or not 1 <= len(blocks) <= room.blocks or not 1 <= total <= room.words:
            raise Refused(0xC0D8)
        for place, (area, _, count) in enumerate(blocks):
            if (area.kind is Kind.BIT) is not (place >= words) or area.kind is Kind.LONG or not count:
                raise Refused(NO_DEVICE)
        self.counters.blocks_most = max(self.counters.blocks_most, len(blocks))
        self.counters.words_most = max(self.counters.words_most, total)
        return Reply(b"".join(self._take(area, number, count) for area, number, count in blocks))

    def _write(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        area, number = fields.device(wide=wide)
        count = fields.number(2)
        if not bits:
            data = b"".join(fields.number(2).to_bytes(2, "little") for _ in range(count))
            fields.end()
            self._put(area, number, data)
        else:
            raw = fields.raw(count if code.text else -(-count // 2))
            fields.end()
            self._touch(area, number, count)
            halves = raw if code.text else bytes(half for byte in raw for half in (byte >> 4, byte & 15))
            self._put_bits(area, number, [half & 1 for half in halves[:count]])
        self.counters.writes += 1
        return Reply()

    def _write_random(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        del code
        if bits:
            count = fields.number(1)
            if count > BITS_IN_A_WRITE:
                raise Refused(0xC053)
            states = [(*fields.device(wide=wide), fields.number(2 if wide else 1)) for _ in range(count)]
            fields.end()
            for area, number, on in states:
                self._touch(area, number, 1)
                self._put_bits(area, number, [on & 1])
        else:
            sizes = [2] * fields.number(1)
            sizes += [4] * fields.number(1)
            values = [(*fields.device(wide=wide), fields.number(size).to_bytes(size, "little")) for size in sizes]
            fields.end()
            for area, number, data in values:
                self._put(area, number, data)
        self.counters.writes += 1
        return Reply()

    def _name(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        del wide, bits
        fields.end()
        name, number = self.model
        return Reply(name.ljust(16).encode() + codec.number(code, number, 2), verbatim=True)

    def _echo(self, fields: Fields, wide: bool, bits: bool, code: Code) -> Reply:
        del wide, bits
        size = fields.number(2)
        return Reply(codec.number(code, size, 2) + fields.raw(size), verbatim=True)

    _services: ClassVar[dict[int, Callable[[Cpu, Fields, bool, bool, Code], Reply]]] = {
        codec.READ: _read, codec.READ_RANDOM: _read_random, codec.READ_BLOCK: _read_block,
        codec.WRITE: _write, codec.WRITE_RANDOM: _write_random, codec.READ_MODEL: _name, 0x0619: _echo,
    }  # fmt: skip
