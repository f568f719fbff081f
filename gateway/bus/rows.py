"""Rows of a journal as SQLite gives and takes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.bus import layout
from gateway.bus.cursor import Position, Range
from gateway.bus.store import Row, checksum
from gateway.model.batch import Batch

ID_BYTES: Final = 8


def put_state(connection: sqlite3.Connection, name: str, value: str | None) -> None:
    """Write one row of ``state``; None removes it. Raises sqlite3.Error."""
    if value is None:
        connection.execute("DELETE FROM state WHERE name = ?", (name,))
    else:
        connection.execute(layout.PUT_STATE, (name, value, layout.state_crc(name, value)))


def row_values(row: Row) -> tuple[object, ...]:
    """A row as `layout.INSERT` takes it."""
    place, batch, closed, gaps = row
    return (
        place,
        batch.epoch,
        batch.seq,
        closed,
        batch.first_time,
        batch.last_time,
        batch.frames,
        batch.points,
        gaps,
        checksum(place, batch, closed, gaps),
        b"".join(batch.schemas),
        batch.body,
        len(batch.body),
    )


def row_from(values: Sequence[object]) -> Row | int:
    """A row as `layout.READ` gives it, or its place when the checksum does not fit."""
    place, epoch, seq, closed, first, last, frames, points, gaps, crc, schemas, body = values
    assert isinstance(place, int)
    try:
        batch = msgspec.convert(
            {
                "epoch": epoch,
                "seq": seq,
                "body": body,
                "frames": frames,
                "points": points,
                "first_time": first,
                "last_time": last,
                "schemas": [schemas[at : at + ID_BYTES] for at in range(0, len(schemas), ID_BYTES)],  # type: ignore[arg-type,index]
            },
            Batch,
        )
        row = Row(place, batch, int(closed), int(gaps))  # type: ignore[call-overload]
        return row if checksum(*row) == crc else place
    except (TypeError, ValueError, msgspec.ValidationError):
        return place


def runs(places: Iterable[int]) -> list[Range]:
    """Places as ranges."""
    return Position((place, place) for place in places).ranges
