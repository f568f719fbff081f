"""The adapter of HTTP: mechanism only. When, how often, and what after a failure is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, cast

from gateway.model.types import DataType
from gateway.sdk import ConfigFault, DeviceConfig, Limits, Node, Plan, Probed, Push, TagConfig, probe_with
from gateway.wire.serving import FramingOfEach, open_listener

from .address import DocumentFormat
from .config import HttpConnection, HttpDevice, HttpTag
from .documents import members
from .posts import request_framing
from .reception import PEERS, Reception, authorization
from .session import GetDocument, HttpSession

MOST: Final = 10_000
"""Values that are told of one document."""
TYPES: Final = {bool: DataType.BOOL, int: DataType.INT64, float: DataType.FLOAT64, str: DataType.STRING}
HEADS: Final = 800
"""Bytes of both heads, and of a document without values; for the forecast of loads."""


class HttpAdapter:
    """A server that is asked, or a place where machines post to."""

    limits = Limits()

    def __init__(self, connection: HttpConnection) -> None:
        self.connection = connection

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:
        """One request for each document. Pure. Raises ConfigFault."""
        machine, wanted = cast("HttpDevice", device), cast("Sequence[HttpTag]", tags)
        for tag in wanted:
            if tag.address.form is not machine.format:
                raise ConfigFault(f"tag {tag.name}: {tag.address} does not go with format {machine.format}")
            if tag.path is not None and self.connection.listen:
                raise ConfigFault(f"tag {tag.name}: path is for servers that are asked")
        if machine.time is not None and machine.time.path.form is not machine.format:
            raise ConfigFault(f"time: {machine.time.path} does not go with format {machine.format}")
        if self.connection.listen:
            if machine.format is not DocumentFormat.JSON:
                raise ConfigFault("format: machines post JSON")
            return Plan((), push=Push(silence=machine.silence, kept=machine.kept))
        paths: dict[str, list[int]] = {}
        for place, tag in enumerate(wanted):
            paths.setdefault(tag.path or machine.path, []).append(place)
        requests = [
            GetDocument(tuple(places), path, machine, tuple(wanted[place] for place in places))
            for path, places in paths.items()
        ]
        return Plan(requests, wire_bytes=HEADS * len(requests) + 24 * len(tags), turnarounds=len(requests))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HttpSession | Reception]:
        """Connect, or listen; leaving the context closes. Raises LinkLost, AuthFault, ProtocolFault or ConfigFault."""
        c = self.connection
        if c.listen:
            shown = authorization(c)
            framing = FramingOfEach(lambda: request_framing(c.max_body, shown))
            secret = await c.tls.server_context() if c.tls else None
            async with open_listener(c.host, c.effective_port, framing, most=PEERS, tls=secret) as server:
                yield Reception(c, server)
        else:
            tls = await c.tls.context() if c.tls else None
            session = HttpSession(c, tls)
            try:
                await session.connect()
                yield session
            finally:
                await session.close()

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, ask for the document of the device, disconnect; with listen, see whether we could."""
        machine = cast("HttpDevice", device)
        if self.connection.listen:
            return await probe_with(self.open, _listens, "machines can post here")

        async def ask(session: HttpSession | Reception) -> tuple[tuple[str, str], ...]:
            return await cast("HttpSession", session).identify(machine.path)

        return await probe_with(self.open, ask, f"a server that speaks HTTP has something at {machine.path}")

    async def browse(self, device: DeviceConfig, path: str = "") -> AsyncIterator[Node]:
        """Tell what is in the document of a device that is asked. Raises a Fault."""
        machine = cast("HttpDevice", device)
        if self.connection.listen:
            raise ConfigFault("listen: what machines will post is not known before they do")
        async with self.open() as session:
            document = await cast("HttpSession", session).look(machine)
        for address, value in islice(members(document, machine.format), MOST):
            text = str(address)
            if text.startswith(path):
                yield Node(text, text, TYPES.get(type(value)), description=repr(value)[:40])


async def _listens(_session: object) -> tuple[tuple[str, str], ...]:
    return ()
