"""Reading a frame against its schema: columns as numpy arrays, engineering values, rows for people.

The inverse of building frames. Everything that comes from outside is checked before it is used: a frame whose lengths,
positions or types do not fit its schema is a ValueError with one clear sentence, never a wrong value or a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.model.frame import NARROW_INDEX, Frame, FrameFlag, stretch_of
from gateway.model.quality import is_bad
from gateway.model.schema import Column, Schema
from gateway.model.types import DTYPES, DataType, Value

Positions = npt.NDArray[np.int64]
Packed = npt.NDArray[Any]
Texts = list[str | bytes | None]

_INT64: Final = np.iinfo(np.int64)
_LIST_ITEM: Final[dict[DataType, type]] = {DataType.STRING: str, DataType.BYTES: bytes}


class Row(NamedTuple):
    """One value of one tag, as people see it."""

    tag: str
    value: Value | None
    """None: there is no value, `quality` says why. Otherwise the engineering value."""
    quality: int
    time: int
    """Nanoseconds since the Unix epoch, UTC."""
    unit: str


class ColumnLayout:
    """One column of a schema, checked, with its scale as arrays."""

    __slots__ = ("_add", "_divide", "_identity", "_multiply", "column", "first", "last")

    def __init__(self, column: Column, first: int) -> None:
        size = len(column.names)
        self.column = column
        self.first = first
        self.last = first + size
        for name in ("multiply", "divide", "add", "units"):
            given = getattr(column, name)
            if given is not None and len(given) != size:
                raise ValueError(f"schema: column {column.type} has {size} tags and {len(given)} entries in {name}")
        if column.scaled and (not column.type.packed or column.type is DataType.BOOL):
            raise ValueError(f"schema: column {column.type} cannot be scaled")
        if column.divide is not None and 0.0 in column.divide:
            raise ValueError(f"schema: column {column.type} divides by 0")
        self._multiply = _array(column.multiply)
        self._divide = _array(column.divide)
        self._add = _array(column.add)
        self._identity = self._find_identity(size)

    def _find_identity(self, size: int) -> npt.NDArray[np.bool_] | None:
        """Which tags of a scaled column have no scale of their own: their raw value is the value. None: no such tag."""
        if not self.column.scaled:
            return None
        same = np.ones(size, np.bool_)
        for scale, neutral in ((self._multiply, 1.0), (self._divide, 1.0), (self._add, 0.0)):
            if scale is not None:
                same &= scale == neutral
        return same if same.any() else None

    def values(self, raw: Packed, local: Positions | slice) -> Packed:
        """Engineering values of raw numbers at ``local`` places of this column: float64 if scaled, raw otherwise."""
        if self.column.type is DataType.BOOL:
            return np.not_equal(raw, 0)
        if not self.column.scaled:
            return raw
        with np.errstate(over="ignore", invalid="ignore"):
            out = raw.astype(np.float64)
            if self._multiply is not None:
                out *= self._multiply[local]
            if self._divide is not None:
                out /= self._divide[local]
            if self._add is not None:
                out += self._add[local]
        if self._identity is not None:  # adding 0.0 would turn -0.0 into 0.0
            same = self._identity[local]
            out[same] = raw[same]
        return out

    def objects(self, raw: Packed, local: Positions | slice) -> list[Any]:
        """Engineering values as Python objects; integers without a scale of their own stay exact integers."""
        found: list[Any] = self.values(raw, local).tolist()
        if self._identity is not None:
            for place in np.flatnonzero(self._identity[local]):
                found[place] = raw[place].item()
        return found


class SchemaLayout:
    """A schema, checked once and compiled for reading many frames. Raises ValueError for one that contradicts itself.

    Tag names are unique, each list of a column is as long as its names, nothing is divided by zero.
    """

    __slots__ = ("columns", "names", "schema", "size", "units")

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.names: list[str] = schema.names()
        self.size = len(self.names)
        if len(set(self.names)) != self.size:
            raise ValueError(f"schema of {schema.device}: a tag name occurs twice")
        self.columns: list[ColumnLayout] = []
        first = 0
        for column in schema.columns:
            self.columns.append(ColumnLayout(column, first))
            first = self.columns[-1].last
        self.units: list[str] = [
            unit for column in schema.columns for unit in (column.units or ("",) * len(column.names))
        ]


class ColumnView:
    """The values of one type in one frame."""

    __slots__ = ("_local", "first", "last", "layout", "raw")

    def __init__(
        self, layout: ColumnLayout, raw: Packed | Texts, first: int, last: int, local: Positions | slice
    ) -> None:
        self.layout = layout
        self.raw: Packed | Texts = raw
        """As the machine had them: a read-only array over the frame's own bytes, or a list."""
        self.first = first
        """Where this column's values start among all values of the frame."""
        self.last = last
        """… and end."""
        self._local = local

    @property
    def type(self) -> DataType:
        """Type of the raw values."""
        return self.layout.column.type

    @property
    def values(self) -> Packed | Texts:
        """Engineering values: float64 where the column is scaled, otherwise the raw array (bool as numpy bool)."""
        return self.raw if isinstance(self.raw, list) else self.layout.values(self.raw, self._local)

    def objects(self) -> list[Any]:
        """Engineering values as Python objects."""
        return list(self.raw) if isinstance(self.raw, list) else self.layout.objects(self.raw, self._local)


