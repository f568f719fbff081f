"""Merging: how the tags of one poll group become few reads, and which of them an answer's bytes belong to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final

from adapters.modbus.address import Area
from adapters.modbus.codec import Ask, ask_read
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag, Transport
from adapters.modbus.exchange import Chunk, RtuExchange, TcpExchange
from adapters.modbus.values import field
from gateway.sdk import ConfigFault, DeviceConfig, Plan, Request
from gateway.sdk.sharing import KEPT, Same
from gateway.wire.registers import RegisterTable

TCP_OVERHEAD: Final = (12, 9)
"""Bytes of a read and of its answer around the data: MBAP header, function, address and count or byte count."""
RTU_OVERHEAD: Final = (8, 5)


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """A value, or several at the same place: never split between reads."""

    address: int
    width: int
    """Registers, or bits."""
    tags: tuple[int, ...]

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.address + self.width


@dataclass(frozen=True, slots=True)
class Read(Request):
    """One read of one area."""

    area: Area
    address: int
    count: int
    start: int
    """Where in the image its first register lies, or its first bit together with …"""
    bit: int
    """… this: a bit of that byte; not 0 only for a part of a larger read."""
    items: tuple[Item, ...]
    part: bool = False
    """True for a part of a larger read: its bits then share bytes of the image with others."""

    def ask(self, unit: int) -> Ask:
        """The request as bytes."""
        ask = ask_read(unit, self.area, self.address, self.count, start=self.start)
        if self.part and self.area.bits:
            return Ask(ask.unit, ask.pdu, ask.head, ask.size, ask.start, self.bit, self.count)
        return ask

    def halves(self) -> tuple[Read, Read]:
        """Two reads of half the items each, without what lay between them."""
        middle = len(self.items) // 2
        return self._only(self.items[:middle]), self._only(self.items[middle:])

    def _only(self, items: Sequence[Item]) -> Read:
        address = min(item.address for item in items)
        count = max(item.end for item in items) - address
        start, bit = self.start + 2 * (address - self.address), 0
        if self.area.bits:
            start, bit = divmod(8 * self.start + self.bit + address - self.address, 8)
        tags = tuple(tag for item in items for tag in item.tags)
        return Read(tags, self.area, address, count, start, bit, tuple(items), part=True)


Step = tuple[Chunk, tuple[Read, ...]]
"""What goes out in one write, and the reads in it."""


@dataclass(frozen=True, slots=True)
class ModbusPlan(Plan):
    """A plan with everything that can be computed beforehand: a poll patches transaction ids and sends."""

    unit: int = 0
    gap: float = 0.0
    steps: tuple[Step, ...] = ()


def make_plan(connection: ModbusConnection, device: ModbusDevice, tags: Sequence[ModbusTag]) -> ModbusPlan:
    """Merge tags into reads. Raises ConfigFault for a tag that cannot be read from this device."""
    if device.unit == 0 and connection.transport.rtu:
        raise ConfigFault("unit 0 is the broadcast address of a serial line: it can be written, never read")
    reads, table = _merged(Same(tuple(tags)), _Alike(device))
    around = sum(RTU_OVERHEAD if connection.transport.rtu else TCP_OVERHEAD)
    steps = make_steps(connection, device.unit, reads)
    gap = max(device.gap, quiet_time(connection))
    return ModbusPlan(
        requests=reads,
        table=table,
        wire_bytes=table.size + around * len(reads),
        turnarounds=len(steps),
        wire_time=sum(chunk.line_time + gap for chunk, _ in steps) if connection.transport is Transport.RTU else 0.0,
        unit=device.unit,
        gap=gap,
        steps=steps,
    )


_SHAPING: Final = tuple(
    name for name in ModbusDevice.model_fields if name not in DeviceConfig.model_fields and name != "unit"
)
"""What of a device's own settings has a say in how its tags are merged."""


class _Alike:
    """Key: a device, equal to all whose tags are merged in the same way."""

    __slots__ = ("_key", "device")

    def __init__(self, device: ModbusDevice) -> None:
        self.device = device
        self._key = tuple(getattr(device, name) for name in _SHAPING)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and other._key == self._key


