"""Frame: what was read from one device in one go, as columns. The unit that moves through the house."""

from __future__ import annotations

from enum import IntFlag
from typing import Any, Final

import msgspec

from gateway.model.schema import SchemaId

PackedOrList = bytes | list[Any]
"""One column: packed little-endian numbers, or a list of str (or bytes) and None for strings (or bytes)."""

NARROW_INDEX: Final = 65_536
"""Up to this many tags in the schema an index is packed uint16, above it uint32 (both little-endian)."""

STRETCH_BIT: Final = 16
"""From this bit of the flags on stands the number of a stretch of time that nobody vouched for; 0: trusted."""


class FrameFlag(IntFlag):
    """What a reader should know about a frame as a whole. A public contract: only add."""

    CONFIRMED = 1
    """No values: the tags in the index were read at ``time`` and are unchanged since their last report."""
    REPLAYED = 2
    """Not live: recovered from the device's own history."""
    TIME_UNTRUSTED = 4
    """The gateway's clock was not known to be right when this was stamped; the bits from `STRETCH_BIT` on say which
    stretch of its time that was, so that a later record can tell by how much it was off."""
    SOURCE_TIME = 8
    """``time`` comes from the device, not from the gateway."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One reading of one poll group. Every sequence runs in schema order over the tags that are present."""

    schema: SchemaId
    time: int
    """Nanoseconds since the Unix epoch, UTC: when the values were known to hold."""
    columns: list[PackedOrList]
    """One entry per column of the schema: packed little-endian values, or a list. Empty where none is present."""
    index: bytes | None = None
    """Positions of the tags present, ascending (uint16 or uint32, see NARROW_INDEX); None: all of them."""
    quality: bytes | None = None
    """One code per value (see model.quality); None: all good. A bad value's slot holds 0, "" or None: not a value."""
    offsets: bytes | None = None
    """Packed int64, nanoseconds to add to ``time`` per value; None: all at ``time``."""
    flags: int = 0


def stretch_flags(stretch: int) -> int:
    """Flags that carry the number of a stretch."""
    return stretch << STRETCH_BIT


def stretch_of(flags: int) -> int:
    """Number of the stretch of untrusted time that a frame was stamped in; 0: its time is trusted."""
    return flags >> STRETCH_BIT
