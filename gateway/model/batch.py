"""Batch: frames and gaps written to the bus together; the unit of durability, delivery and numbering.

The body of a batch is encoded and compressed once, when it is committed. A lane that speaks the project's own
payload sends those very bytes, so a point is never encoded twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from gateway.model.frame import Frame

ZSTD_LEVEL: Final = 1
MAX_BODY: Final = 256 * 1024 * 1024
"""A body that claims to unpack to more than this many bytes is refused: it is damage or an attack."""


class Gap(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An interval in which something was lost or not collected: itself a durable record, forwarded to the platform."""

    reason: str
    """``outage``, ``overrun``, ``overflow``, ``restart``, ``corruption``, ``poison``, ``clock_set``: see model.reasons.

    With ``clock_set`` nothing is missing: it says by how much time was off."""
    since: int
    """Nanoseconds since the Unix epoch: the last moment known to be covered."""
    until: int
    """Nanoseconds since the Unix epoch: the first moment known to be covered again."""
    device: str = ""
    """The device it concerns; empty: the whole gateway."""
    group: str = ""
    count: int = 0
    """How many polls (outage, overrun) or values (overflow, poison) are missing; 0: not known."""
    first_seq: int = 0
    """Batches given up, from here … (0: none)."""
    last_seq: int = 0
    """… to here, both included."""
    epoch: int = 0
    """The epoch that first_seq and last_seq belong to."""
    detail: str = ""
    clock: int = 0
    """Number of the stretch of untrusted time that ``since`` and ``until`` are given in; 0: none."""
    offset: int = 0
    """clock_set: ns to add to every time stamped in that stretch (0: by how much a trusted clock was set)."""
    into: int = 0
    """clock_set: the result is the time of this stretch, not trusted either; 0: it is right."""


class Body(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a batch holds."""

    frames: list[Frame]
    gaps: list[Gap] = []


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A committed batch, as consumers see it. ``(gateway, epoch, seq)`` is unique for ever."""

    epoch: int
    seq: int
    body: bytes
    """zstd frame of the MessagePack of a Body."""
    frames: int
    points: int
    first_time: int
    """Earliest frame time in it, ns; equals last_time of the batch before when there is no frame."""
    last_time: int
    schemas: tuple[bytes, ...]
    """Ids of all schemas its frames refer to, each once."""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Body)


def encode_body(frames: Sequence[Frame], gaps: Sequence[Gap] = ()) -> bytes:
    """MessagePack of frames and gaps, zstd-compressed."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(_encoder.encode((frames, gaps)))


def decode_body(body: bytes) -> Body:
    """Inverse of `encode_body`. Raises ValueError for damage, for a size over MAX_BODY and for what is not a body."""
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= MAX_BODY:
            raise ValueError(f"batch body claims {size} bytes unpacked, at most {MAX_BODY} are accepted")
        return _decoder.decode(zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_BODY))
    except zstandard.ZstdError as error:
        raise ValueError(f"batch body is not a zstd frame: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"batch body is not a list of frames: {error}") from error