@lru_cache(maxsize=KEPT)
def _merged(of_tags: Same[tuple[ModbusTag, ...]], alike: _Alike) -> tuple[tuple[Read, ...], RegisterTable]:
    """Reads, and where in their answers the tags lie: the same objects for all devices that are alike."""
    tags, device = of_tags.value, alike.device
    reads = _place([span for area, items in _items(device, tags).items() for span in _merge(device, area, items)])
    fields = {
        tag: field(
            device,
            tags[tag],
            read.start + (0 if read.area.bits else 2 * (item.address - read.address)),
            item.address - read.address if read.area.bits else 0,
        )
        for read in reads
        for item in read.items
        for tag in item.tags
    }
    size = sum(_size(read.area, read.count) for read in reads)
    return reads, RegisterTable(size, [fields[tag] for tag in range(len(tags))])


def make_steps(connection: ModbusConnection, unit: int, reads: Sequence[Read]) -> tuple[Step, ...]:
    """Group reads into writes, as many in each as may be under way together."""
    framing = RtuExchange if connection.transport.rtu else TcpExchange
    steps: list[Step] = []
    for first in range(0, len(reads), connection.pipeline):
        group = tuple(reads[first : first + connection.pipeline])
        chunk = framing.chunk([read.ask(unit) for read in group])
        answers = sum(_size(read.area, read.count) + RTU_OVERHEAD[1] for read in group)
        chunk.line_time = line_time(connection, len(chunk.data) + answers)
        steps.append((chunk, group))
    return tuple(steps)


def line_time(connection: ModbusConnection, size: int) -> float:
    """Seconds that ``size`` bytes take on a serial line; 0 elsewhere."""
    if connection.transport is not Transport.RTU:
        return 0.0
    return size * (9 + (connection.parity != "N") + connection.stopbits) / connection.baudrate


def quiet_time(connection: ModbusConnection) -> float:
    """Least silence between frames: 3.5 characters, above 19,200 baud 1.75 ms (Serial Line V1.02, 2.5.1.1)."""
    if connection.transport is not Transport.RTU:
        return connection.gap
    silence = 0.00175 if connection.baudrate > 19_200 else line_time(connection, 7) / 2
    return max(connection.gap, silence)


def _size(area: Area, count: int) -> int:
    return -(-count // 8) if area.bits else 2 * count


def _items(device: ModbusDevice, tags: Sequence[ModbusTag]) -> dict[Area, list[Item]]:
    """Items by area, sorted by address."""
    found: dict[tuple[Area, int, int], list[int]] = {}
    for position, tag in enumerate(tags):
        limit = device.max_bits if tag.address.area.bits else device.max_registers
        try:
            address = tag.address.offset(device.base)
        except ValueError as error:
            raise ConfigFault(f"tag {tag.name}: {error}") from error
        if address + tag.registers > 65_536:
            raise ConfigFault(f"tag {tag.name}: {tag.address} reaches past the last register")
        if tag.registers > limit:
            raise ConfigFault(f"tag {tag.name} takes {tag.registers} registers, max_registers is {limit}")
        found.setdefault((tag.address.area, address, tag.registers), []).append(position)
    areas: dict[Area, list[Item]] = {}
    for (area, address, width), positions in found.items():
        areas.setdefault(area, []).append(Item(address, width, tuple(positions)))
    return {area: sorted(areas[area]) for area in Area if area in areas}


def _merge(device: ModbusDevice, area: Area, items: Iterable[Item]) -> Iterable[tuple[Area, list[Item]]]:
    """Groups of items that one read covers: greedy from the lowest address, which is the fewest reads there can be."""
    limit, gap = (device.max_bits, device.max_gap * 16) if area.bits else (device.max_registers, device.max_gap)
    group: list[Item] = []
    end = 0
    for item in items:
        fits = group and item.address - end <= gap and max(end, item.end) - group[0].address <= limit
        if group and (device.single_reads or not fits):
            yield area, group
            group = []
        end = max(end, item.end) if group else item.end
        group.append(item)
    if group:
        yield area, group


def _place(groups: Iterable[tuple[Area, list[Item]]]) -> tuple[Read, ...]:
    """Give each group its place in the image."""
    reads: list[Read] = []
    start = 0
    for area, items in groups:
        address = items[0].address
        count = max(map(attrgetter("end"), items)) - address
        tags = tuple(tag for item in items for tag in item.tags)
        reads.append(Read(tags, area, address, count, start, 0, tuple(items)))
        start += _size(area, count)
    return tuple(reads)
