"""Merging: how the tags of one poll group become few reads, and which of them an answer's bytes belong to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from adapters.mc.address import Area, Kind
from adapters.mc.codec import Ask, Code, Place, ask_block, ask_random, ask_read, fits
from adapters.mc.config import McConnection, McDevice, McTag, Transport
from adapters.mc.exchange import Chunk, Exchange, Places
from adapters.mc.packing import Group, Item, Method, Span, pack
from adapters.mc.series import LACKING, Capacity, capacity
from adapters.mc.values import field, whole_words
from gateway.sdk import ConfigFault, Plan, Request
from gateway.sdk.sharing import KEPT, Same
from gateway.wire.registers import Field, RegisterTable


@dataclass(frozen=True, slots=True)
class Read(Request):
    """One read."""

    method: Method
    spans: tuple[Span, ...]
    """What it names, in the order of the answer."""
    starts: tuple[int, ...]
    """Where in the image each of them lies."""
    items: tuple[Item, ...]
    wide: bool

    def ask(self, code: Code) -> Ask:
        """The request as bytes."""
        if self.method is Method.ROW:
            (span,) = self.spans
            return ask_read(code, span.area, span.first * span.area.step, span.cells, wide=self.wide)
        if self.method is Method.CELLS:
            words, longs = self._split(lambda span: span.size == 4)
            return ask_random(code, words, longs, wide=self.wide)
        words, bits = self._split(lambda span: span.area.kind is Kind.BIT)
        return ask_block(code, words, bits, wide=self.wide)

    def _split(self, second: Callable[[Span], bool]) -> tuple[list[Place], list[Place]]:
        found: tuple[list[Place], list[Place]] = [], []
        for span in self.spans:
            found[second(span)].append((span.area, span.first * span.area.step, span.cells))
        return found

    @property
    def places(self) -> Places:
        """Where the answer's data goes; what lies side by side in both is put there in one go."""
        found: list[tuple[int, int, int]] = []
        sizes = [span.size for span in self.spans]
        for source, start, size in zip(accumulate([0, *sizes]), self.starts, sizes, strict=False):
            if found and found[-1][1] + found[-1][2] == start:
                found[-1] = (found[-1][0], found[-1][1], found[-1][2] + size)
            else:
                found.append((source, start, size))
        return tuple(found)

    @property
    def divisible(self) -> bool:
        """True when a part of it, or the same in a simpler way, can be asked for."""
        return len(self.spans) > 1 or len(self.items) > 1 or (self.method is Method.CELLS and self.spans[0].area.batch)

    def parts(self) -> tuple[Read, ...]:
        """Reads of half as much each, without what lay between; a single cell of many as a row of one."""
        if len(self.spans) > 1:
            middle = len(self.spans) // 2
            halves = (self.spans[:middle], self.starts[:middle]), (self.spans[middle:], self.starts[middle:])
            return tuple(self._only(*half, self._holding(half[0])) for half in halves)
        if len(self.items) > 1:
            middle = len(self.items) // 2
            return self._narrowed(self.items[:middle]), self._narrowed(self.items[middle:])
        return (self._only(self.spans, self.starts, self.items),)

    def _holding(self, spans: Sequence[Span]) -> tuple[Item, ...]:
        return tuple(item for item in self.items if any(span.holds(item) for span in spans))

    def _only(self, spans: tuple[Span, ...], starts: tuple[int, ...], items: tuple[Item, ...]) -> Read:
        single = len(spans) == 1 and spans[0].area.batch
        tags = tuple(tag for item in items for tag in item.tags)
        return replace(
            self, tags=tags, method=Method.ROW if single else self.method, spans=spans, starts=starts, items=items
        )

    def _narrowed(self, items: tuple[Item, ...]) -> Read:
        """The part of its only span that some of its items need."""
        (span,), (start,) = self.spans, self.starts
        first = max(span.first, min(item.first for item in items))
        end = min(span.first + span.cells, max(item.end for item in items))
        narrow = Span(span.area, first, end - first)
        return self._only((narrow,), (start + (first - span.first) * span.area.size,), items)


Step = tuple[Chunk, Read]
"""One request as it goes out, and what it reads."""


@dataclass(frozen=True, slots=True)
class McPlan(Plan):
    """A plan with everything that can be computed beforehand: a poll patches serial numbers and sends."""

    device: McDevice | None = None
    steps: tuple[Step, ...] = ()


def make_plan(connection: McConnection, device: McDevice, tags: Sequence[McTag]) -> McPlan:
    """Merge tags into reads. Raises ConfigFault for a tag that cannot be read from this device."""
    reads, table = _merged(Same(tuple(tags)), _Alike(device, connection.code))
    steps = make_steps(connection, device, reads)
    scale = 2 if connection.code.text else 1
    head = len(steps[0][0].data) - len(steps[0][0].ask.data) - 4 * scale
    below = 28 if connection.transport is Transport.UDP else 40  # IP with UDP, or with TCP
    return McPlan(
        requests=reads,
        table=table,
        wire_bytes=sum(len(chunk.data) + head + chunk.ask.size * scale + 2 * below for chunk, _ in steps),
        turnarounds=len(steps),
        device=device,
        steps=steps,
    )


