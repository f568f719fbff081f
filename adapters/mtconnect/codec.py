"""HTTP/1.1 as MTConnect agents speak it (RFC 9112, MIME multipart): requests to bytes, bytes to documents. Pure.

Only what an agent needs: GET, bodies with a length or in chunks, and the endless ``multipart/x-mixed-replace`` of a
streamed ``/sample`` request. Everything is bounded; anything else is a ProtocolFault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from gateway.sdk import AuthFault, Busy, Fault, ProtocolFault

HEAD: Final = 16 * 1024
"""Bytes of a status line with its headers, or of the headers of a part."""
_LINE: Final = 256
"""Bytes of a line that gives the size of a chunk."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")
_BOUNDARY: Final = re.compile(r'multipart/[a-z-]+\s*;.*?boundary="?([^\s";]{1,70})"?', re.IGNORECASE)

STATUSES: Final[dict[int, Callable[[str], Fault]]] = {
    401: AuthFault,
    403: AuthFault,
    429: lambda words: Busy(words, wait=5.0),
    503: lambda words: Busy(words, wait=5.0),
}
"""HTTP status, of an answer without an MTConnect error in it → what it means here; any other: ProtocolFault."""


def status_fault(where: str, status: int) -> Fault:
    """What a status other than 200 means."""
    words = f"{where}: the agent answers with HTTP status {status}"
    return STATUSES.get(status, ProtocolFault)(words)


def request(host: str, path: str, query: Mapping[str, int] | None = None) -> bytes:
    """A GET request; ``path`` is written as it is known to people, and is quoted here."""
    target = quote(path, safe="/:@") + (f"?{urlencode(query)}" if query else "")
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/xml, application/xml\r\n\r\n".encode("ascii")


def headers_of(lines: list[bytes]) -> dict[str, str]:
    """Headers by name in small letters; of one that is repeated, the last. Raises ProtocolFault."""
    found = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ProtocolFault("a line among HTTP headers that is none", data=line)
        found[match[1].decode("ascii").lower()] = match[2].decode("latin-1")
    return found


def _length(text: str, base: int, longest: int) -> int:
    digits = "0123456789abcdef"[:base]
    if not text or len(text) > 16 or text.lower().strip(digits):
        raise ProtocolFault(f"{text[:32]!r} is no length")
    if (length := int(text, base)) > longest:
        raise ProtocolFault(f"a document of {length} bytes, where {longest} are allowed")
    return length


