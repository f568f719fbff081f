"""The project's own payload: a batch as it lies on the bus, behind a header of some 30 bytes. See docs/payload.md.

``[1, gateway, epoch, seq, part, parts, body]`` in MessagePack; the body is the zstd frame that was made when the batch
was committed. Only a batch that is too large for the platform is ever opened here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.forward.payload import Encoded, Layouts, Poison, Schemas, cut
from gateway.model.batch import Batch, Gap, decode_body, encode_body
from gateway.model.frame import Frame

VERSION: Final = 1
_COUNTERS: Final = 2 + 9 + 9 + 5 + 5 + 5 + 5
"""Most bytes of a header besides the gateway's name: array, version, epoch, seq, part, parts, body length."""

_encoder = msgspec.msgpack.Encoder()


class Columnar:
    """MessagePack and zstd, columns kept packed."""

    content_type = "application/vnd.xingsha.columnar"

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._layouts = Layouts()
        self._overhead = _COUNTERS + 5 + len(gateway.encode())

    def direct(self, batch: Batch, limit: int) -> bytes | None:
        """Return the stored bytes, untouched, behind their header."""
        if batch.size + self._overhead > limit:
            return None
        return self._message(batch, 0, 1, batch.body)

    def encode(self, batch: Batch, limit: int, schemas: Schemas) -> Encoded:
        """As many messages as the limit asks for."""
        message = self.direct(batch, limit)
        if message is not None:
            return Encoded([message])
        body = decode_body(batch.body)
        split = _Split(limit - self._overhead, self._layouts, schemas)
        split.add(body.frames, body.gaps)
        parts = [self._message(batch, part, len(split.bodies), one) for part, one in enumerate(split.bodies)]
        return Encoded(parts, split.poison)

    def schema(self, encoded: bytes) -> bytes:
        """Return the very bytes whose hash is the id."""
        return encoded

    def _message(self, batch: Batch, part: int, parts: int, body: bytes) -> bytes:
        return _encoder.encode((VERSION, self._gateway, batch.epoch, batch.seq, part, parts, body))


class _Split:
    """Bodies of at most ``room`` bytes that together hold everything, in order: halved until they fit."""

    def __init__(self, room: int, layouts: Layouts, schemas: Schemas) -> None:
        self._room = room
        self._layouts = layouts
        self._schemas = schemas
        self.bodies: list[bytes] = []
        self.poison: list[Poison] = []

    def add(self, frames: Sequence[Frame], gaps: Sequence[Gap]) -> None:
        """Take frames and gaps; what is too large even alone goes to ``poison``."""
        if not frames and not gaps:
            return
        body = encode_body(frames, gaps)
        if len(body) <= self._room:
            self.bodies.append(body)
        elif len(frames) + len(gaps) > 1:
            frame_cut, gap_cut = (len(frames) + 1) // 2, len(gaps) // 2
            self.add(frames[:frame_cut], gaps[:gap_cut])
            self.add(frames[frame_cut:], gaps[gap_cut:])
        elif frames:
            for half in cut(self._layouts, self._schemas, frames[0], self.poison):
                self.add([half], ())
        elif gaps[0].detail:
            self.add((), [msgspec.structs.replace(gaps[0], detail="")])
        else:
            raise ValueError(f"a limit of {self._room} bytes leaves no room for a message")