def make_steps(connection: McConnection, device: McDevice, reads: Sequence[Read]) -> tuple[Step, ...]:
    """Reads as bytes."""
    maker = Exchange(connection.code, connection.frame)
    route = device.route
    return tuple((maker.chunk(route, connection.timer, read.ask(connection.code), read.places), read) for read in reads)


_SHAPING = ("series", "wide", "max_words", "max_points", "max_blocks", "max_gap")
"""What of a device's own settings has a say in how its tags are merged."""


class _Alike:
    """Key: a device, equal to all whose tags are merged in the same way."""

    __slots__ = ("_key", "code", "device")

    def __init__(self, device: McDevice, code: Code) -> None:
        self.device = device
        self.code = code
        self._key = (code, *(getattr(device, name) for name in _SHAPING))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and other._key == self._key


@lru_cache(maxsize=KEPT)
def _merged(of_tags: Same[tuple[McTag, ...]], alike: _Alike) -> tuple[tuple[Read, ...], RegisterTable]:
    """Reads, and where in their answers the tags lie: the same objects for all devices that are alike."""
    tags, device = of_tags.value, alike.device
    numbers = [_number(device, alike.code, tag) for tag in tags]
    reads: list[Read] = []
    start = 0
    for group, wide in _groups(tags, numbers, device, alike.code):
        sizes = [span.size for span in group.spans]
        starts = tuple(accumulate(sizes[:-1], initial=start))
        start = starts[-1] + sizes[-1]
        of = tuple(tag for item in group.items for tag in item.tags)
        reads.append(Read(of, group.method, group.spans, starts, group.items, wide))
    fields: dict[int, Field] = {}
    for read in reads:
        at = {
            (span.area, span.first + cell): first + cell * span.area.size
            for span, first in zip(read.spans, read.starts, strict=True)
            for cell in range(span.cells)
        }
        for item in read.items:
            cells = [at[item.area, item.first + cell] for cell in range(item.cells)]
            for tag in item.tags:
                bit = tags[tag].address.bit
                fields[tag] = field(tags[tag], cells, numbers[tag] % 16 if bit is None else bit)
    return tuple(reads), RegisterTable(start, [fields[tag] for tag in range(len(tags))])


def _groups(
    tags: Sequence[McTag], numbers: Sequence[int], device: McDevice, code: Code
) -> Iterator[tuple[Group, bool]]:
    """Groups, those of devices in the short specification first."""
    for wide in (False, True):
        room = room_of(device, code, wide=wide)
        items = [item for item in _items(tags, numbers) if (device.wide or not item.area.short) is wide]
        if not items:
            continue
        try:
            for group in pack(items, room, device.max_gap):
                yield group, wide
        except ValueError as error:
            raise ConfigFault(str(error)) from error


def room_of(device: McDevice, code: Code, *, wide: bool) -> Capacity:
    """What one request to a device may ask for."""
    most = capacity(device.series, text=code.text, wide=wide)
    words, points = min(most.words, device.max_words), min(most.points, device.max_points)
    return Capacity(words, points, min(most.blocks, device.max_blocks))


def _items(tags: Sequence[McTag], numbers: Sequence[int]) -> list[Item]:
    found: dict[tuple[str, int, int], list[int]] = {}
    areas: dict[str, Area] = {}
    for position, (tag, number) in enumerate(zip(tags, numbers, strict=True)):
        area = tag.address.area
        areas[area.name] = area
        found.setdefault((area.name, number // area.step, tag.cells), []).append(position)
    return [Item(areas[name], first, cells, tuple(places)) for (name, first, cells), places in found.items()]


def _number(device: McDevice, code: Code, tag: McTag) -> int:
    """Number of a tag's device on the wire. Raises ConfigFault for one that cannot be read from this CPU."""
    address = tag.address
    area = address.area
    if device.series is None and address.counting_matters:
        raise ConfigFault(f"tag {tag.name}: {address} is another input or output on iQ-F; say the device's series")
    if area.name in LACKING[device.series]:
        raise ConfigFault(f"tag {tag.name}: series {device.series} has no {area.name} that can be read")
    try:
        number = address.number(octal=device.octal)
    except ValueError as error:
        raise ConfigFault(f"tag {tag.name}: {error}") from error
    if whole_words(tag) and number % 16:
        raise ConfigFault(f"tag {tag.name}: {tag.type} takes bits by 16, and {address} is not the first of 16")
    if not fits(code, area, number + (tag.cells - 1) * area.step, wide=device.wide or not area.short):
        raise ConfigFault(f"tag {tag.name}: {address} has more digits than a message has room for")
    return number
