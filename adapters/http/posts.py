"""The receiving end of a webhook: where a request ends, what it says, and answers. Sans-io.

Only what a machine needs that posts: a head and a body of told length (RFC 9112, 6.2). A body in chunks is answered
with 411, which RFC 9110 (15.5.12) has for servers that want to know the length first.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.model.faults import ProtocolFault
from gateway.wire.framing import Cut, Framing

HEAD_MOST: Final = 16 * 1024
UNKNOWN_MOST: Final = 16 * 1024
"""Bytes of a body that are taken from one who does not say who it is: enough to read it, and say no in good order."""
_END: Final = b"\r\n\r\n"
_START: Final = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,8000}) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(rb"\r\nauthorization:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_PHRASES: Final = {
    200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
    405: "Method Not Allowed", 411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type",
    503: "Service Unavailable",
}  # fmt: skip


class Refused(Exception):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Post(NamedTuple):
    """A request, taken apart."""

    method: str
    path: str
    """Without its query."""
    fields: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    keeps: bool
    """The connection may be used for another request."""


def request_framing(largest: int, authorization: bytes | None = None) -> Framing:
    """Frames that are requests; of one whose body is longer than ``largest``, or in chunks, the head alone, so that it
    can be answered. Raises ProtocolFault for an endless head.

    ``authorization``: what the field of that name must say before more than `UNKNOWN_MOST` bytes are kept for anybody.
    """

    def framing(data: bytearray, _seen: int) -> Cut | None:
        end = data.find(_END, 0, HEAD_MOST)
        if end < 0:
            if len(data) >= HEAD_MOST:
                raise ProtocolFault(f"a head of more than {HEAD_MOST} bytes", data=bytes(data[:256]))
            return None
        lengths = _LENGTH.findall(data, 0, end + 2)
        size = int(lengths[0]) if len(lengths) == 1 else 0
        whole = end + 4 + size
        if size > largest or (size > UNKNOWN_MOST and not admitted(data, end, authorization)):
            return Cut(end + 4, len(data))
        return Cut(whole, whole) if len(data) >= whole else None

    return framing


def admitted(data: bytes | bytearray, end: int, authorization: bytes | None) -> bool:
    """Tell whether the one Authorization field in the head, which ends at ``end``, says the right thing."""
    if authorization is None:
        return True
    found = _AUTHORIZATION.findall(data, 0, end + 2)
    return len(found) == 1 and hmac.compare_digest(found[0], authorization)


def parse(frame: bytes, largest: int) -> Post:
    """Take a request apart. Raises Refused, after which the connection must end: 400, 411, 413."""
    head, _, body = frame.partition(_END)
    start, *lines = head.split(b"\r\n")
    match = _START.fullmatch(start)
    if match is None:
        raise Refused(400, "bad_request", "this is no HTTP/1.1 request")
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        name = found[1].decode("ascii").lower() if found else ""
        if found is None or (name in fields and name in {"content-length", "authorization", "content-type"}):
            raise Refused(400, "bad_request", "a header line that is no field, or comes twice")
        fields[name] = found[2].decode("latin-1")
    if "transfer-encoding" in fields:
        raise Refused(411, "length_required", "send Content-Length; a body in chunks is not taken")
    length = fields.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise Refused(400, "bad_request", "Content-Length is no number")
    if int(length) > largest:
        raise Refused(413, "too_large", f"the body may have {largest} bytes")
    options = fields.get("connection", "").lower()
    keeps = "close" not in options and (match[3] == b"1" or "keep-alive" in options)
    path = match[2].decode("ascii").partition("?")[0]
    keeps = keeps and len(body) == int(length)  # else the rest of it is yet to come
    return Post(match[1].decode("ascii"), path, fields, body, keeps)


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
