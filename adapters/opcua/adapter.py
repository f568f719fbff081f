"""The OPC UA adapter: plans, opens, probes, browses. When and how often is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from adapters.opcua import channel
from adapters.opcua.browse import browse
from adapters.opcua.channel import Identity, chosen, leaf, open_channel
from adapters.opcua.client import Kept
from adapters.opcua.codec import node_id
from adapters.opcua.config import OpcUaConnection, OpcUaDevice, OpcUaTag
from adapters.opcua.plan import OpcUaPlan, make_plan
from adapters.opcua.session import OpcUaSession
from adapters.opcua.subscribing import Subscriber
from adapters.opcua.trust import Pki, thumbprint
from gateway.sdk import ConfigFault, DeviceConfig, Fault, Limits, Node, Probed, TagConfig, probe_with
from gateway.sdk.trust import Certificate

BUILD: Final = {"product": 2261, "vendor": 2263, "version": 2264}
"""What a server says of itself → its variable (Part 5, 12.4)."""


class OpcUaAdapter:
    """One server, and the session that this gateway has with it."""

    limits = Limits(sessions=1, in_flight=2)
    """A subscription is looked after while a poll, a command or the history is under way."""

    def __init__(self, connection: OpcUaConnection) -> None:
        self.connection = connection
        self.pki = Pki(connection.pki, connection.application_uri)
        self._left: tuple[Kept, Subscriber] | None = None
        """Session and subscriptions that the server keeps since the connection broke."""

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> OpcUaPlan:
        """Plan one poll group of a device. Pure. Raises ConfigFault."""
        return make_plan(self.connection, cast("OpcUaDevice", device), cast("Sequence[OpcUaTag]", tags))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpcUaSession]:
        """Connect; leaving the context closes. Raises LinkLost, AuthFault, ProtocolFault or ConfigFault."""
        left = self._left
        async with self._channel(left[0] if left else None) as opened:
            self._left = None
            fresh = left is None or not opened.resumed
            subscriber = Subscriber(self.connection.session_timeout) if left is None or fresh else left[1]
            session = OpcUaSession(self.connection, opened, subscriber)
            await session.server.meet()
            try:
                yield session
            except Fault:
                if subscriber.complete:
                    self._left = (opened.keep(), subscriber)
                raise

    @asynccontextmanager
    async def _channel(self, kept: Kept | None = None) -> AsyncIterator[channel.Channel]:
        """A session of its own; ``kept``: one to come back to."""
        server = b""
        identity = self._identity()
        if self.connection.secure:
            offered = await channel.endpoints(self.connection)
            server = leaf(chosen(self.connection, offered).ServerCertificate or b"")
            self.pki.check(server, self.connection.url)
        async with open_channel(self.connection, identity, server, kept) as opened:
            yield opened

    def _identity(self) -> Identity:
        """Certificates and keys, from their files. Raises ConfigFault."""
        c = self.connection
        certificate, key = self.pki.own() if c.secure else (b"", None)
        if c.user_certificate is None or c.user_key is None:
            return Identity(certificate, key)
        try:
            data = c.user_certificate.read_bytes()
            pem = data.startswith(b"-----")
            user = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
            user_key = serialization.load_pem_private_key(c.user_key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            message = f"user_certificate {c.user_certificate}, user_key {c.user_key}: {error}"
            raise ConfigFault(message, code="certificate_files") from error
        return Identity(certificate, key, user, user_key)

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, ask the server what it is, disconnect."""
        del device
        security = f"{self.connection.policy}, {self.connection.mode}" if self.connection.secure else "no security"

        async def who(session: OpcUaSession) -> tuple[tuple[str, str], ...]:
            found = await session.server.values([node_id(0, node) for node in BUILD.values()])
            return tuple((name, str(value)) for name, (_, value, _) in zip(BUILD, found, strict=True) if value)

        return await probe_with(self._visit, who, f"the server speaks OPC UA ({security})")

    @asynccontextmanager
    async def _visit(self) -> AsyncIterator[OpcUaSession]:
        """A session beside the one at work."""
        async with self._channel() as opened:
            session = OpcUaSession(self.connection, opened, Subscriber(0.0))
            await session.server.meet()
            yield session

    async def browse(self, device: DeviceConfig, path: str = "") -> AsyncIterator[Node]:
        """List the variables and objects at or below a node; see gateway.sdk.Browses."""
        async with self._visit() as session:
            async for node in browse(session.server, cast("OpcUaDevice", device).root, path):
                yield node


async def trust(connection: OpcUaConnection, approve: str = "") -> list[Certificate]:
    """See gateway.sdk.trust."""
    pki = Pki(connection.pki, connection.application_uri)
    if connection.secure:
        pki.own()
        shown = leaf(chosen(connection, await channel.endpoints(connection)).ServerCertificate or b"")
        known = {one.thumbprint for one in pki.listed()}
        if thumbprint(shown) not in known:
            pki.keep(shown)
    if approve:
        pki.approve(approve)
    return list(pki.listed())
