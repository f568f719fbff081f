"""A small MQTT broker in this process, for the simulator: sessions, QoS 0 to 2 towards subscribers, retained messages.

Speaks 3.1.1 and 5 on real sockets. It keeps everything in memory, and has what a test needs: it can fall silent, hang
up, and refuse; it counts what a client does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from adapters.mqtt.codec import LARGEST, V5, V311, Inbox, Kind, Properties, Property, packet, properties, publish
from adapters.mqtt.topics import covers, unshared
from gateway.model.faults import ProtocolFault

Hear = Callable[[str, bytes], None]
_PERSISTENT_311: Final = 0xFFFF_FFFF


@dataclass(slots=True)
class Counters:
    """What the broker saw: for tests that a client keeps the limits it declares."""

    sessions: int = 0
    """Connections now open."""
    sessions_most: int = 0
    in_flight_most: int = 0
    """Most messages sent to a client and not yet acknowledged."""
    pdu_most: int = 0
    """Largest packet sent to a client, bytes."""
    requests: int = 0
    """Packets received."""
    acknowledged: int = 0
    """Messages that a client acknowledged (QoS 1: PUBACK, QoS 2: PUBCOMP)."""


@dataclass(slots=True)
class Faults:
    """How the broker misbehaves; the default is not at all."""

    silent: bool = False
    """Answers nothing."""
    connack: int = 0
    """Reason with which connections are refused."""
    suback: dict[str, int] = field(default_factory=dict)
    """Reasons with which topic filters are refused."""
    forget: bool = False
    """Keeps no session."""


@dataclass(slots=True)
class Kept:
    """A session: what outlives a connection."""

    client_id: str
    expiry: int = 0
    filters: dict[str, int] = field(default_factory=dict)
    """Granted quality of service by topic filter."""
    waiting: deque[tuple[str, bytes, int, bool]] = field(default_factory=deque)
    """Messages (topic, payload, qos, retained) that could not be sent yet."""
    flying: dict[int, tuple[str, bytes, int, bool]] = field(default_factory=dict)
    """Sent, and not acknowledged, by packet id."""
    released: set[int] = field(default_factory=set)
    """QoS 2: received by the client, and not completed."""
    client: Client | None = None
    last_id: int = 0

    def next_id(self) -> int:
        """Return a packet id that is not in use."""
        while True:
            self.last_id = self.last_id % 65_535 + 1
            if self.last_id not in self.flying:
                return self.last_id


class Broker:
    """See the module. ``hear``: called with every message that a client publishes."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        """0: chosen at start."""
        self.faults = Faults()
        self.counters = Counters()
        self.sessions: dict[str, Kept] = {}
        self.retained: dict[str, bytes] = {}
        self.hear: Hear = lambda _topic, _payload: None
        self.subscribed: Callable[[str], None] = lambda _filter: None
        """Called when a client has subscribed to a filter."""
        self.clients: set[Client] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Client(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop, and close every connection."""
        if self._server is not None:
            self._server.close()
        self.hang_up()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection, as a broker that restarts and keeps its sessions."""
        for client in tuple(self.clients):
            client.close()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send a message to all subscribers, now or when they are back."""
        if retain:
            self.retained[topic] = payload
        groups: set[str] = set()
        for kept in tuple(self.sessions.values()):
            granted = -1
            for topic_filter, most in kept.filters.items():
                if covers(unshared(topic_filter), topic):
                    if topic_filter.startswith("$share/") and (topic_filter in groups or kept.client is None):
                        continue
                    groups.add(topic_filter)
                    granted = max(granted, most)
            if granted >= 0:
                self.send(kept, topic, payload, min(qos, granted), retained=False)

    def send(self, kept: Kept, topic: str, payload: bytes, qos: int, *, retained: bool) -> None:
        """Send a message in a session, or keep it."""
        client = kept.client
        if client is not None and (qos == 0 or len(kept.flying) < client.receive_maximum):
            identity = 0
            if qos:
                identity = kept.next_id()
                kept.flying[identity] = (topic, payload, qos, retained)
                self.counters.in_flight_most = max(self.counters.in_flight_most, len(kept.flying))
            client.send(publish(topic, payload, client.level, qos=qos, identity=identity, flags=int(retained)))
        elif qos:
            kept.waiting.append((topic, payload, qos, retained))

    def go_on(self, kept: Kept) -> None:
        """Send what waits, as far as the client takes it."""
        while kept.client is not None and kept.waiting and len(kept.flying) < kept.client.receive_maximum:
            topic, payload, qos, retained = kept.waiting.popleft()
            self.send(kept, topic, payload, qos, retained=retained)


