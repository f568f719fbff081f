"""The S7 adapter: plans, opens, probes. When and how often is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from adapters.s7.address import Area
from adapters.s7.codec import ask_read
from adapters.s7.config import S7Connection, S7Device, S7Tag
from adapters.s7.plan import S7Plan, make_plan
from adapters.s7.refusals import refusal, refusal_fault
from adapters.s7.session import S7Session
from gateway.sdk import DeviceConfig, Fault, Limits, Probed, TagConfig, TagFault
from gateway.sdk.probing import outcome
from gateway.wire.connect import open_tcp


class S7Adapter:
    """One connection to one CPU."""

    def __init__(self, connection: S7Connection) -> None:
        self.connection = connection
        self.limits = Limits(sessions=1, in_flight=connection.pipeline)

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> S7Plan:
        """Merge the tags of one poll group of one device into few requests. Pure."""
        return make_plan(self.connection, cast("S7Device", device), cast("Sequence[S7Tag]", tags))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[S7Session]:
        """Connect; leaving the context closes. Raises LinkLost, Timeout, AuthFault or ProtocolFault."""
        c = self.connection
        async with open_tcp(c.host, c.port, c.timeout, source=c.source or None) as link:
            session = S7Session(c, link)
            await session.establish()
            yield session

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, read one byte of merkers, ask for the identity, disconnect. Any S7 answer will do."""
        del device
        try:
            async with self.open() as session:
                code = await session.ask(ask_read([((Area.MERKER.code, 0), 0, 1)], [0]))
                if code and refusal(code).fault is not TagFault:
                    raise refusal_fault(code, f"{session.link.name}, read")
                words = f"speaks S7: PDU {session.pdu} bytes, {session.jobs} requests at a time"
                return Probed("ok", words, await session.identify())
        except Fault as fault:
            return Probed(outcome(fault), str(fault))
