"""Where a tag's bytes lie, for reading, and which bytes a value becomes, for writing: one the inverse of the other."""

from __future__ import annotations

from adapters.modbus.config import ModbusDevice, ModbusTag
from gateway.model.types import DataType, Value
from gateway.wire.encoding import encode_number, encode_text
from gateway.wire.registers import Field
from gateway.wire.registers import Order as WireOrder


def places(device: ModbusDevice, tag: ModbusTag) -> tuple[int, ...]:
    """Bytes of a tag counted from its first register's: least significant first, text in reading order."""
    order = WireOrder[(tag.order or device.order).wire]
    low, high = order(2)
    if tag.length:
        return tuple(place ^ 1 if low == 0 else place for place in range(tag.length))
    if (bit := tag.address.bit) is not None:
        return (low if bit < 8 else high,)
    if tag.address.part:
        return (high if tag.address.part == "hi" else low,)
    return order(tag.type.width)


def field(device: ModbusDevice, tag: ModbusTag, start: int, bit: int) -> Field:
    """Field of a register table for a tag whose first register, or coil, lies at image byte ``start`` (and ``bit``)."""
    if tag.address.area.bits:
        return Field(DataType.BOOL, (start + bit // 8,), bit % 8)
    at = tuple(start + place for place in places(device, tag))
    inner = tag.address.bit
    bcd = tag.encoding == "bcd"
    return Field(tag.type, at, (inner or 0) % 8, bcd, (not bcd and tag.encoding) or "utf-8")


def encode(device: ModbusDevice, tag: ModbusTag, value: Value) -> bytes:
    """Register bytes of a raw value, whole registers long. Raises ValueError for what the tag cannot hold.

    For a tag that is only a part of a register (a bit, a byte) the rest of the register is 0; see `mask`.
    """
    data = bytearray(2 * tag.registers)
    spots = places(device, tag)
    if tag.length:
        little = encode_text(tag.name, tag.type, value, tag.length, tag.encoding)
    elif tag.type is DataType.BOOL:
        little = bytes((bool(value) << (tag.address.bit or 0) % 8,))
    else:
        little = encode_number(tag.name, tag.type, value, bcd=tag.encoding == "bcd")
    for spot, byte in zip(spots, little, strict=True):
        data[spot] = byte
    return bytes(data)


def mask(device: ModbusDevice, tag: ModbusTag) -> int:
    """Bits of its register, as transmitted, that belong to a tag which is only a part of one."""
    data = bytearray(2)
    bit = tag.address.bit
    data[places(device, tag)[0]] = 0xFF if bit is None else 1 << bit % 8
    return int.from_bytes(data, "big")
