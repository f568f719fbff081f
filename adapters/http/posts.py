"""The receiving end of a webhook: where a request ends, what it says, and answers. Sans-io.

Only what a machine needs that posts: a head, and a body of told length or in chunks (RFC 9112, 6 and 7.1). Where a
request could be read in two ways, it is refused, and the connection ends: what stands in front of us might have read it
in the other (RFC 9112, 11.2).
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.model.faults import ProtocolFault
from gateway.wire.framing import Cut, Framing

from .chunks import Chunks
from .refused import Refused

HEAD_MOST: Final = 16 * 1024
UNKNOWN_MOST: Final = 16 * 1024
"""Bytes of a body that are taken from one who does not say who it is: enough to read it, and say no in good order."""
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_END: Final = b"\r\n\r\n"
_START: Final = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,8000}) HTTP/1\.([01])")
# Values are stripped afterwards: a pattern that leaves the blanks around them out takes quadratic time to fail.
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)")
_FRAMED: Final = re.compile(rb"\r\n(content-length|transfer-encoding|expect):([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(rb"\r\nauthorization:([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_ONCE: Final = frozenset(
    {"content-length", "transfer-encoding", "authorization", "content-type", "content-encoding", "expect"}
)
_PHRASES: Final = {
    200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
    405: "Method Not Allowed", 413: "Content Too Large", 415: "Unsupported Media Type", 501: "Not Implemented",
    503: "Service Unavailable",
}  # fmt: skip


class Post(NamedTuple):
    """A request, taken apart."""

    method: str
    path: str
    """Without its query."""
    fields: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    """Out of its chunks, but as it is coded."""
    keeps: bool
    """The connection may be used for another request."""
    waits: bool = False
    """Its body is not here: the machine wants to be told first that it may send it (RFC 9110, 10.1.1). If it is told to
    go on, the same request comes again, whole."""


def request_framing(largest: int, authorization: bytes | None = None) -> Framing:
    """Frames of one connection that are requests; of one whose body is not to be taken, what is needed to say so.

    A request with ``Expect: 100-continue`` is two frames: its head, and then head and body. Raises ProtocolFault for an
    endless head. ``authorization``: what the field of that name must say before more than `UNKNOWN_MOST` bytes of a
    body are kept for anybody.
    """
    return _Requests(largest, authorization)


class _Requests:
    """A framing with a memory: of a body in many chunks, each is looked at once."""

    def __init__(self, largest: int, authorization: bytes | None) -> None:
        self._largest = largest
        self._authorization = authorization
        self._body = 0
        """Where the body begins; 0: the head is not whole yet."""
        self._size = 0
        self._chunks: Chunks | None = None
        self._known = False
        """What it sends may be kept."""
        self._over = False
        """The next request cannot be found any more: all that comes is dropped until the connection is closed."""

    def __call__(self, data: bytearray, seen: int) -> Cut | None:
        if self._over:
            return Cut(0, len(data))
        if not self._body:
            end = data.find(_END, max(0, seen - 3), HEAD_MOST)
            if end < 0:
                if len(data) >= HEAD_MOST:
                    raise ProtocolFault(f"a head of more than {HEAD_MOST} bytes", data=bytes(data[:256]))
                return None
            if (cut := self._begin(data, end)) is not None:
                return cut
        try:
            end = self._body + self._size if self._chunks is None else self._end_of_chunks(self._chunks, data)
        except Refused:  # which `parse` finds as well, where it is shown the body
            self._over = True
            return Cut(len(data) if self._known else self._body, len(data))
        if not 0 < end <= len(data):
            return None
        self._body = 0
        return Cut(end, end)

    def _begin(self, data: bytearray, end: int) -> Cut | None:
        """Learn from the head what follows; a cut when that is not to be awaited."""
        found: dict[bytes, bytes] = {}
        sound = True
        for name, value in _FRAMED.findall(data, 0, end + 2):
            key = name.lower()
            sound = sound and key not in found
            found[key] = value.strip(b" \t")
        coding, length = found.get(b"transfer-encoding"), found.get(b"content-length", b"0")
        size = int(length) if _LENGTH.fullmatch(length) else -1
        if coding is not None:
            sound = sound and coding.lower() == b"chunked" and b"content-length" not in found
        self._body = end + 4
        self._size = size
        self._known = (size <= UNKNOWN_MOST and coding is None) or admitted(data, end, self._authorization)
        if not sound or not 0 <= size <= self._largest or not (self._known or coding is not None):
            self._over = True
            return Cut(self._body, len(data))
        most = self._largest if self._known else min(self._largest, UNKNOWN_MOST)
        self._chunks = Chunks(self._body, most) if coding is not None else None
        if b"expect" in found and (coding is not None or size):
            start = bytes(data[: data.find(b"\r\n")])
            if _waits(found[b"expect"], start):
                return Cut(self._body, 0)  # it stays, and comes again with its body
        return None

    @staticmethod
    def _end_of_chunks(chunks: Chunks, data: bytearray) -> int:
        return chunks.at if chunks.whole(data) else 0


def _waits(expect: bytes, start: bytes) -> bool:
    """Tell whether the body comes once we said so; HTTP/1.0 does not know that (RFC 9110, 10.1.1)."""
    return expect.lower() == b"100-continue" and start.endswith(b"1")


def admitted(data: bytes | bytearray, end: int, authorization: bytes | None) -> bool:
    """Tell whether the one Authorization field in the head, which ends at ``end``, says the right thing."""
    if authorization is None:
        return True
    found = _AUTHORIZATION.findall(data, 0, end + 2)
    return len(found) == 1 and hmac.compare_digest(found[0].strip(b" \t"), authorization)


def parse(frame: bytes, largest: int) -> Post:
    """Take a request apart. Raises Refused, after which the connection must end: 400, 413, 501."""
    head, _, body = frame.partition(_END)
    start, *lines = head.split(b"\r\n")
    match = _START.fullmatch(start)
    if match is None:
        raise Refused(400, "bad_request", "this is no HTTP/1.1 request")
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        name = found[1].decode("ascii").lower() if found else ""
        if found is None or (name in fields and name in _ONCE):
            raise Refused(400, "bad_request", "a header line that is no field, or comes twice")
        fields[name] = found[2].strip(b" \t").decode("latin-1")
    if "transfer-encoding" in fields:
        taken = _unchunked(fields, body, largest, modern=match[3] == b"1")
        whole, expects = taken is not None, True
        body = b"" if taken is None else taken
    else:
        size = _told(fields, largest)
        whole, expects = len(body) == size, size > 0
    waits = not whole and not body and expects and _waits(fields.get("expect", "").encode("latin-1"), start)
    options = fields.get("connection", "").lower()
    keeps = "close" not in options and (match[3] == b"1" or "keep-alive" in options)
    path = match[2].decode("ascii").partition("?")[0]
    # where the body is not whole, the rest of it is yet to come, and no other request
    return Post(match[1].decode("ascii"), path, fields, body, keeps and whole, waits)


def _told(fields: Mapping[str, str], largest: int) -> int:
    length = fields.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise Refused(400, "bad_request", "Content-Length is no number")
    if len(length) > 15 or int(length) > largest:
        raise Refused(413, "too_large", f"the body may have {largest} bytes")
    return int(length)


def _unchunked(fields: Mapping[str, str], body: bytes, largest: int, *, modern: bool) -> bytes | None:
    """What is in the chunks; None when they are not all there."""
    if "content-length" in fields or not modern:  # RFC 9112, 6.1
        raise Refused(400, "bad_request", "Transfer-Encoding with Content-Length, or in HTTP/1.0")
    if fields["transfer-encoding"].lower() != "chunked":
        raise Refused(501, "transfer_unsupported", "chunked is the only transfer coding that is taken")
    taken = bytearray()
    return bytes(taken) if Chunks(0, largest).whole(body, taken) else None


def reply(status: int, body: bytes = b"", *fields: str, closes: bool = False) -> bytes:
    """Bytes of an answer."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}", *fields]
    if status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    if closes:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def refusal(status: int, code: str, message: str, *fields: str, closes: bool = False) -> bytes:
    """Bytes of an answer that says no, with a body for programs and people."""
    body = json.dumps({"code": code, "message": message}).encode()
    return reply(status, body, "Content-Type: application/json", *fields, closes=closes)
