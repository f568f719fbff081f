"""The receiver: what becomes of the bytes of answers. Sans-io, safe however they are split, bounded in memory.

One request is under way at a time: CPUs answer only the last of several that arrive together. An answer with a serial
number (4E) is taken only by the request with the same one, others are dropped. A 3E answer says nothing of the request
that it belongs to, so whatever comes unasked for is a fault, and ends the link.
"""

from __future__ import annotations

from typing import Final

from adapters.mc.codec import INFORMATION, LONGEST, SUBHEADERS, Ask, Code, Frame, Route, frame, number, parse_number
from adapters.mc.codec import words_of as words_of_text
from gateway.model.faults import ProtocolFault

Places = tuple[tuple[int, int, int], ...]
"""Where data goes: (offset in the answer's data, offset in the image, bytes)."""
SERIALS: Final = 0x10000


class Chunk:
    """A request as bytes, with what is expected in return."""

    __slots__ = ("ask", "data", "places", "route")

    def __init__(self, data: bytes, ask: Ask, route: bytes, places: Places) -> None:
        self.data = bytearray(data)
        self.ask = ask
        self.route = route
        """How the answer says where it comes from."""
        self.places = places


class Exchange:
    """See the module. ``datagrams``: each chunk of bytes is a message, whole or broken."""

    __slots__ = (
        "_body", "_chunk", "_code", "_datagrams", "_four", "_head", "_image", "_kind", "_rest", "_scale", "_serial",
        "_subheader", "answered", "body", "heard", "refused", "strays",
    )  # fmt: skip

    def __init__(self, code: Code, kind: Frame, *, datagrams: bool = False) -> None:
        self.answered = 0
        self.refused = 0
        """End code of the last answer; 0: it was good."""
        self.body = b""
        """Data of the last good answer that had no place in an image."""
        self.strays = 0
        """Answers that belonged to a request given up before."""
        self.heard = False
        """True once the peer has sent anything at all."""
        self._code = code
        self._kind = kind
        self._four = kind is Frame.E4
        self._datagrams = datagrams
        self._scale = 2 if code.text else 1
        self._subheader = SUBHEADERS[kind, code.text][1]
        self._head = (13 if self._four else 9) * self._scale
        self._rest = b""
        self._serial = 0
        self._chunk: Chunk | None = None
        self._image = bytearray()

    def chunk(self, route: Route, timer: int, ask: Ask, places: Places = ()) -> Chunk:
        """Prepare a request; ``places``: where in the image its data goes, none: into `body`."""
        data = frame(self._code, self._kind, route, timer, ask)
        return Chunk(data, ask, route.encode(self._code), places)

    def begin(self, chunk: Chunk, image: bytearray) -> bytes:
        """Expect the answer to a request; return the bytes to send."""
        self._chunk = chunk
        self._image = image
        self.refused = self.answered = 0
        if self._four:
            self._serial = (self._serial + 1) % SERIALS
            at = 2 * self._scale
            chunk.data[at : at + 2 * self._scale] = number(self._code, self._serial, 2)
        return bytes(chunk.data)

    def end(self) -> None:
        """Expect nothing any more."""
        self._chunk = None

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the answer is complete. Raises ProtocolFault."""
        self.heard = True
        if self._rest:
            data = self._rest + data
        at = 0
        while True:
            stop = self._measure(data, at)
            if stop is None or stop > len(data):
                break
            self._accept(data[at:stop])
            at = stop
        self._rest = rest = data[at:]
        if rest and (self._datagrams or (self._chunk is None and not self._four)):
            self._rest = b""
            what = "a datagram breaks off" if self._datagrams else "bytes that nobody asked for"
            raise ProtocolFault(what, data=rest)
        return self._chunk is None

    def _measure(self, data: bytes, at: int) -> int | None:
        """Where the answer that begins at ``at`` ends; None: more bytes are needed to tell. Raises ProtocolFault."""
        head = self._head
        start = self._subheader
        if not data.startswith(start, at) and not start.startswith(data[at : at + len(start)]):
            raise ProtocolFault(_unlike(data[at:], self._code, self._kind), data=data[at:])
        if len(data) - at < head:
            return None
        size = parse_number(self._code, data[at + head - 2 * self._scale : at + head])
        if not 2 * self._scale <= size <= LONGEST * self._scale:
            raise ProtocolFault(f"an answer says that it is {size} long, which none can be", data=data[at:])
        return at + head + size

    def _accept(self, answer: bytes) -> None:
        """Take a whole answer, or drop one that belongs to a request that was given up. Raises ProtocolFault."""
        chunk, scale = self._chunk, self._scale
        if self._four:
            at = 2 * scale
            serial = parse_number(self._code, answer[at : at + 2 * scale])
            if chunk is None or serial != self._serial:
                self.strays += 1
                return
        elif chunk is None:
            raise ProtocolFault("an answer that nobody asked for", data=answer)
        at = self._head - 7 * scale
        if not answer.startswith(chunk.route, at):
            raise ProtocolFault("an answer comes from another station than was asked", data=answer)
        at = self._head + 2 * scale
        end = parse_number(self._code, answer[self._head : at])
        if end:
            self._refuse(chunk.ask, end, answer, at)
        else:
            self._take(chunk, answer, at)
        self._chunk = None
        self.answered = 1

    def _refuse(self, ask: Ask, end: int, answer: bytes, at: int) -> None:
        """Note a refusal. It names the command it belongs to, where it says anything behind the end code."""
        self.refused = end
        if len(answer) - at < INFORMATION * self._scale:
            return
        at += 5 * self._scale
        command = parse_number(self._code, answer[at : at + 2 * self._scale])
        if command != ask.command:
            raise ProtocolFault(f"a refusal of command {command:04X}, asked was {ask.command:04X}", data=answer)

    def _take(self, chunk: Chunk, answer: bytes, at: int) -> None:
        ask = chunk.ask
        texts = ask.texts
        expected = texts + (ask.size - texts) * self._scale
        if len(answer) - at != expected:
            found = len(answer) - at
            raise ProtocolFault(f"command {ask.command:04X}: {found} bytes of data instead of {expected}", data=answer)
        data = answer[at:]
        if self._code.text:
            data = data[:texts] + words_of_text(data[texts:], ask.longs)
        if not chunk.places:
            self.body = data
        for source, start, size in chunk.places:
            self._image[start : start + size] = data[source : source + size]


_BEGINNINGS: Final = {answer: key for key, (_, answer) in SUBHEADERS.items()}


def _unlike(data: bytes, code: Code, kind: Frame) -> str:
    """What is wrong with bytes that do not begin like an answer."""
    asked = f"{kind.upper()} {'ASCII' if code.text else 'binary'}"
    for beginning, (other, text) in _BEGINNINGS.items():
        if data.startswith(beginning):
            return f"the answer is {other.upper()} {'ASCII' if text else 'binary'}, configured is {asked}"
    return f"what arrives is no {asked} answer of the MC protocol"
