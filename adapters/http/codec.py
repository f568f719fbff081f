"""HTTP/1.1 as an exchange: one GET and its answer, and what a status means. Sans-io; h11 knows the grammar.

Clauses: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 7617 (Basic), RFC 6750 (Bearer).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import h11

from gateway.model.faults import AuthFault, Busy, Fault, ProtocolFault, TagFault
from gateway.model.quality import Quality

from .config import HttpConnection
from .packing import CODINGS, BadGzip, TooLarge, gunzip

Field = tuple[str, str]

HEAD_MOST: Final = 16 * 1024
"""Bytes of the head of an answer."""
_BRACKETS: Final = (b"{", b"[", b"<")
LONGEST_WAIT: Final = 3600.0
USUAL_WAIT: Final = 5.0
"""Seconds, when a busy server names none."""


def credentials(connection: HttpConnection) -> list[Field]:
    """Header fields by which we are known (RFC 7617, 2; RFC 6750, 2.1)."""
    fields = [(name, secret.get_secret_value()) for name, secret in connection.headers.items()]
    if connection.bearer is not None:
        fields.append(("Authorization", f"Bearer {connection.bearer.get_secret_value()}"))
    if connection.basic is not None:
        pair = f"{connection.basic.username}:{connection.basic.password.get_secret_value()}"
        fields.append(("Authorization", f"Basic {b64encode(pair.encode()).decode('ascii')}"))
    return fields


def host_field(connection: HttpConnection) -> str:
    """Value of Host (RFC 9110, 7.2)."""
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    usual = 443 if connection.tls else 80
    return host if connection.effective_port == usual else f"{host}:{connection.effective_port}"


class Answer(NamedTuple):
    """What came back, content coding undone."""

    status: int
    fields: dict[str, str]
    """By lower-case name; of several the last."""
    body: bytes


class Exchange:
    """One connection's requests, one after the other, as a receiver (see `gateway.wire.link`).

    ``largest``: bytes of a body, counted while they arrive.
    """

    def __init__(self, where: str, largest: int) -> None:
        self.answered = 0
        self._where = where
        self._largest = largest
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MOST)
        self._head: h11.Response | None = None
        self._body = bytearray()
        self._whole = False

    @property
    def keeps(self) -> bool:
        """True when another request may follow on this connection."""
        return self._http.our_state in (h11.IDLE, h11.DONE) and self._http.their_state in (h11.IDLE, h11.DONE)

    def get(self, target: str, host: str, fields: Sequence[Field] = ()) -> bytes:
        """Begin a GET (RFC 9110, 9.3.1) and return its bytes."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self._head, self._whole = None, False
        self._body.clear()
        own = [("Host", host), ("User-Agent", "xingsha-gateway"), ("Accept-Encoding", "gzip"), *fields]
        request = h11.Request(method="GET", target=target, headers=own)
        return (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the answer is whole. Raises ProtocolFault."""
        try:
            self._http.receive_data(data)
            while not self._whole and self._event():
                pass
        except h11.RemoteProtocolError as error:
            raise ProtocolFault(f"{self._where}: {error}", data=data) from error
        if self._head is None and not b"HTTP/1.".startswith(self._http.trailing_data[0][:7]):
            raise ProtocolFault(f"{self._where}: what answers does not speak HTTP/1.1", data=data)
        if self._whole and self._http.trailing_data[0]:
            raise ProtocolFault(f"{self._where}: bytes that nobody asked for", data=self._http.trailing_data[0])
        return self._whole

    def end(self) -> bool:
        """The peer has closed: True when that was the end of the answer (RFC 9112, 6.3, 8).

        Only a document that tells its own end is believed: a connection that is cut looks the same.
        """
        try:
            return self._head is not None and self._body.lstrip().startswith(_BRACKETS) and self.feed(b"")
        except ProtocolFault:
            return False

    @property
    def answer(self) -> Answer:
        """The answer, once it is whole. Raises ProtocolFault for a content coding that cannot be undone."""
        if self._head is None:
            raise ProtocolFault(f"{self._where}: no answer")
        fields = {name.decode("ascii"): value.decode("latin-1") for name, value in self._head.headers}
        body = unpacked(fields.get("content-encoding", ""), bytes(self._body), self._largest)
        return Answer(self._head.status_code, fields, body)

    def _event(self) -> bool:
        event = self._http.next_event()
        if isinstance(event, h11.Response | h11.InformationalResponse) and not event.http_version.startswith(b"1."):
            raise ProtocolFault(f"{self._where}: what answers does not speak HTTP/1.1")
        if isinstance(event, h11.Response):
            self._head = event
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > self._largest:
                raise ProtocolFault(f"{self._where}: a body of more than {self._largest} bytes (max_body)")
        elif isinstance(event, h11.EndOfMessage):
            self._whole = True
            self.answered += 1
        return event is not h11.NEED_DATA and event is not h11.PAUSED and not isinstance(event, h11.ConnectionClosed)


def unpacked(coding: str, body: bytes, largest: int) -> bytes:
    """Body with its content coding undone (RFC 9110, 8.4), never more than ``largest`` bytes. Raises ProtocolFault."""
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in CODINGS:
        raise ProtocolFault(f"a content coding that was not asked for: {coding[:40]}")
    try:
        return gunzip(body, largest)
    except (BadGzip, TooLarge) as error:
        raise ProtocolFault(str(error), data=body) from error


# What a status means

_PATH: Final = (TagFault, Quality.ADDRESS_REFUSED, "there is nothing at this path")
_FORBIDDEN: Final = (TagFault, Quality.AUTH, "this path is forbidden to us")
_REQUEST: Final = (TagFault, Quality.FUNCTION_REFUSED, "the server refuses this request")
_MOVED: Final = (TagFault, Quality.CONFIG, "the server points elsewhere, which is not followed")
_FAILED: Final = (TagFault, Quality.DEVICE_FAILURE, "the server has failed")
_DENIED: Final = (AuthFault, Quality.AUTH, "the server refuses us")
_BUSY: Final = (Busy, Quality.BUSY, "the server asks for patience")

STATUSES: Final[dict[int, tuple[type[Fault], Quality, str]]] = {
    401: _DENIED, 407: _DENIED, 511: _DENIED,
    403: _FORBIDDEN, 404: _PATH, 410: _PATH,
    408: _BUSY, 425: _BUSY, 429: _BUSY, 503: _BUSY,
}  # fmt: skip
"""RFC 9110, 15.5 and 15.6; RFC 6585 (429, 511); RFC 8470 (425). Fault, quality, words."""
CLASSES: Final[dict[int, tuple[type[Fault], Quality, str]]] = {2: _REQUEST, 3: _MOVED, 4: _REQUEST, 5: _FAILED}
"""All others by their class, as RFC 9110, 15 has it."""


def status_fault(where: str, status: int, fields: dict[str, str]) -> Fault:
    """Fault of a status that brings no document. A TagFault concerns the tags of this path, all else the device."""
    meaning = STATUSES.get(status) or CLASSES.get(status // 100)
    if meaning is None:
        return ProtocolFault(f"{where}: status {status}, which HTTP does not have")
    kind, quality, words = meaning
    text = f"{where}: {words} ({status})"
    if kind is Busy:
        return Busy(text, wait=retry_after(fields))
    if status // 100 == 3:
        text += f": {fields.get('location', 'it does not say where')[:200]}"
    return kind(text, quality=quality)


def retry_after(fields: dict[str, str]) -> float:
    """Seconds that a server wants to be left alone (RFC 9110, 10.2.3), within limits."""
    value = fields.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return min(max(float(value[:9]), 0.1), LONGEST_WAIT)
    try:
        wait = (parsedate_to_datetime(value) - parsedate_to_datetime(fields.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return USUAL_WAIT
    return min(max(wait, 0.1), LONGEST_WAIT)


def conditions(fields: dict[str, str]) -> tuple[Field, ...]:
    """Fields by which the next request asks only for what has changed since this answer (RFC 9110, 13.1)."""
    if tag := fields.get("etag"):
        return (("If-None-Match", tag),)
    return ()
