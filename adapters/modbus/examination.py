"""The address doctor: reads a few registers once and shows every way to read them, the most plausible first.

Documents of devices are wrong about word order, base and type so often that trying is the usual way to find out.
Here all trials are made at once. The score is a guess from how measured values look: a float with few digits is
seldom an accident, an integer of four bytes whose upper half is used is seldom meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from adapters.modbus.adapter import ModbusAdapter
from adapters.modbus.address import Address
from adapters.modbus.codec import ask_read, refusal_fault
from adapters.modbus.config import ByteOrder, ModbusConnection, ModbusDevice
from gateway.model.types import DTYPES, DataType, Value
from gateway.sdk import ConfigFault
from gateway.sdk.doctor import Decoding, Examination, Word
from gateway.wire.registers import Field, RegisterTable
from gateway.wire.registers import Order as WireOrder

Guess = tuple[float, str]

_INTEGERS: Final = (
    DataType.UINT16, DataType.INT16, DataType.UINT32, DataType.INT32, DataType.UINT64, DataType.INT64,
)  # fmt: skip
_NUMBERS: Final = (*_INTEGERS, DataType.FLOAT32, DataType.FLOAT64)
_DECIMALS: Final = (DataType.UINT16, DataType.UINT32, DataType.UINT64)
_SHORTEST_TEXT: Final = 2


async def examine_at(connection: ModbusConnection, device: ModbusDevice, address: str, count: int) -> Examination:
    """Read ``count`` registers or bits from ``address`` on and decode them in every way. Raises a Fault."""
    try:
        first = Address.parse(address)
        offset = first.offset(device.base)
    except ValueError as error:
        raise ConfigFault(f"--address: {error}") from error
    limit = device.max_bits if first.area.bits else device.max_registers
    if not 1 <= count <= min(limit, 65_536 - offset) or first.part:
        raise ConfigFault(f"--address {address} --count {count}: at most {limit} whole registers or bits that exist")
    ask = ask_read(device.unit, first.area, offset, count)
    image = bytearray(ask.size)
    async with ModbusAdapter(connection).open() as session:
        code = await session.ask(ask, image)
    if code:
        raise refusal_fault(code, f"{address} and {count - 1} behind it")
    if first.area.bits:
        return _bits(first, bytes(image), count)
    return examine(first, bytes(image))


def _beside(first: Address, distance: int) -> str:
    return str(Address(first.area, first.number + distance, "", first.reference))


def _bits(first: Address, data: bytes, count: int) -> Examination:
    states = [data[place // 8] >> place % 8 & 1 for place in range(count)]
    words = tuple(Word(_beside(first, place), f"{on:x}", on, str(on)) for place, on in enumerate(states))
    decodings = (Decoding(word.address, "type: bool", bool(word.number), 1.0, "a bit is a bit") for word in words)
    return Examination(words, tuple(decodings))


def examine(first: Address, data: bytes) -> Examination:
    """Decode register bytes, as transmitted, in every way. Pure."""
    numbers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    words = tuple(
        Word(_beside(first, place), f"{number:04X}", number, f"{number:016b}") for place, number in enumerate(numbers)
    )
    found = [*_numeric(first, data), *_texts(first, data), *_flags(first, numbers)]
    places = {word.address: place for place, word in enumerate(words)}
    found.sort(key=lambda decoding: (places[decoding.address], -decoding.score))
    return Examination(words, tuple(found))


def _numeric(first: Address, data: bytes) -> Iterator[Decoding]:
    """All numbers, through the same table that reads tags."""
    trials = [
        (place, kind, order, bcd)
        for place in range(0, len(data), 2)
        for bcd, kinds in ((False, _NUMBERS), (True, _DECIMALS))
        for kind in kinds
        if place + kind.width <= len(data)
        for order in _orders(kind)
    ]
    fields = [
        Field(kind, tuple(place + byte for byte in WireOrder[order.wire](kind.width)), bcd=bcd)
        for place, kind, order, bcd in trials
    ]
    table = RegisterTable(len(data), fields)
    bad: list[int] = []
    packed = table.packed(data + b"\0", bad)
    at = 0
    values: list[Value] = []
    for kind, _, count in table.layout.columns:
        values += np.frombuffer(packed[at : at + count * kind.width].tobytes(), DTYPES[kind]).tolist()
        at += count * kind.width
    for trial, (place, kind, order, bcd) in enumerate(trials):
        position = table.layout.position[trial]
        if position in bad:
            continue
        value = values[position]
        score, why = _decimal(kind, value) if bcd else _GUESSES[kind](value, kind, order)
        settings = f"type: {kind}{', encoding: bcd' if bcd else ''}, order: {order}"
        yield Decoding(_beside(first, place // 2), settings, value, round(score, 3), why)


def _orders(kind: DataType) -> tuple[ByteOrder, ...]:
    return (ByteOrder.ABCD, ByteOrder.DCBA) if kind.width == 2 else tuple(ByteOrder)


def _integer(value: Value, kind: DataType, order: ByteOrder) -> Guess:
    assert isinstance(value, int)
    signed = kind in (DataType.INT16, DataType.INT32, DataType.INT64)
    unusual = 0.0 if order is ByteOrder.ABCD else 0.02 if order is ByteOrder.CDAB else 0.15
    if value == 0:
        return 0.3 - unusual - kind.width / 100, "zero looks the same in every way"
    used = abs(value).bit_length() / (8 * kind.width)
    if kind.width == 2:
        if signed and value > 0:
            return 0.5 - unusual, "as uint16"
        if signed:
            small = value > -2000
            return (0.64 if small else 0.3) - unusual, "a small negative number" if small else "a large negative number"
        high = value > 32_767
        return (0.5 if high else 0.62) - unusual, "the upper half of the range" if high else "plain"
    wide = 0.02 * (kind.width == 8)
    if used <= 0.5 - wide:
        return 0.45 - unusual - wide - 0.01 * signed, "would fit half as many registers"
    return max(0.05, 0.95 - 0.6 * used - 0.1 * (value < 0)) - unusual - wide - 0.01 * signed, f"{used:.0%} of the range"


def _float(value: Value, kind: DataType, order: ByteOrder) -> Guess:
    assert isinstance(value, float)
    unusual = {ByteOrder.ABCD: 0.0, ByteOrder.CDAB: 0.01, ByteOrder.DCBA: 0.08, ByteOrder.BADC: 0.12}[order]
    if not math.isfinite(value):
        return 0.02, "not a number"
    if value == 0:
        return 0.28 - unusual, "zero looks the same in every way"
    if not 1e-5 < abs(value) < 1e10:
        return 0.03, "magnitude unlikely"
    shortest = str(np.float32(value)) if kind is DataType.FLOAT32 else repr(value)
    digits = len(shortest.partition("e")[0].replace(".", "").lstrip("-0").rstrip("0"))
    usual = 0.05 * (1e-2 < abs(value) < 1e6)
    if digits <= 6:
        return (0.9 if digits <= 5 else 0.78) + usual - unusual, f"a float of only {digits} digits"
    return 0.66 + usual - unusual, "a float of credible magnitude"


def _decimal(kind: DataType, value: Value) -> Guess:
    if value == 0:
        return 0.1, "zero looks the same in every way"
    return {2: 0.4, 4: 0.55, 8: 0.6}[kind.width], f"all {2 * kind.width} digits are decimal"


_GUESSES: Final[dict[DataType, Callable[[Value, DataType, ByteOrder], Guess]]] = {
    **dict.fromkeys(_INTEGERS, _integer), DataType.FLOAT32: _float, DataType.FLOAT64: _float,
}  # fmt: skip


def _texts(first: Address, data: bytes) -> Iterator[Decoding]:
    """Text from each register on, bytes as they are and swapped, in the encodings that devices use."""
    swapped = bytes(data[place ^ 1] for place in range(len(data)))
    for order, source in ((ByteOrder.ABCD, data), (ByteOrder.BADC, swapped)):
        before = False
        for place in range(0, len(source), 2):
            run = source[place:].split(b"\0", 1)[0].rstrip(b" ")
            text, encoding = _readable(run)
            if len(text) >= _SHORTEST_TEXT:
                length = -(-len(run) // 2) * 2
                encoded = f", encoding: {encoding}" if encoding != "utf-8" else ""
                settings = f"type: string, length: {length}, order: {order}{encoded}"
                words = sum(letter.isalnum() or letter in " -_./:" for letter in text) / len(text)
                score = min(0.97, 0.3 + 0.12 * len(text)) * words - 0.4 * before - 0.01 * (order is ByteOrder.BADC)
                why = f"{len(text)} printable characters" + (", the end of a longer text" if before else "")
                yield Decoding(_beside(first, place // 2), settings, text, round(max(score, 0.05), 3), why)
            before = len(text) >= _SHORTEST_TEXT


def _readable(run: bytes) -> tuple[str, str]:
    """(text, encoding) of bytes that are printable throughout; ("", "") of others."""
    for encoding, plausible in (("utf-8", True), ("gbk", _is_gb2312(run))):
        try:
            text = run.decode(encoding)
        except UnicodeDecodeError:
            continue
        if (
            plausible
            and text.isprintable()
            and all(letter < "\x7f" or "\u4e00" <= letter < "\ua000" for letter in text)
        ):
            return text, encoding
    return "", ""


def _is_gb2312(run: bytes) -> bool:
    """True when all that is not ASCII are pairs of the common characters: lead byte B0 to D7, second A1 to FE."""
    at = 0
    while at < len(run):
        if run[at] >= 0x80:
            if not (0xB0 <= run[at] <= 0xD7 and at + 1 < len(run) and run[at + 1] >= 0xA1):
                return False
            at += 1
        at += 1
    return True


def _flags(first: Address, numbers: list[int]) -> Iterator[Decoding]:
    for place, number in enumerate(numbers):
        on = [str(bit) for bit in range(16) if number >> bit & 1]
        if 0 < len(on) <= 4:
            address = _beside(first, place)
            settings = f"type: bool, address: {address}.{on[0]} …"
            yield Decoding(address, settings, f"bits {', '.join(on)}", 0.35 - 0.04 * len(on), "few bits are set")
