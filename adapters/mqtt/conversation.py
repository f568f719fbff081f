"""One MQTT session as it goes on: who has to be answered, what was acknowledged, which deliveries come twice.

Sans-io: bytes in; messages, answers and bytes to be sent out. Acknowledgements are kept back, to be sent when what was
delivered is safe. MQTT 5.0 clauses 4.3 (quality of service), 4.9 (flow control).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adapters.mqtt.codec import V5, Answer, Inbox, Kind, answer, disconnect
from adapters.mqtt.codes import disconnect_fault
from gateway.model.faults import Fault, ProtocolFault

Deliver = Callable[[bytes, bytes | None, bool], object]
"""Is given topic, payload (None: larger than what is taken), and whether it is an old message that was retained."""

_PUBACK: Final = b"\x40\x02"
_PUBREC: Final = b"\x50\x02"
_PUBCOMP: Final = b"\x70\x02"
_RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93


class Conversation:
    """A receiver for `gateway.wire.link`. ``known``: packet ids of QoS 2 deliveries that are not completed, which
    outlive the link as long as the broker keeps the session."""

    def __init__(self, where: str, level: int, largest: int, receive_maximum: int, known: set[bytes]) -> None:
        self.inbox = Inbox(level, largest, self._publish, self._other)
        self.ended: Fault | None = None
        """Why the broker closed the connection, once it has said so."""
        self.answers: list[Answer] = []
        """CONNACK and SUBACKs that arrived."""
        self.deliver: Deliver = lambda _topic, _payload, _retained: None
        self.flush: Callable[[], None] = lambda: None
        """Called after bytes were taken, when there is something in ``replies`` or ``acks``."""
        self.replies = bytearray()
        """To be sent at once."""
        self.acks = bytearray()
        """To be sent when all that was delivered is safe."""
        self.unsafe = 0
        """Deliveries whose acknowledgement was not sent."""
        self.answered = 0
        self._greeted = False
        self._kind: Kind | None = None
        self._count = 0
        self._where = where
        self._level = level
        self._most = receive_maximum
        self._known = known

    def expect(self, kind: Kind, count: int) -> None:
        """So many answers of a kind are to come; no other answer may."""
        self.answers, self._kind, self._count = [], kind, count

    @property
    def complete(self) -> bool:
        """True when no answer is to come any more."""
        return self._kind is None

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the last answer expected is among them, or nothing more can be taken.

        Raises ProtocolFault.
        """
        if not self._greeted and data:
            if data[0] >> 4 != Kind.CONNACK:
                raise ProtocolFault(f"{self._where}: what answers is no MQTT broker", data=data)
            self._greeted = True
        waiting = not self.complete
        self.inbox.feed(data)
        return self._after() or (waiting and self.complete)

    def resume(self) -> None:
        """Go on after being held. Raises ProtocolFault."""
        self.inbox.resume()
        self._after()

    def _after(self) -> bool:
        self.answered = self.inbox.packets
        if self.acks or self.replies:
            self.flush()
        return self.inbox.held

    def take_acks(self) -> tuple[bytes, int]:
        """Return the acknowledgements gathered so far, and of how many deliveries they are."""
        acks, self.acks = bytes(self.acks), bytearray()
        return acks, len(acks) // 4

    def _publish(self, first: int, topic: bytes, identity: bytes, payload: bytes | None) -> None:
        if not first & 6:
            self.deliver(topic, payload, bool(first & 1))
            return
        if first & 6 == 6 or identity == b"\0\0":
            raise ProtocolFault(f"{self._where}: a PUBLISH with QoS {first >> 1 & 3} and packet id {identity.hex()}")
        self.unsafe += 1
        if self._level == V5 and self.unsafe > self._most:
            self.replies += disconnect(V5, _RECEIVE_MAXIMUM_EXCEEDED)
            self.flush()
            raise ProtocolFault(f"{self._where}: more than {self._most} messages that are not acknowledged")
        if first & 4:
            self.acks += _PUBREC + identity
            if identity in self._known:
                return
            self._known.add(identity)
        else:
            self.acks += _PUBACK + identity
        self.deliver(topic, payload, bool(first & 1))

    def _other(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == Kind.PINGRESP:
            return
        if kind == Kind.PUBREL and len(body) >= 2:
            self._known.discard(body[:2])
            self.replies += _PUBCOMP + body[:2]
        elif kind == self._kind:
            self.answers.append(answer(kind, body, self._level))
            if len(self.answers) == self._count:
                self._kind = None
            # behind a CONNACK may come at once what the broker kept for us: not before somebody is there to take it
            self.inbox.held |= kind == Kind.CONNACK
        elif kind == Kind.DISCONNECT and self._level == V5:
            self.ended = disconnect_fault(self._where, answer(kind, body, self._level))
            self.inbox.held = True
        else:
            raise ProtocolFault(f"{self._where}: a packet of type {kind} that nobody asked for", data=body)