class Parts:
    """Takes a multipart body apart (RFC 2046, 5.1); each part must tell its Content-length, as those of agents do."""

    def __init__(self, boundary: str, longest: int, then: Callable[[bytes], object]) -> None:
        self._delimiter = b"--" + boundary.encode("latin-1")
        self._longest = longest
        self._then = then
        self._rest = bytearray()
        self._wanted: int | None = None
        self.count = 0
        """Parts that have arrived."""
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Take bytes of the body, and call ``then`` with each part that is whole. Raises ProtocolFault."""
        self._rest += data
        while self._rest and not self.ended and self._step():
            pass
        if self.ended:
            self._rest.clear()

    def _step(self) -> bool:
        rest = self._rest
        if self._wanted is None:
            return self._begin()
        if len(rest) < self._wanted:
            return False
        part, self._wanted = bytes(rest[: self._wanted]), None
        del rest[: len(part)]
        self.count += 1
        self._then(part)
        return True

    def _begin(self) -> bool:
        rest, delimiter = self._rest, self._delimiter
        while rest.startswith(b"\r\n"):
            del rest[:2]
        start = bytes(rest[: len(delimiter)])
        if rest and rest != b"\r" and not delimiter.startswith(start):
            raise ProtocolFault("between two parts of a stream is something else", data=bytes(rest[:256]))
        if rest[len(delimiter) : len(delimiter) + 2] == b"--":
            self.ended = True
            return False
        end = rest.find(b"\r\n\r\n")
        if end > HEAD or (end < 0 and len(rest) > HEAD + 3):
            raise ProtocolFault("the headers of a part are too long", data=bytes(rest[:256]))
        if end < 0:
            return False
        first, *lines = bytes(rest[:end]).split(b"\r\n")
        if first.rstrip() != delimiter:
            raise ProtocolFault("a boundary that is none", data=first)
        self._wanted = _length(headers_of(lines).get("content-length", ""), 10, self._longest)
        del rest[: end + 4]
        return True


class Response:
    """A receiver (see gateway.wire.link) of one answer.

    ``longest``: bytes of a document. ``then``: is called with each part of a multipart body, for which there is no end;
    without it, and for any other body, look at ``body`` when it is complete.
    """

    def __init__(self, longest: int, then: Callable[[bytes], object] | None = None) -> None:
        self.answered = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.closes = False
        """The agent closes the connection after this answer."""
        self.complete = False
        self._longest = longest
        self._then = then
        self._parts: Parts | None = None
        self._rest = bytearray()
        self._steps = self._course()
        next(self._steps)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the answer is whole. Raises ProtocolFault."""
        self._rest += data
        if not self.complete:
            next(self._steps)
        if self.complete and self._rest:
            raise ProtocolFault("bytes that nobody asked for", data=bytes(self._rest[:256]))
        return self.complete

    def _course(self) -> Iterator[None]:
        """What comes after what; stops wherever more bytes are needed."""
        yield from self._head()
        streamed = _BOUNDARY.match(self.headers.get("content-type", ""))
        if streamed and self._then is not None and self.status == 200:
            self._parts = Parts(streamed[1], self._longest, self._then)
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "transfer-encoding" in self.headers:
            raise ProtocolFault(f"transfer encoding {self.headers['transfer-encoding'][:64]!r}")
        elif self._parts is not None and "content-length" not in self.headers:
            while True:  # as long as the connection stands
                yield from self._body(max(len(self._rest), 1))
        else:
            length = _length(self.headers.get("content-length", ""), 10, self._longest)
            yield from self._body(length)
        self.complete = True
        yield

    def _until(self, delimiter: bytes, most: int) -> Iterator[bytes | None]:
        """The bytes before a delimiter, at last; None as long as they are not here."""
        seen = 0
        while True:
            end = self._rest.find(delimiter, seen)
            if end > most or (end < 0 and len(self._rest) >= most + len(delimiter)):
                raise ProtocolFault("this is no HTTP, or too long", data=bytes(self._rest[:256]))
            if end >= 0:
                found = bytes(self._rest[:end])
                del self._rest[: end + len(delimiter)]
                yield found
                return
            seen = max(0, len(self._rest) - len(delimiter) + 1)
            yield None

    def _head(self) -> Iterator[None]:
        while not self._rest:
            yield
        for head in self._until(b"\r\n\r\n", HEAD):
            if head is None:
                begin = bytes(self._rest[:7])
                if not b"HTTP/1.".startswith(begin):
                    raise ProtocolFault("this is no HTTP", data=bytes(self._rest[:256]))
                yield
                continue
            first, *lines = head.split(b"\r\n")
            match = _STATUS.fullmatch(first)
            if match is None or match[1].startswith(b"1"):
                raise ProtocolFault("this is no HTTP answer", data=first)
            self.status = int(match[1])
            self.headers = headers_of(lines)
            if self.headers.get("content-encoding", "identity").lower() != "identity":
                raise ProtocolFault("an encoded answer, which nobody asked for", data=head)
            closing = first.startswith(b"HTTP/1.0") or "close" in self.headers.get("connection", "").lower()
            self.closes = closing and "keep-alive" not in self.headers.get("connection", "").lower()

    def _chunks(self) -> Iterator[None]:
        """RFC 9112, 7.1; extensions of chunks are ignored, trailers too."""
        size = 1
        while size:
            for line in self._until(b"\r\n", _LINE):
                if line is None:
                    yield
                else:
                    size = _length(line.partition(b";")[0].strip().decode("latin-1"), 16, self._longest)
            yield from self._body(size)
            for line in self._until(b"\r\n", HEAD if not size else 0):
                if line is None:
                    yield
                elif line:
                    raise ProtocolFault("a chunk that is longer than it says, or a trailer", data=line)

    def _body(self, size: int) -> Iterator[None]:
        while size:
            if not self._rest:
                yield
                continue
            piece = bytes(self._rest[:size])
            del self._rest[: len(piece)]
            size -= len(piece)
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        if self._parts is not None:
            self._parts.feed(piece)
            self.answered = self._parts.count
        elif len(self.body) + len(piece) > self._longest:
            raise ProtocolFault(f"a document of more than {self._longest} bytes")
        else:
            self.body += piece


class Unasked:
    """A receiver for what arrives between two questions: nothing may."""

    answered = 0

    def feed(self, data: bytes) -> bool:
        """Raises ProtocolFault."""
        raise ProtocolFault("bytes that nobody asked for", data=data)
