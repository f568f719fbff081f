"""The MQTT adapter: plans, opens, probes, browses. When and how often is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

from adapters.mqtt.browse import Births, Gathered, Topics
from adapters.mqtt.codec import Answer, Subscription
from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag, PayloadFormat
from adapters.mqtt.nodes import NAMESPACE
from adapters.mqtt.plan import make_plan
from adapters.mqtt.session import MqttSession
from adapters.mqtt.topics import unshared
from gateway.sdk import AuthFault, DeviceConfig, Fault, Limits, Node, Plan, Probed, ProtocolFault, TagConfig
from gateway.wire.connect import open_tcp


class MqttAdapter:
    """One connection: a session with a broker, and the machines that publish there."""

    def __init__(self, connection: MqttConnection) -> None:
        self.connection = connection
        self.limits = Limits(sessions=1, in_flight=connection.receive_maximum)
        self.known: set[bytes] = set()
        """Packet ids of QoS 2 deliveries that are not completed; see Conversation."""

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:
        """Check the tags of one group against the format of their device. Pure. Raises ConfigFault."""
        return make_plan(cast("MqttDevice", device), cast("Sequence[MqttTag]", tags))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MqttSession]:
        """Connect; leaving the context closes. Raises LinkLost, AuthFault, ProtocolFault or ConfigFault."""
        clean = self.connection.session == 0
        async with self._session(self.connection.client_id, self.known, clean=clean) as (session, _):
            yield session

    @asynccontextmanager
    async def _visit(self, errand: str) -> AsyncIterator[tuple[MqttSession, Answer]]:
        """Connect under a name of its own, so that a gateway at work, and the session kept for it, are left alone."""
        async with self._session(f"{self.connection.client_id}-{errand}", set(), clean=True) as visit:
            yield visit

    @asynccontextmanager
    async def _session(
        self, client_id: str, known: set[bytes], *, clean: bool
    ) -> AsyncIterator[tuple[MqttSession, Answer]]:
        c = self.connection
        tls = await c.tls.context() if c.tls else None
        async with open_tcp(c.host, c.effective_port, c.timeout, tls=tls) as link:
            session = MqttSession(c, link, known)
            found = await session.connect(client_id, clean=clean)
            try:
                yield session, found
            finally:
                session.leave()

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, subscribe to the topics of a device, disconnect: may we, and does the broker speak MQTT?"""
        topics = _topics(cast("MqttDevice", device))
        try:
            async with self._visit("probe") as (session, _):
                verdicts = await session.request([Subscription(topic, 0) for topic in topics])
                for verdict in verdicts:
                    if verdict is not None:
                        return Probed(_outcome(verdict), str(verdict))
                words = f"the broker speaks MQTT {self.connection.protocol} and grants {', '.join(topics)}"
                return Probed("ok", words)
        except Fault as fault:
            return Probed(_outcome(fault), str(fault))

    async def browse(self, device: DeviceConfig, path: str = "") -> AsyncIterator[Node]:
        """Listen for a while, and tell what was heard: members of JSON messages, topics, metrics of births."""
        config = cast("MqttDevice", device)
        sparkplug = config.format is PayloadFormat.SPARKPLUG
        gathered: Gathered = Births(config) if sparkplug else Topics(config)
        async with self._visit("browse") as (session, _):
            session.deliver_to(gathered.take)
            verdicts = await session.request(
                [Subscription(topic, 0, retained=True, own=not sparkplug) for topic in _topics(config)]
            )
            for verdict in verdicts:
                if verdict is not None:
                    raise verdict
            for topic, payload in gathered.questions:
                session.ask(topic, payload)
            await session.listen(self.connection.browse_for)
        for node in gathered.nodes():
            if not path or node.path == path or node.path.startswith(f"{path}/"):
                yield node


_OUTCOMES: Final[tuple[tuple[type[Fault], str], ...]] = (
    (AuthFault, "auth"),
    (ProtocolFault, "wrong_protocol"),
)


def _outcome(fault: Fault) -> str:
    if fault.code in {"connect_timeout", "no_answer"}:
        return "timeout"
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(fault, kind)), "refused")


def _topics(device: MqttDevice) -> list[str]:
    """Topic filters of a device; a shared one without its group, whose other members would miss what we take."""
    if device.format is PayloadFormat.SPARKPLUG:
        return [f"{NAMESPACE}/{device.group}/+/{device.node}/#"]
    return [unshared(topic) for topic in device.topics]
