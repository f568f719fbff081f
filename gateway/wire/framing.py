"""Framers: where one frame ends and the next begins in a stream of bytes. Pure, and the same however bytes are split.

Most device protocols mark frames in one of two ways: by a delimiter at the end (`delimited`), or by a length near the
beginning (`length_prefixed`). A protocol that does it in a third way brings a function of its own: see `Framing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from gateway.model.faults import ProtocolFault

LONGEST: Final = 64 * 1024
"""Bytes of a frame, unless a framing is told otherwise."""
AT_ONCE: Final = 1024
"""Frames that may be asked for with one request."""


class Cut(NamedTuple):
    """Where a frame ends: its last byte that is handed over, and the first byte of the next frame (both: behind).

    A framing that remembers may hand the beginning of a frame over first: with ``after`` 0, nothing is taken away.
    """

    end: int
    after: int


Framing = Callable[[bytearray, int], Cut | None]
"""``framing(data, seen)``: the frame at the beginning of ``data``, None when it is not whole yet. Of ``data``, ``seen``
bytes were there the last time already, and held no end. Raises ProtocolFault, in any case for a frame that is longer
than the protocol allows: that is what bounds the memory. One that remembers anything else between two calls is made
anew for each connection: see `gateway.wire.serving.FramingOfEach`."""


def delimited(delimiter: bytes, longest: int = LONGEST) -> Framing:
    """Frames that end with ``delimiter``, which is not handed over; at most ``longest`` bytes before it."""

    def framing(data: bytearray, seen: int) -> Cut | None:
        end = data.find(delimiter, max(0, seen - len(delimiter) + 1))
        if end > longest or (end < 0 and len(data) > longest + len(delimiter) - 1):
            raise ProtocolFault(f"a frame of more than {longest} bytes", data=bytes(data[:256]))
        return None if end < 0 else Cut(end, end + len(delimiter))

    return framing


def length_prefixed(
    at: int, width: int, *, order: Literal["big", "little"] = "big", beside: int = 0, longest: int = LONGEST
) -> Framing:
    """Frames that tell their length in ``width`` bytes at offset ``at``; they are handed over whole.

    ``beside``: bytes of a frame that its length does not count; at most ``longest`` bytes in all.
    """
    header = at + width

    def framing(data: bytearray, _seen: int) -> Cut | None:
        if len(data) < header:
            return None
        size = int.from_bytes(data[at:header], order) + beside
        if not header <= size <= longest:
            raise ProtocolFault(
                f"a frame that says it has {size} bytes, where {header} to {longest} can be", data=bytes(data[:256])
            )
        return Cut(size, size) if len(data) >= size else None

    return framing


class Frames:
    """A receiver (see `gateway.wire.link`) that takes a stream apart, and complains of what nobody asked for.

    ``then``: is called with each frame; the receiver is never complete, for a peer that sends by itself. Without, call
    `begin` before each request, and find the answers in ``found``. ``then`` may raise a Fault, which ends the exchange.
    """

    __slots__ = ("_framing", "_rest", "_seen", "_then", "_wanted", "answered", "found")

    def __init__(self, framing: Framing, then: Callable[[bytes], object] | None = None) -> None:
        self.answered = 0
        self.found: list[bytes] = []
        """Frames that have arrived since `begin`."""
        self._framing = framing
        self._then = then
        self._rest = bytearray()
        self._seen = 0
        self._wanted = 0

    def begin(self, count: int = 1) -> None:
        """Expect ``count`` frames. Raises ProtocolFault when a part of one lies here that belongs to nobody."""
        if not 1 <= count <= AT_ONCE:
            raise ValueError(f"{count} frames at once")
        if self._rest:
            raise ProtocolFault("bytes that nobody asked for", data=bytes(self._rest[:256]))
        self.found.clear()
        self._wanted = count

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when all frames that were asked for have arrived. Raises ProtocolFault."""
        rest = self._rest
        rest += data
        while rest and (cut := self._framing(rest, self._seen)) is not None:
            frame = bytes(rest[: cut.end])
            del rest[: cut.after]
            self._seen = 0
            self._hand_over(frame)
        self._seen = len(rest)
        complete = self._then is None and self._wanted > 0 and len(self.found) == self._wanted
        if rest and (complete or (self._then is None and not self._wanted)):
            raise ProtocolFault("bytes that nobody asked for", data=bytes(rest[:256]))
        if complete:
            self._wanted = 0
        return complete

    def _hand_over(self, frame: bytes) -> None:
        self.answered += 1
        if self._then is not None:
            self._then(frame)
        elif len(self.found) < self._wanted:
            self.found.append(frame)
        else:
            raise ProtocolFault("an answer that nobody asked for", data=frame)