class Client(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.level = V311
        self.receive_maximum = 65_535
        self.kept: Kept | None = None
        self._inbox = Inbox(V311, LARGEST, self._published, self._other)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        self._transport = cast("asyncio.Transport", transport)
        self.broker.clients.add(self)
        counters = self.broker.counters
        counters.sessions += 1
        counters.sessions_most = max(counters.sessions_most, counters.sessions)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Leave."""
        self.broker.clients.discard(self)
        self.broker.counters.sessions -= 1
        if self.kept is not None and self.kept.client is self:
            self.kept.client = None
            if not self.kept.expiry or self.broker.faults.forget:
                self.broker.sessions.pop(self.kept.client_id, None)

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """Send a packet."""
        self.broker.counters.pdu_most = max(self.broker.counters.pdu_most, len(data))
        if self._transport is not None and not self._transport.is_closing() and not self.broker.faults.silent:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Act on all whole packets."""
        try:
            self._inbox.feed(data)
        except (ProtocolFault, IndexError, UnicodeDecodeError):
            self.close()

    def _published(self, first: int, topic: bytes, identity: bytes, payload: bytes | None) -> None:
        self.broker.counters.requests += 1
        if first & 6:
            self.send(packet((Kind.PUBACK if first & 6 == 2 else Kind.PUBREC) << 4, identity))
        self.broker.hear(topic.decode(), payload or b"")
        self.broker.publish(topic.decode(), payload or b"", qos=first >> 1 & 3, retain=bool(first & 1))

    def _other(self, first: int, body: bytes) -> None:
        self.broker.counters.requests += 1
        kind = first >> 4
        if kind == Kind.CONNECT:
            self._connect(body)
        elif self.kept is None:
            self.close()
        elif kind == Kind.SUBSCRIBE:
            self._subscribe(self.kept, body)
        elif kind in (Kind.PUBACK, Kind.PUBREC, Kind.PUBCOMP):
            self._acknowledged(self.kept, kind, int.from_bytes(body[:2], "big"))
        elif kind == Kind.PUBREL:
            self.send(packet(Kind.PUBCOMP << 4, body[:2]))
        elif kind == Kind.PINGREQ:
            self.send(packet(Kind.PINGRESP << 4, b""))
        else:
            self.close()

    def _connect(self, body: bytes) -> None:
        """CONNECT, clause 3.1: protocol name, level, flags, keep alive, properties, client id."""
        self.level, flags = body[6], body[7]
        self._inbox.v5 = self.level == V5
        at = 10
        told: Properties = {}
        if self.level == V5:
            told, at = properties(body, at)
        client_id = body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")].decode()
        broker = self.broker
        if broker.faults.connack:
            self.send(packet(Kind.CONNACK << 4, bytes((0, broker.faults.connack)) + b"\0" * (self.level == V5)))
            self.close()
            return
        self.receive_maximum = int(told.get(Property.RECEIVE_MAXIMUM, 65_535))
        kept = broker.sessions.get(client_id)
        if kept is not None and kept.client is not None:
            kept.client.close()
        present = kept is not None and not flags & 2
        if kept is None or not present:
            kept = broker.sessions[client_id] = Kept(client_id)
        self.kept, kept.client = kept, self
        expiry = int(told.get(Property.SESSION_EXPIRY, 0))
        kept.expiry = expiry if self.level == V5 else (0 if flags & 2 else _PERSISTENT_311)
        self.send(packet(Kind.CONNACK << 4, bytes((present, 0)) + b"\0" * (self.level == V5)))
        for identity, (topic, payload, qos, retained) in tuple(kept.flying.items()):
            if identity in kept.released:
                self.send(packet(Kind.PUBREL << 4 | 2, identity.to_bytes(2, "big")))
            else:
                self.send(publish(topic, payload, self.level, qos=qos, identity=identity, flags=8 | int(retained)))
        broker.go_on(kept)

    def _subscribe(self, kept: Kept, body: bytes) -> None:
        """SUBSCRIBE, clause 3.8: packet id, properties, filters with options."""
        at = properties(body, 2)[1] if self.level == V5 else 2
        reasons = bytearray()
        granted: list[tuple[str, int]] = []
        while at < len(body):
            length = int.from_bytes(body[at : at + 2], "big")
            topic_filter, options = body[at + 2 : at + 2 + length].decode(), body[at + 2 + length]
            at += 3 + length
            reason = self.broker.faults.suback.get(topic_filter, options & 3)
            reasons.append(reason)
            if reason <= 2:
                kept.filters[topic_filter] = reason
                granted.append((topic_filter, options))
        self.send(packet(Kind.SUBACK << 4, body[:2] + b"\0" * (self.level == V5) + reasons))
        for topic_filter, options in granted:
            if not options & 0x20 and not topic_filter.startswith("$share/"):
                for topic, payload in self.broker.retained.items():
                    if covers(topic_filter, topic):
                        self.broker.send(kept, topic, payload, options & 3, retained=True)
            self.broker.subscribed(topic_filter)

    def _acknowledged(self, kept: Kept, kind: int, identity: int) -> None:
        if kind == Kind.PUBREC:
            kept.released.add(identity)
            self.send(packet(Kind.PUBREL << 4 | 2, identity.to_bytes(2, "big")))
            return
        kept.released.discard(identity)
        if kept.flying.pop(identity, None) is not None:
            self.broker.counters.acknowledged += 1
        self.broker.go_on(kept)
