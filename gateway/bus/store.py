"""What a store is: the place where committed batches lie. Two of them: memory and journal.

A *place* is the order of batches in the store, 1, 2, 3 … over all epochs that it holds; ``(epoch, seq)`` is a batch's
identity. Within the present epoch ``place = base + seq``. Rows that were saved from a damaged file keep both.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway.bus.cursor import Position
from gateway.model.batch import Batch, Gap
from gateway.model.schema import SchemaId

_HEAD: Final = struct.Struct("<9q")


class StoreStuck(Exception):
    """The store cannot be written to now; what was to be written stays with the caller, who tries again."""


class StoreFull(StoreStuck):
    """… because there is no space: giving up old batches would help."""


class StoreDamaged(Exception):
    """The structure of the store is broken: it has to be rebuilt."""


class Row(NamedTuple):
    """A committed batch and what the store needs to know of it."""

    place: int
    batch: Batch
    closed: int
    """When the batch was closed, in the bus's own time (gateway.bus.age), ns."""
    gaps: int
    """How many gap records are in its body."""


class Extent(NamedTuple):
    """A row without its body. Not covered by a checksum: good for counting and choosing, not for identity."""

    place: int
    closed: int
    first_time: int
    last_time: int
    points: int
    gaps: int
    size: int


class State(msgspec.Struct, omit_defaults=True):
    """What the store knows of itself; written with every commit."""

    gateway: str
    epoch: int
    format: int = 1
    """Grows when an older program could not read the journal any more."""
    base: int = 0
    place: int = 0
    """Place of the newest batch ever committed."""
    batches: int = 0
    """Rows held."""
    oldest: int = 1
    """Nothing older than this place is held."""
    bytes: int = 0
    """Bytes of the bodies held."""
    last_time: int = 0
    """Latest frame time of the newest batch that had frames."""
    closed: int = 0
    """When the newest batch was closed, ns since the Unix epoch."""
    ran: int = 0
    """The same in the bus's own time; 0: written by a version that had none."""
    stopped: int = 0
    """When the gateway stopped in order; 0 while it runs, and after a kill."""
    weak: bool = False
    """Commits are not synced one by one (``synchronous`` is not full): after a power cut, the newest may be missing."""
    past: list[tuple[int, int]] = []
    """(epoch, base) of epochs from which batches were saved, oldest first."""


@dataclass(slots=True)
class Change:
    """All that one commit does, at once or not at all."""

    state: State
    rows: list[Row] = field(default_factory=list)
    schemas: dict[SchemaId, bytes] = field(default_factory=dict)
    positions: dict[str, str | None] = field(default_factory=dict)
    """Encoded position by consumer; None: forget it."""
    remove: list[int] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)
    """Damaged rows, to be kept apart for people."""


class Store(Protocol):
    """Used by the writer's thread alone, except `read`, which any one other thread may call."""

    kind: str
    group: int
    """About this many bytes are to be written by one commit, or one batch when it is larger."""
    state: State
    loss: list[Gap]
    """What opening it found missing; declared by the bus as the first thing."""
    rebuilt: int
    """How often it was begun anew because of damage, since start."""
    broken: bool
    """True when its structure was found damaged: `rebuild` comes first."""
    cramped: bool
    """True while it may not grow, because the disk is full."""

    def positions(self) -> dict[str, Position]:
        """Positions of all consumers known."""

    def schemas(self) -> dict[SchemaId, bytes]:
        """Encoded schemas by id."""

    def apply(self, change: Change) -> None:
        """Do all of it durably. Raises StoreStuck or StoreDamaged, and then nothing was done."""

    def extents(self, first: int, last: int, count: int) -> list[Extent]:
        """Rows from place ``first`` to ``last``, oldest first, at most ``count``. Raises StoreDamaged."""

    def median(self) -> int:
        """Place of the row in the middle; 0 when none is held. Slow. Raises StoreDamaged."""

    def read(self, first: int, last: int, count: int, size: int) -> list[Row | int]:
        """Whole rows, likewise, and until they reach ``size`` bytes; a damaged row is its place alone.

        Raises StoreDamaged.
        """

    def unread(self, position: Position) -> int:
        """How many rows held are not in the position."""

    def rebuild(self) -> None:
        """Begin anew with what can still be read; `loss` then says what could not. Raises StoreStuck."""

    def disk_free(self) -> int | None:
        """Bytes free for more, or None when no disk is used."""

    def room_inside(self) -> int:
        """Bytes that can be taken without growing."""

    def relieve(self) -> None:
        """Called after StoreFull: give up reserves, so that old batches can at least be deleted."""

    def tidy(self) -> None:
        """Called now and then after a commit: give space back, renew reserves."""

    def close(self, stopped: int) -> None:
        """Close it; ``stopped`` (ns) marks an orderly stop, 0 that something could not be written."""


def checksum(place: int, batch: Batch, closed: int, gaps: int) -> int:
    """CRC-32 over everything a row holds, so that no damaged number or byte passes for a good one."""
    head = _HEAD.pack(
        place,
        batch.epoch,
        batch.seq,
        closed,
        batch.first_time,
        batch.last_time,
        batch.frames,
        batch.points,
        gaps,
    )
    return zlib.crc32(batch.body, zlib.crc32(b"".join(batch.schemas), zlib.crc32(head)))


def extent(row: Row) -> Extent:
    """The row without its body."""
    batch = row.batch
    return Extent(
        row.place,
        row.closed,
        batch.first_time,
        batch.last_time,
        batch.points,
        row.gaps,
        batch.size,
    )


def places_in(extents: Sequence[Extent]) -> list[int]:
    """Their places."""
    return [each.place for each in extents]


def base_of(state: State, place: int) -> tuple[int, int]:
    """(epoch, base) of the epoch that a place belongs to."""
    found = (state.epoch, state.base)
    for epoch, base in reversed([*state.past, found]):
        found = (epoch, base)
        if place > base:
            break
    return found


def identity_of(state: State, place: int) -> tuple[int, int]:
    """(epoch, seq) of a place."""
    epoch, base = base_of(state, place)
    return epoch, place - base