class FrameView:
    """A frame together with what its schema says of it. Raises ValueError when the two do not fit.

    Nothing is copied: arrays are views of the packed bytes. Making one costs some microseconds, whatever the size.
    """

    def __init__(self, schema: Schema | SchemaLayout, frame: Frame) -> None:
        self.layout = schema if isinstance(schema, SchemaLayout) else SchemaLayout(schema)
        self.frame = frame
        self.positions: Positions = _positions(frame, self.layout.size)
        """Schema positions of the tags present, ascending."""
        if not _INT64.min <= frame.time <= _INT64.max:
            raise ValueError(f"frame time {frame.time} is not a 64-bit number of nanoseconds")
        if frame.quality is not None and len(frame.quality) != self.size:
            raise ValueError(f"frame has {self.size} values and {len(frame.quality)} quality codes")
        if frame.offsets is not None and len(frame.offsets) != 8 * self.size:
            raise ValueError(f"frame has {self.size} values and {len(frame.offsets)} bytes of time offsets")
        if frame.offsets is not None:
            self._check_offsets(frame.offsets)
        self.columns: list[ColumnView] = [] if self.confirmed else self._columns()
        """One for each column of the schema, empty ones too; none at all in a confirmation."""
        if self.confirmed and any(len(column) for column in frame.columns):
            raise ValueError("frame confirms unchanged values and carries values as well")

    @property
    def device(self) -> str:
        """Device it was read from."""
        return self.layout.schema.device

    @property
    def group(self) -> str:
        """Poll group of the device."""
        return self.layout.schema.group

    @property
    def time(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self.frame.time

    @property
    def size(self) -> int:
        """Number of tags present."""
        return len(self.positions)

    @property
    def points(self) -> int:
        """Number of values: 0 in a confirmation."""
        return 0 if self.confirmed else self.size

    @property
    def confirmed(self) -> bool:
        """True when the frame carries no values, but says that its tags were read and are unchanged."""
        return bool(self.frame.flags & FrameFlag.CONFIRMED)

    @property
    def clock(self) -> int:
        """Number of the stretch of untrusted time that it was stamped in; 0: its time is trusted."""
        return stretch_of(self.frame.flags)

    @property
    def tags(self) -> list[str]:
        """Names of the tags present."""
        names = self.layout.names
        return names if self.frame.index is None else [names[place] for place in self.positions.tolist()]

    @cached_property
    def quality(self) -> npt.NDArray[np.uint8]:
        """One code per value (model.quality)."""
        if self.frame.quality is None:
            return np.zeros(self.size, np.uint8)
        return np.frombuffer(self.frame.quality, np.uint8)

    @cached_property
    def times(self) -> npt.NDArray[np.int64]:
        """Nanoseconds since the Unix epoch, per value."""
        if self.frame.offsets is None:
            return np.full(self.size, self.frame.time, np.int64)
        return np.frombuffer(self.frame.offsets, "<i8").astype(np.int64) + self.frame.time

    def rows(self) -> Iterator[Row]:
        """Every value, in schema order. A confirmation gives none: its `tags` are what it is about."""
        if self.confirmed:
            return
        values = [value for column in self.columns for value in column.objects()]
        units = self.layout.units
        for place, tag, value, quality, time in zip(
            self.positions.tolist(), self.tags, values, self.quality.tolist(), self.times.tolist(), strict=True
        ):
            yield Row(tag, None if is_bad(quality) else value, quality, time, units[place])

    def to_dict(self) -> dict[str, Value | None]:
        """Engineering value by tag name; None where there is none."""
        return {row.tag: row.value for row in self.rows()}

    def _check_offsets(self, packed: bytes) -> None:
        if not packed:
            return
        offsets = np.frombuffer(packed, "<i8")
        first, last = self.frame.time + int(offsets.min()), self.frame.time + int(offsets.max())
        if first < _INT64.min or last > _INT64.max:
            raise ValueError("a time offset of the frame leaves the 64-bit range")

    def _columns(self) -> list[ColumnView]:
        given = self.frame.columns
        if len(given) != len(self.layout.columns):
            raise ValueError(f"frame has {len(given)} columns, its schema {len(self.layout.columns)}")
        whole = self.frame.index is None
        found = []
        for layout, packed in zip(self.layout.columns, given, strict=True):
            local: Positions | slice
            if whole:
                first, last, local = layout.first, layout.last, slice(None)
            else:
                first, last = np.searchsorted(self.positions, (layout.first, layout.last)).tolist()
                local = self.positions[first:last] - layout.first
            found.append(ColumnView(layout, _raw(layout.column.type, packed, last - first), first, last, local))
        return found


def slice_frame(schema: Schema | SchemaLayout, frame: Frame, first: int, last: int) -> Frame:
    """Part of a frame: its values from number ``first`` up to, but without, ``last``. Same schema, same time.

    Slices that cover a frame hold together exactly what it held. Raises ValueError for a frame that does not fit.
    """
    view = FrameView(schema, frame)
    if not 0 <= first < last <= view.size:
        raise ValueError(f"values {first} to {last} of {view.size}")
    columns: list[bytes | Texts] = []
    for column in view.columns:
        start, stop = (min(max(place, column.first), column.last) - column.first for place in (first, last))
        part = column.raw[start:stop]
        columns.append(part if isinstance(part, list) else part.tobytes())
    quality = frame.quality[first:last] if frame.quality is not None else None
    return Frame(
        frame.schema,
        frame.time,
        columns,
        view.positions[first:last].astype(index_type(view.layout.size)).tobytes(),
        quality if quality is not None and any(quality) else None,
        frame.offsets[8 * first : 8 * last] if frame.offsets is not None else None,
        frame.flags,
    )


def index_type(size: int) -> str:
    """numpy type of the index of a frame whose schema has ``size`` tags."""
    return "<u2" if size <= NARROW_INDEX else "<u4"


def _positions(frame: Frame, size: int) -> Positions:
    if frame.index is None:
        return np.arange(size, dtype=np.int64)
    kind = np.dtype(index_type(size))
    if len(frame.index) % kind.itemsize:
        raise ValueError(f"frame index is {len(frame.index)} bytes, not a multiple of {kind.itemsize}")
    positions = np.frombuffer(frame.index, kind).astype(np.int64)
    if len(positions) and (positions[-1] >= size or (np.diff(positions) <= 0).any()):
        raise ValueError(f"frame index does not ascend within the {size} tags of its schema")
    return positions


def _raw(kind: DataType, packed: bytes | Texts, count: int) -> Packed | Texts:
    if not len(packed) and not count:
        return np.empty(0, DTYPES[kind]) if kind.packed else []
    if kind.packed:
        if not isinstance(packed, bytes) or len(packed) != count * kind.width:
            raise ValueError(f"frame column {kind}: expected {count} packed values of {kind.width} bytes")
        return np.frombuffer(packed, DTYPES[kind])
    item = _LIST_ITEM[kind]
    if not isinstance(packed, list) or len(packed) != count:
        raise ValueError(f"frame column {kind}: expected a list of {count} values")
    if not all(value is None or isinstance(value, item) for value in packed):
        raise ValueError(f"frame column {kind}: a value is not {item.__name__}")
    return packed


def _array(scale: tuple[float, ...] | None) -> npt.NDArray[np.float64] | None:
    return None if scale is None else np.array(scale, np.float64)
