"""MQTT packets, as a subscriber needs them: made, and taken apart, from bytes alone.

Source: MQTT Version 3.1.1 (OASIS, 29 October 2014) and MQTT Version 5.0 (OASIS, 7 March 2019); the clauses named are
those of 5.0 unless told otherwise. What breaks the standard is a ProtocolFault.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gateway.model.faults import ProtocolFault


class Kind(IntEnum):
    """Packet types (clause 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Property(IntEnum):
    """Properties of MQTT 5 (clause 2.2.2.2) that are made or looked at here."""

    SESSION_EXPIRY = 0x11
    SERVER_KEEP_ALIVE = 0x13
    REASON = 0x1F
    RECEIVE_MAXIMUM = 0x21
    WILDCARDS = 0x28
    SHARED = 0x2A


V311: Final = 4
V5: Final = 5
"""Protocol levels in CONNECT (clause 3.1.2.2)."""
LARGEST: Final = 268_435_455
"""Largest remaining length (clause 1.5.5)."""
PINGREQ: Final = b"\xc0\x00"
_U16: Final = struct.Struct(">H")

_SIZES: Final[dict[int, int]] = {
    0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x18: 4, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1,
    0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
"""Bytes of properties that are numbers of fixed size (clause 2.2.2.2)."""
_TEXTS: Final = frozenset((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F))
"""Properties that are a text or bytes with their length in front."""
_PAIR: Final = 0x26
_VARIABLE: Final = 0x0B


# making


def variable(number: int) -> bytes:
    """Encode a variable byte integer (clause 1.5.5)."""
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def text(value: str | bytes) -> bytes:
    """Encode a UTF-8 string or binary data with its length in front (clauses 1.5.4, 1.5.6)."""
    data = value.encode() if isinstance(value, str) else value
    return _U16.pack(len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    """Put the fixed header in front."""
    return bytes((first,)) + variable(len(body)) + body


@dataclass(frozen=True, slots=True)
class Connect:
    """What a subscriber says when it connects (clause 3.1)."""

    client_id: str
    level: int = V5
    clean: bool = True
    keep_alive: int = 30
    """Seconds."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    session_expiry: int = 0
    """Seconds for which the broker keeps the session after the link ended; for 3.1.1 only whether it is 0."""
    receive_maximum: int = 65_535

    def encode(self) -> bytes:
        """Return the CONNECT packet."""
        flags = self.clean << 1 | (self.password is not None) << 6 | (self.username is not None) << 7
        body = text("MQTT") + bytes((self.level, flags)) + _U16.pack(self.keep_alive)
        if self.level == V5:
            told = bytearray()
            if self.session_expiry:
                told += struct.pack(">BI", Property.SESSION_EXPIRY, self.session_expiry)
            if self.receive_maximum != 65_535:
                told += struct.pack(">BH", Property.RECEIVE_MAXIMUM, self.receive_maximum)
            body += variable(len(told)) + told
        body += text(self.client_id)
        for given in (self.username, self.password):
            if given is not None:
                body += text(given)
        return packet(Kind.CONNECT << 4, body)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter with its options (clause 3.8.3)."""

    topic_filter: str
    qos: int = 1
    retained: bool = False
    """Have retained messages sent when subscribing (5.0 only; a 3.1.1 broker always sends them)."""
    own: bool = True
    """Have what this client itself publishes sent back."""

    def encode(self, level: int) -> bytes:
        """Return its part of a SUBSCRIBE packet."""
        options = self.qos
        if level == V5:
            # retain handling 0: send them at every subscription; 2: never [3.8.3.1]
            options |= (not self.own) << 2 | (0x00 if self.retained else 0x20)
        return text(self.topic_filter) + bytes((options,))


def subscribe(identity: int, subscriptions: Sequence[Subscription], level: int) -> bytes:
    """Return a SUBSCRIBE packet (clause 3.8)."""
    body = _U16.pack(identity) + (b"\0" if level == V5 else b"")
    return packet(Kind.SUBSCRIBE << 4 | 2, body + b"".join(part.encode(level) for part in subscriptions))


def publish(topic: str, payload: bytes, level: int, *, qos: int = 0, identity: int = 0, flags: int = 0) -> bytes:
    """Return a PUBLISH packet (clause 3.3); ``flags``: retain 1, dup 8."""
    body = text(topic) + (_U16.pack(identity) if qos else b"") + (b"\0" if level == V5 else b"") + payload
    return packet(Kind.PUBLISH << 4 | qos << 1 | flags, body)


def disconnect(level: int, reason: int = 0) -> bytes:
    """Return a DISCONNECT packet (clause 3.14); 3.1.1 has no reason."""
    return packet(Kind.DISCONNECT << 4, bytes((reason,)) if level == V5 and reason else b"")


# taking apart


def read_variable(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Decode a variable byte integer; returns it and the place behind it, which is -1 when bytes are missing."""
    number = shift = 0
    for place in range(at, at + 4):
        if place >= len(data):
            return 0, -1
        number |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            if place > at and not data[place]:
                break  # longer than needed [MQTT-1.5.5-1]
            return number, place + 1
        shift += 7
    raise ProtocolFault("MQTT: a length that is none", data=bytes(data[at : at + 8]))


Properties = dict[int, int | bytes]


def properties(data: bytes, at: int) -> tuple[Properties, int]:
    """Decode properties (clause 2.2.2); returns those with one value by identifier, and the place behind them."""
    length, at = read_variable(data, at)
    end = at + length
    if at < 0 or end > len(data):
        raise ProtocolFault("MQTT: properties longer than their packet", data=data)
    found: Properties = {}
    while at < end:
        identity = data[at]
        at += 1
        if size := _SIZES.get(identity):
            found[identity] = int.from_bytes(data[at : at + size], "big")
            at += size
        elif identity in _TEXTS:
            size = _length(data, at, end)
            found[identity] = data[at + 2 : at + 2 + size]
            at += 2 + size
        elif identity == _PAIR:
            at += 2 + _length(data, at, end)
            at += 2 + _length(data, at, end)
        elif identity == _VARIABLE:
            found[identity], at = read_variable(data[:end], at)
        else:
            raise ProtocolFault(f"MQTT: there is no property {identity:#04x}", data=data)
        if at > end or at < 0:
            raise ProtocolFault("MQTT: a property is longer than its packet", data=data)
    return found, end


def _length(data: bytes, at: int, end: int) -> int:
    if at + 2 > end:
        raise ProtocolFault("MQTT: a property is longer than its packet", data=data)
    return data[at] << 8 | data[at + 1]


@dataclass(frozen=True, slots=True)
class Answer:
    """CONNACK, SUBACK or DISCONNECT, taken apart."""

    kind: Kind
    identity: int = 0
    present: bool = False
    """CONNACK: the broker has kept the session."""
    reasons: tuple[int, ...] = (0,)
    told: Properties = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The broker's own reason in words, in brackets; empty when it gives none."""
        reason = self.told.get(Property.REASON)
        if not isinstance(reason, bytes):
            return ""
        readable = "".join(letter for letter in reason.decode("utf-8", "replace") if letter.isprintable())
        return f" ({readable[:200]})"


def answer(kind: int, body: bytes, level: int) -> Answer:
    """Take a CONNACK (3.2), SUBACK (3.9) or DISCONNECT (3.14) apart."""
    told: Properties = {}
    if kind == Kind.CONNACK:
        if len(body) < 2 or body[0] > 1:
            raise ProtocolFault("MQTT: not a CONNACK", data=body)
        if level == V5 and len(body) > 2:
            told, _ = properties(body, 2)
        return Answer(Kind.CONNACK, present=bool(body[0]), reasons=(body[1],), told=told)
    if kind == Kind.SUBACK:
        if len(body) < 3:
            raise ProtocolFault("MQTT: not a SUBACK", data=body)
        told, at = properties(body, 2) if level == V5 else ({}, 2)
        return Answer(Kind.SUBACK, _U16.unpack_from(body)[0], reasons=tuple(body[at:]), told=told)
    if level == V5 and len(body) > 1:
        told, _ = properties(body, 1)
    return Answer(Kind.DISCONNECT, reasons=(body[0] if body else 0,), told=told)


Publish = Callable[[int, bytes, bytes, bytes | None], None]
"""Is given the first byte of a PUBLISH (flags), its topic, its packet id (two bytes, empty for QoS 0), its payload
(None: larger than what is taken)."""
Other = Callable[[int, bytes], None]
"""Is given the first byte of any other packet, and its body."""


class Inbox:
    """Cuts a stream of bytes into packets, and hands them over; the same however the bytes were split.

    A PUBLISH whose payload is too large is skipped as it arrives, without being kept, and handed over without it.
    """

    def __init__(self, level: int, largest: int, on_publish: Publish, on_other: Other) -> None:
        self.held = False
        """Set while packets are not wanted: bytes are kept, up to what arrived at once."""
        self.packets = 0
        """Packets that arrived."""
        self.v5 = level == V5
        """MQTT 5; a broker learns it from the first packet."""
        self._largest = largest
        self._publish, self._other = on_publish, on_other
        self._rest = bytearray()
        self._need = 2
        """Bytes without which nothing can be done."""
        self._skip = 0
        """Bytes of an oversized payload still to come."""

    def feed(self, data: bytes) -> None:
        """Take bytes, and hand over all whole packets. Raises ProtocolFault."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
        self._rest = bytearray(data[self._cut(data) :])

    def _cut(self, data: bytes) -> int:  # noqa: C901, PLR0912 - one call less is a tenth of the cost of a message
        """Hand over the whole packets in ``data``; returns the place behind them."""
        at, size = 0, len(data)
        v5, on_publish, largest = self.v5, self._publish, self._largest
        while size - at >= 2 and not self.held:
            first, length, start = data[at], data[at + 1], at + 2
            if length >= 0x80:
                length, start = read_variable(data, at + 1)
                if start < 0:
                    self._need = size - at + 1
                    return at
            end = start + length
            publishes = 0x30 <= first < 0x40
            if length > largest:
                if not publishes:
                    raise ProtocolFault(f"MQTT: a packet of type {first >> 4} with {length} bytes")
                behind = self._oversized(data, at, start, length)
                if behind < 0:
                    return at
                at = behind
                continue
            if end > size:
                self._need = end - at
                return at
            self.packets += 1
            at = end
            if not publishes:
                self._other(first, data[start:end])
                continue
            body = start + 2 + (data[start] << 8 | data[start + 1]) if length >= 2 else end + 1
            topic, identity = data[start + 2 : body], b""
            if first & 6:
                identity = data[body : body + 2]
                body += 2
            if v5:
                if body < end and not data[body]:
                    body += 1
                else:
                    body = self._behind_properties(data, body, end)
            if body > end or not topic:
                raise ProtocolFault("MQTT: not a PUBLISH", data=data[start : min(end, start + 256)])
            on_publish(first, topic, identity, data[body:end])
        self._need = 2
        return at

    @staticmethod
    def _behind_properties(data: bytes, at: int, end: int) -> int:
        length, behind = read_variable(data, at) if at < end else (0, -1)
        return behind + length if behind > 0 else end + 1

    def _oversized(self, data: bytes, at: int, start: int, length: int) -> int:
        """Skip a PUBLISH that is too large; returns the place behind what is here of it, -1 when its head is not."""
        head = start + 2
        if len(data) >= head:
            head += (data[start] << 8 | data[start + 1]) + (2 if data[at] & 6 else 0)
        if len(data) < head:
            self._need = head - at
            return -1
        split = head - 2 if data[at] & 6 else head
        if head - start > length or split == start + 2:
            raise ProtocolFault("MQTT: not a PUBLISH", data=data[start : start + 256])
        self.packets += 1
        behind = min(len(data), start + length)
        self._skip = start + length - behind
        self._publish(data[at], data[start + 2 : split], data[split:head], None)
        return behind

    def resume(self) -> None:
        """Hand over what was kept while held."""
        self.held = False
        data = bytes(self._rest)
        self._rest = bytearray()
        self._rest = bytearray(data[self._cut(data) :])
