"""The open batch: frames gather here until linger, bytes or count close it. Then it is packed, once, for good.

Gathering runs in the event loop and does next to nothing per frame; packing runs in the writer's thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.model.batch import Gap, encode_body
from gateway.model.frame import Frame, PackedOrList
from gateway.model.schema import SchemaId

FRAME_BYTES: Final = 40
"""What a frame costs besides its columns: schema id, time, headers. An estimate, on the safe side."""
GAP_BYTES: Final = 120
VALUE_BYTES: Final = 5


def frame_size(frame: Frame) -> int:
    """Bytes that a frame takes packed, before compression; an estimate that never touches single numbers."""
    size = FRAME_BYTES
    for column in frame.columns:
        size += len(column) if type(column) is bytes else _list_size(column)
    if frame.index is not None:
        size += len(frame.index)
    if frame.quality is not None:
        size += len(frame.quality)
    if frame.offsets is not None:
        size += len(frame.offsets)
    return size


def _list_size(column: PackedOrList) -> int:
    if isinstance(column, bytes):
        return len(column)
    return VALUE_BYTES * len(column) + sum(len(value) for value in column if value is not None)


@dataclass(slots=True)
class Sealed:
    """A closed batch on its way to the store. Has no number yet: that comes with the commit."""

    frames: list[Frame] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    points: int = 0
    size: int = 0
    """Estimated bytes in memory."""
    closed: int = 0
    """When it was closed, ns since the Unix epoch."""
    ran: int = 0
    """The same in the bus's own time (gateway.bus.age)."""
    turn: int = 0
    """Counts closed batches of this run; 0 for those that the writer makes itself."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch in its final bytes, before it is numbered."""

    body: bytes
    frames: int
    points: int
    gaps: int
    first_time: int
    """0 when there is no frame."""
    last_time: int
    schemas: tuple[SchemaId, ...]
    closed: int
    ran: int
    weight: int
    """Estimated bytes it took in memory as frames: what the loop counted against its bound."""
    turn: int


def pack(sealed: Sealed) -> Packed:
    """Encode and compress a sealed batch."""
    frames = sealed.frames
    times = [frame.time for frame in frames]
    return Packed(
        body=encode_body(frames, sealed.gaps),
        frames=len(frames),
        points=sealed.points,
        gaps=len(sealed.gaps),
        first_time=min(times, default=0),
        last_time=max(times, default=0),
        schemas=tuple(dict.fromkeys([frame.schema for frame in frames])),
        closed=sealed.closed,
        ran=sealed.ran,
        weight=sealed.size,
        turn=sealed.turn,
    )
