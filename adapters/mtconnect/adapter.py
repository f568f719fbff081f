"""The adapter of MTConnect: mechanism only. When to connect, and what after a failure, is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from gateway.sdk import DeviceConfig, Feeds, Limits, Plan, Probed, Push, TagConfig, TagFault, places_by, probe_with
from gateway.wire.connect import open_tcp
from gateway.wire.dialogue import Dialogue

from .codec import ASK_IDENTITY, LINES, ask_subscribe, parse_answer, parse_identity, value_of
from .config import MtconnectConnection


class MtconnectAdapter:
    """One connection to one device."""

    limits = Limits()

    def __init__(self, connection: MtconnectConnection) -> None:
        self.connection = connection

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:  # noqa: ARG002 - nothing to ask for
        """No requests: the device sends what changes, and a sign of life besides. Pure. Raises ConfigFault."""
        return Plan((), push=Push(silence=self.connection.silence, on_change=True))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MtconnectSession]:
        """Connect; leaving the context closes. Raises LinkLost."""
        async with open_tcp(self.connection.host, self.connection.port, self.connection.timeout) as link:
            yield MtconnectSession(Dialogue(link, LINES, self.connection.silence))

    async def probe(self, device: DeviceConfig) -> Probed:  # noqa: ARG002 - one device
        """Connect, ask who is there, disconnect."""
        return await probe_with(self.open, lambda session: session.identify(), "a device that speaks MTConnect")


class MtconnectSession:
    """One established connection."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue

    async def identify(self) -> tuple[tuple[str, str], ...]:
        """What the device says of itself."""
        return parse_identity(await self.dialogue.ask(ASK_IDENTITY))

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Have every tag sent, and hand over what arrives; see gateway.sdk.Subscribes."""
        places = places_by(feeds, lambda tag: str(tag.address))

        def take(line: bytes) -> None:
            for feed in feeds:
                feed.alive()
            answer = parse_answer(line)
            for feed, place in places.get(answer.name, ()):
                try:
                    feed.sample({place: value_of(answer, feed.tags[place])})
                except TagFault as fault:
                    feed.sample({}, failures={place: fault.quality})

        await self.dialogue.listen(b"".join(map(ask_subscribe, places)), take)
