"""Schema: which tags a frame carries, grouped by type, with what turns each raw number into the engineering value.

A schema is published once and named by the hash of its content, so the same tags always have the same id, on every
gateway and after every restart. ``value = raw × multiply ÷ divide + add``, in float64; a scale of 0.1 is kept as
``1 ÷ 10``, which gives the nearest double to the decimal a person expects (0.3, not 0.30000000000000004).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Final

import msgspec

from gateway.model.types import TYPE_ORDER, DataType

SCHEMA_VERSION: Final = 1
SchemaId = bytes
"""Eight bytes: BLAKE2b-64 of the encoded schema. Shown to people as 16 hex digits."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """All tags of one type. ``multiply``, ``divide``, ``add``: one per tag, or None for 1, 1 and 0 throughout."""

    type: DataType
    names: tuple[str, ...]
    multiply: tuple[float, ...] | None = None
    divide: tuple[float, ...] | None = None
    add: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None

    @property
    def scaled(self) -> bool:
        """True when at least one tag of this column has a scale or an offset: its values are then float64."""
        return self.multiply is not None or self.divide is not None or self.add is not None


class Schema(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The tags of one poll group of one device. A tag's position counts through the columns in order, from 0."""

    device: str
    group: str
    columns: tuple[Column, ...]
    version: int = SCHEMA_VERSION

    @property
    def size(self) -> int:
        """Number of tags."""
        return sum(len(column.names) for column in self.columns)

    def names(self) -> list[str]:
        """Tag names by position."""
        return [name for column in self.columns for name in column.names]

    def encode(self) -> bytes:
        """MessagePack map, the exact bytes that are hashed, stored and published."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Schema)


def schema_id(encoded: bytes) -> SchemaId:
    """Content id of an encoded schema."""
    return blake2b(encoded, digest_size=8).digest()


def decode_schema(encoded: bytes) -> Schema:
    """Inverse of `Schema.encode`. Raises msgspec.DecodeError for anything that is not a schema of this version."""
    schema = _decoder.decode(encoded)
    if schema.version != SCHEMA_VERSION:
        raise msgspec.ValidationError(f"schema version {schema.version}, this reader knows {SCHEMA_VERSION}")
    return schema


class Scale(msgspec.Struct, frozen=True, gc=False):
    """``value = raw × multiply ÷ divide + add``."""

    multiply: float = 1.0
    divide: float = 1.0
    add: float = 0.0

    @classmethod
    def of(cls, factor: float, offset: float = 0.0) -> Scale:
        """Exact scale of a decimal factor: 0.1 is 1 ÷ 10, 2.5 is 25 ÷ 10; others stay a plain factor."""
        ratio = Decimal(repr(factor)).normalize()
        exponent = ratio.as_tuple().exponent
        if isinstance(exponent, int) and -15 <= exponent < 0:
            divide = 10**-exponent
            multiply = int(ratio * divide)
            if abs(multiply) < 1 << 53:
                return cls(float(multiply), float(divide), offset)
        return cls(factor, 1.0, offset)

    @property
    def identity(self) -> bool:
        """True when the raw value is the engineering value."""
        return self.multiply == self.divide == 1.0 and self.add == 0.0

    def apply(self, raw: float) -> float:
        """Engineering value of one raw number."""
        return raw * self.multiply / self.divide + self.add


class Layout:
    """Where each tag of a plan goes in a schema: tags sorted by type, otherwise in the order given.

    ``position[i]`` is the schema position of plan tag i; ``order[p]`` is the plan tag at schema position p;
    ``columns`` lists (type, first position, count).
    """

    __slots__ = ("columns", "order", "position", "types")

    def __init__(self, types: Sequence[DataType]) -> None:
        self.types = tuple(types)
        self.order = sorted(range(len(types)), key=lambda tag: TYPE_ORDER[types[tag]])
        self.position = [0] * len(types)
        for place, tag in enumerate(self.order):
            self.position[tag] = place
        self.columns: list[tuple[DataType, int, int]] = []
        for place, tag in enumerate(self.order):
            if self.columns and self.columns[-1][0] is types[tag]:
                kind, first, count = self.columns[-1]
                self.columns[-1] = (kind, first, count + 1)
            else:
                self.columns.append((types[tag], place, 1))

    def schema(
        self, device: str, group: str, names: Sequence[str], scales: Sequence[Scale], units: Sequence[str]
    ) -> Schema:
        """Build the schema of tags given in plan order."""
        return Schema(device, group, self.describe(names, scales, units))

    def describe(self, names: Sequence[str], scales: Sequence[Scale], units: Sequence[str]) -> tuple[Column, ...]:
        """Build the columns of a schema; devices with the same tags may share them."""
        columns = []
        for kind, first, count in self.columns:
            tags = self.order[first : first + count]
            of = [scales[tag] for tag in tags]
            column_units = tuple(units[tag] for tag in tags)
            columns.append(
                Column(
                    type=kind,
                    names=tuple(names[tag] for tag in tags),
                    multiply=_unless_all(1.0, [scale.multiply for scale in of]),
                    divide=_unless_all(1.0, [scale.divide for scale in of]),
                    add=_unless_all(0.0, [scale.add for scale in of]),
                    units=column_units if any(column_units) else None,
                )
            )
        return tuple(columns)


def _unless_all(default: float, values: list[float]) -> tuple[float, ...] | None:
    return None if all(value == default for value in values) else tuple(values)
