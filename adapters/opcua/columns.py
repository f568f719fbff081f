"""Many values at a time: the arrays of DataValue in notifications and read responses, decoded in columns. Sans-io.

Values of the same shape (type, and which of status and times are there) are records of equal size: a run of them is one
numpy array. Shapes that alternate are gathered by shape. What has no fixed size, such as text, is decoded alone.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.opcua.codec import (
    BOOLEAN,
    FIXED,
    HAS_SERVER,
    HAS_SERVER_FINE,
    HAS_SOURCE,
    HAS_SOURCE_FINE,
    HAS_STATUS,
    HAS_VALUE,
    Reader,
    unix_times,
)
from gateway.model.faults import ProtocolFault

Values = npt.NDArray[np.generic] | list[object]
Rows = npt.NDArray[np.void]

AHEAD: Final = 32
"""Records further on where another of the same shape makes looking for a run worth while."""
WINDOW: Final = 256
"""Records looked at first; eight times as many each time that all are of the same shape."""


class Column(NamedTuple):
    """Values of one built-in type, in the order in which they came."""

    keys: npt.NDArray[np.uint32]
    """Client handle of each, or its place in the request."""
    kind: int
    """Built-in type; 0: no value."""
    values: Values
    """An array for types of fixed size, else a list, in which an array of the device is a list."""
    statuses: npt.NDArray[np.uint32] | None
    """None: all good."""
    times: npt.NDArray[np.int64] | None
    """Ns since 1970, 0 for none; None: none has one."""


def columns(reader: Reader, *, keyed: bool) -> list[Column]:
    """Read an array of DataValue, each behind its client handle (``keyed``) or known by its place.

    The values of one key come in the order of their arrival, from column to column as well.
    """
    start = reader.at
    found = _Pile(keyed, apart=False).read(reader)
    if keyed and len(found) > 1:
        keys = np.sort(np.concatenate([column.keys for column in found]))
        if (keys[1:] == keys[:-1]).any():  # a tag in several columns: what came last must be last
            reader.at = start
            found = _Pile(keyed, apart=True).read(reader)
    return found


@cache
def _layout(mask: int, kind: int, keyed: bool) -> np.dtype[np.void] | None:
    """Layout of a record; None for one without a fixed size."""
    if mask & HAS_VALUE and kind not in FIXED:
        return None
    fields: list[tuple[str, str]] = [("key", "<u4")] if keyed else []
    fields.append(("mask", "u1"))
    if mask & HAS_VALUE:
        fields += [("kind", "u1"), ("value", FIXED[kind])]
    for bit, name, dtype in _MORE:
        if mask & bit:
            fields.append((name, dtype))
    return np.dtype(fields)


_MORE: Final = (
    (HAS_STATUS, "status", "<u4"),
    (HAS_SOURCE, "source", "<i8"),
    (HAS_SOURCE_FINE, "source_fine", "<u2"),
    (HAS_SERVER, "server", "<i8"),
    (HAS_SERVER_FINE, "server_fine", "<u2"),
)
"""What may follow the value, in this order (Part 6, table 26)."""


class _Loose:
    """Values of one type without a fixed size."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.values: list[object] = []
        self.statuses: list[int] = []
        self.times: list[int] = []

    def column(self, kind: int) -> Column:
        statuses = np.array(self.statuses, np.uint32) if any(self.statuses) else None
        times = np.array(self.times, np.int64) if any(self.times) else None
        return Column(np.array(self.keys, np.uint32), kind, self.values, statuses, times)


