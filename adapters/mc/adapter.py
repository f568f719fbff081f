"""The MC protocol adapter: plans, opens, probes. When and how often is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from adapters.mc.codec import Code, Frame
from adapters.mc.config import McConnection, McDevice, McTag, Transport
from adapters.mc.plan import McPlan, make_plan
from adapters.mc.session import Entry, McSession
from gateway.sdk import DeviceConfig, Fault, Limits, Probed, TagConfig, Timeout
from gateway.sdk.probing import outcome
from gateway.wire.connect import open_tcp
from gateway.wire.link import StreamLink
from gateway.wire.udp import open_udp


class McAdapter:
    """One connection entry, with the CPU that it belongs to and others behind it."""

    limits = Limits(sessions=1, in_flight=1)

    def __init__(self, connection: McConnection) -> None:
        self.connection = connection
        self._entry = Entry()

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> McPlan:
        """Merge the tags of one poll group of one device into few reads. Pure. Raises ConfigFault."""
        return make_plan(self.connection, cast("McDevice", device), cast("Sequence[McTag]", tags))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[McSession]:
        """Connect; leaving the context closes. Raises LinkLost or ConfigFault."""
        async with self._link() as link:
            yield McSession(self.connection, link, self._entry)

    def _link(self) -> AbstractAsyncContextManager[StreamLink]:
        c = self.connection
        if c.transport is Transport.UDP:
            return open_udp(c.host, c.port, c.timeout, source=c.source, source_port=c.source_port, min_gap=c.gap)
        return open_tcp(c.host, c.port, c.timeout, source=c.source or None, min_gap=c.gap, rest=c.rest)

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, ask for the name of the CPU, disconnect; where nothing answers, try the other codes and frames.

        A CPU is silent to whoever speaks another code than its entry is set to.
        """
        own = cast("McDevice", device)
        try:
            return await self.visit(own, "the CPU speaks the MC protocol")
        except Timeout as fault:
            for other in self._others():
                try:
                    found = await McAdapter(other).visit(own, "")
                except Fault:
                    continue
                words = f"silent as configured, but answers with frame: {other.frame}, code: {other.code}"
                return Probed("wrong_protocol", words, found.identity)
            return Probed("timeout", str(fault))
        except Fault as fault:
            return Probed(outcome(fault), str(fault))

    async def visit(self, device: McDevice, words: str) -> Probed:
        """Connect, ask for the name of the CPU, disconnect. Raises a Fault."""
        async with self.open() as session:
            return Probed("ok", words, await session.identify(device))

    def _others(self) -> Iterator[McConnection]:
        """The same entry in the other code, and with the other frame; each is given less time."""
        c = self.connection
        code = Code.BINARY if c.code.text else Code.ASCII
        frame = Frame.E4 if c.frame is Frame.E3 else Frame.E3
        for change in ({"code": code}, {"frame": frame}):
            if c.source_port and "frame" in change:
                continue
            yield c.model_copy(update={**change, "timeout": c.timeout / 2})
