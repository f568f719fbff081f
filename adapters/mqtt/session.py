"""One established session with a broker: subscribes, hands over what arrives, acknowledges what is safe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn, cast

from adapters.mqtt.codec import PINGREQ, Answer, Connect, Kind, Property, Subscription, disconnect, publish, subscribe
from adapters.mqtt.codes import connect_fault, subscribe_fault
from adapters.mqtt.config import MqttConnection, MqttDevice
from adapters.mqtt.conversation import Conversation, Deliver
from adapters.mqtt.payload import Delivery
from adapters.mqtt.plan import kept_for_us
from adapters.mqtt.routes import Routes
from gateway.sdk import Fault, Feed, Feeds, LinkLost, ProtocolFault, TagFault, Timeout
from gateway.wire.link import StreamLink

FILTERS_AT_ONCE: Final = 8
"""Filters in one SUBSCRIBE: some cloud brokers take no more. The packets go out together."""
HEAD: Final = 70_000
"""Bytes of a PUBLISH beside its payload: topic, and some properties."""
BEATS: Final = 2
"""Keep-alives sent in the time that the broker waits for one."""


class MqttSession:
    """One established session."""

    def __init__(self, connection: MqttConnection, link: StreamLink, known: set[bytes]) -> None:
        self.link = link
        self.conversation = Conversation(
            link.name, connection.level, connection.max_payload + HEAD, connection.receive_maximum, known
        )
        self._connection = connection
        self._keepalive = connection.keepalive
        self._feeds: Feeds | None = None
        self._delivery: Delivery | None = None
        self._known = known
        self._present = False
        link.stray = self.conversation
        self.conversation.flush = self._flush

    async def connect(self, client_id: str, *, clean: bool) -> Answer:
        """Introduce ourselves; returns what the broker says. Raises AuthFault, ConfigFault, LinkLost, ProtocolFault."""
        c = self._connection
        # the largest packet is not told: a broker would leave out what is larger, and nobody would know
        hello = Connect(
            client_id,
            level=c.level,
            clean=clean,
            keep_alive=max(1, int(c.keepalive)),
            username=c.username,
            password=None if c.password is None else c.password.get_secret_value(),
            session_expiry=0 if clean else max(1, int(c.session)),
            receive_maximum=c.receive_maximum,
        )
        (found,) = await self._answers(hello.encode(), Kind.CONNACK, 1)
        refusal = connect_fault(self.link.name, found, c.level)
        if refusal is not None:
            raise refusal
        self._keepalive = float(int(found.told.get(Property.SERVER_KEEP_ALIVE, 0)) or self._keepalive)
        self.link.beat(PINGREQ, self._keepalive / BEATS)
        self._present = found.present
        if not found.present:
            self._known.clear()
        self.link.hold(held=True)  # a session that was kept goes on at once, and nobody is there yet to take anything
        return found

    def leave(self) -> None:
        """Say good-bye; the broker keeps the session for as long as was agreed."""
        with suppress(LinkLost):
            self.link.post(disconnect(self._connection.level))

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Subscribe to the topics of all feeds, and hand over what arrives; see gateway.sdk.Subscribes."""
        self._feeds = feeds
        self._delivery = delivery = Delivery(feeds, self._hold)
        routes = Routes(self._connection, delivery, self.ask)
        self.deliver_to(routes.deliver)
        reasons = await self.request([subscription for subscription, _ in routes.asked])
        self._judge(reasons, [concerned for _, concerned in routes.asked])
        for node in routes.nodes:
            node.ask()
        while True:
            await self._take(self._keepalive)

    async def read_history(self, feed: Feed, since: int, until: int) -> None:
        """Nothing has to be asked for: a broker that has kept our session sends what came meanwhile by itself.

        Raises TagFault where it did not, or does not for such a device: then the time from ``since`` to ``until`` is
        a gap.
        """
        del since, until
        if not self._present or not kept_for_us(self._connection, cast("MqttDevice", feed.device)):
            raise TagFault(f"{self.link.name} has kept no messages of {feed.name}", code="session_not_kept")

    async def request(self, subscriptions: Sequence[Subscription]) -> list[Fault | None]:
        """Subscribe, and take what comes meanwhile; returns for each what speaks against it, if anything."""
        level = self._connection.level
        parts = [subscriptions[at : at + FILTERS_AT_ONCE] for at in range(0, len(subscriptions), FILTERS_AT_ONCE)]
        packets = b"".join(subscribe(number, part, level) for number, part in enumerate(parts, 1))
        answers = {found.identity: found for found in await self._answers(packets, Kind.SUBACK, len(parts))}
        verdicts: list[Fault | None] = []
        for number, part in enumerate(parts, 1):
            found = answers.get(number)
            if found is None or len(found.reasons) != len(part):
                raise ProtocolFault(f"{self.link.name}: a SUBACK that does not answer its SUBSCRIBE")
            for reason, subscription in zip(found.reasons, part, strict=True):
                verdicts.append(subscribe_fault(f"{self.link.name}, {subscription.topic_filter}", reason, found))
        return verdicts

    def deliver_to(self, deliver: Deliver) -> None:
        """Name who is given what arrives from now on."""
        self.conversation.deliver = deliver

    async def listen(self, seconds: float) -> None:
        """Hand over whatever arrives for some time. Raises a Fault."""
        self._go_on()
        try:
            await self.link.exchange(b"", _Unmoved(self.conversation), seconds)
        except Timeout:
            return
        except LinkLost:
            self._check()
            raise
        self._check()

    # inside

    def _judge(self, verdicts: Sequence[Fault | None], concerned: Sequence[Sequence[Feed]]) -> None:
        """A filter that is refused takes down the devices that need it; the session only when all are refused."""
        faults = [verdict for verdict in verdicts if verdict is not None]
        if faults and len(faults) == len(verdicts):
            raise faults[0]
        for verdict, feeds in zip(verdicts, concerned, strict=True):
            for feed in feeds if verdict is not None else ():
                feed.fail(verdict)  # type: ignore[arg-type] # not None, as the line above says

    async def _answers(self, data: bytes, kind: Kind, count: int) -> list[Answer]:
        """Send packets and wait for so many answers of a kind. Raises a Fault."""
        conversation = self.conversation
        if count:
            conversation.expect(kind, count)
            self._go_on()
            await self._take(self._connection.timeout, data)
            while not conversation.complete:
                await self._take(self._connection.timeout)
        return conversation.answers

    async def _take(self, patience: float, data: bytes = b"") -> None:
        """Take what arrives until what is waited for is here, or there is no room; then wait for room."""
        try:
            await self.link.exchange(data, self.conversation, patience)
        except Timeout as fault:
            raise LinkLost(str(fault), code="no_answer") from fault
        except LinkLost:
            self._check()  # the broker may have said why
            raise
        self._check()
        if self._delivery is not None and self._delivery.kept:
            await self._make_room(self._delivery)

    async def _make_room(self, delivery: Delivery) -> None:
        """Read nothing more until all that arrived has been taken."""
        self.link.hold(held=True)
        while delivery.kept:
            while not delivery.drain():
                await delivery.feeds.room()
            self.conversation.resume()
            self._check()
        self.link.hold(held=False)

    def _go_on(self) -> None:
        """Take what was kept, and read on."""
        if self.conversation.inbox.held:
            self.conversation.resume()
        self.link.hold(held=False)

    def _check(self) -> None:
        if self.conversation.ended is not None:
            raise self.conversation.ended

    def _hold(self) -> None:
        self.conversation.inbox.held = True

    def _flush(self) -> None:
        """Answer what can be answered at once; acknowledge the rest as soon as it is safe."""
        conversation = self.conversation
        if conversation.replies:
            replies, conversation.replies = bytes(conversation.replies), bytearray()
            with suppress(LinkLost):  # the exchange under way tells
                self.link.post(replies)
        if not conversation.acks or (self._delivery is not None and self._delivery.kept):
            return
        acks, count = conversation.take_acks()

        def safe() -> None:
            conversation.unsafe -= count
            if not self.link.lost:
                with suppress(LinkLost):
                    self.link.post(acks)

        if self._feeds is None:
            safe()  # somebody only looks; nothing is to be kept
        else:
            self._feeds.when_durable(safe)

    def ask(self, topic: str, payload: bytes) -> None:
        """Publish a command, QoS 0."""
        with suppress(LinkLost):
            self.link.post(publish(topic, payload, self._connection.level))


class _Unmoved:
    """A receiver whose time-out passes however much arrives: the link's clock as an alarm."""

    answered = 0

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def feed(self, data: bytes) -> bool:
        """See gateway.wire.link.Receiver."""
        return self._conversation.feed(data)