class _Shape:
    """Records of one shape: runs, and places of single ones, in order."""

    def __init__(self, mask: int, kind: int, layout: np.dtype[np.void]) -> None:
        self.mask, self.kind, self.layout = mask, kind, layout
        self.rows: list[Rows] = []
        self.places: list[npt.NDArray[np.uint32]] = []
        self.singles: list[int] = []
        self.single_places: list[int] = []

    def run(self, rows: Rows, place: int) -> None:
        self.rows.append(rows)
        self.places.append(np.arange(place, place + len(rows), dtype=np.uint32))

    def collect(self, data: bytes) -> None:
        """Make rows of what was noted singly."""
        if self.singles:
            offsets = np.array(self.singles)[:, None] + np.arange(self.layout.itemsize)
            self.rows.append(np.frombuffer(data, np.uint8)[offsets].view(self.layout)[:, 0])
            self.places.append(np.array(self.single_places, np.uint32))
            self.singles, self.single_places = [], []

    def column(self, keyed: bool) -> Column:
        rows = self.rows[0] if len(self.rows) == 1 else np.concatenate(self.rows)
        keys = rows["key"] if keyed else np.concatenate(self.places)
        if not self.mask & HAS_VALUE:
            values: Values = [None] * len(rows)
        elif self.kind == BOOLEAN:
            values = rows["value"] != 0
        else:
            values = np.ascontiguousarray(rows["value"])
        return Column(keys, self.kind, values, rows["status"] if self.mask & HAS_STATUS else None, self._times(rows))

    def _times(self, rows: Rows) -> npt.NDArray[np.int64] | None:
        times = None
        if self.mask & HAS_SOURCE:
            times = unix_times(rows["source"])
            if self.mask & HAS_SOURCE_FINE:
                times += np.where(times > 0, np.minimum(rows["source_fine"], 9_999) // 100, 0)
        if self.mask & HAS_SERVER and (times is None or not times.all()):
            server = unix_times(rows["server"])
            times = server if times is None else np.where(times, times, server)
        return times


class _Pile:
    """Sorts what arrives by shape; ``apart``: begins anew whenever the shape changes."""

    def __init__(self, keyed: bool, *, apart: bool) -> None:
        self.keyed = keyed
        self.apart = apart
        self.last: object = None
        self.shapes: dict[int, _Shape] = {}
        self.loose: dict[int, _Loose] = {}
        self.found: list[Column] = []

    def read(self, reader: Reader) -> list[Column]:
        head = 4 if self.keyed else 0
        total = reader.count(head + 1)
        data, at, place = reader.data, reader.at, 0
        size, end = len(data), len(data) - head - 1
        while place < total:
            if at > end:
                raise ProtocolFault(f"{total - place} more values expected, no bytes left", data=data)
            mask = data[at + head]
            kind = data[at + head + 1] if mask & HAS_VALUE and at < end else 0
            if self.apart:
                self._turn((mask, kind), data)
            shape = self.shapes.get(mask << 8 | kind) or self._shape(mask, kind)
            if shape is None:
                reader.at = at
                self._single(reader, place)
                at = reader.at
                place += 1
                continue
            width = shape.layout.itemsize
            if at + width > size:
                raise ProtocolFault(f"{total - place} more values expected, the last is cut off", data=data)
            count = self._run(shape, data, at, total - place, head) if total - place > AHEAD else 1
            if count > 1:
                shape.collect(data)
                shape.run(np.frombuffer(data, shape.layout, count, at), place)
            else:
                shape.singles.append(at)
                shape.single_places.append(place)
            place += count
            at += count * width
        reader.at = at
        self._close(data)
        return self.found

    def _shape(self, mask: int, kind: int) -> _Shape | None:
        layout = _layout(mask & 63, kind, self.keyed)
        if layout is None:
            return None
        shape = self.shapes[mask << 8 | kind] = _Shape(mask, kind, layout)
        return shape

    @staticmethod
    def _run(shape: _Shape, data: bytes, at: int, left: int, head: int) -> int:
        """How many records in a row have this shape; 1 also where looking for it does not pay."""
        size = shape.layout.itemsize
        ahead = at + AHEAD * size + head
        if ahead + 1 >= len(data) or data[ahead] != shape.mask:
            return 1
        valued = shape.mask & HAS_VALUE
        if valued and data[ahead + 1] != shape.kind:
            return 1
        most, window, count = min(left, (len(data) - at) // size), WINDOW, 0
        while count < most:
            rows = np.frombuffer(data, shape.layout, min(window, most - count), at + count * size)
            same = rows["mask"] == shape.mask
            if valued:
                same &= rows["kind"] == shape.kind
            if not same.all():
                return count + int(np.argmin(same))
            count += len(rows)
            window *= 8
        return count

    def _single(self, reader: Reader, place: int) -> None:
        key = reader.u32() if self.keyed else place
        kind, value, status, time = reader.data_value()
        loose = self.loose.setdefault(kind, _Loose())
        loose.keys.append(key)
        loose.values.append(value)
        loose.statuses.append(status)
        loose.times.append(time)

    def _turn(self, shape: object, data: bytes) -> None:
        if shape != self.last:
            self._close(data)
            self.last = shape

    def _close(self, data: bytes) -> None:
        for shape in self.shapes.values():
            shape.collect(data)
            self.found.append(shape.column(self.keyed))
        self.found += [loose.column(kind) for kind, loose in self.loose.items()]
        self.shapes, self.loose = {}, {}
