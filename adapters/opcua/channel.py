"""A session on a secure channel: found, secured, opened or come back to; requests in, readers of responses out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.ua.ua_binary import struct_from_binary
from cryptography import x509

from adapters.opcua import services, status
from adapters.opcua.client import Kept, SessionClient, translated
from adapters.opcua.codec import Reader
from adapters.opcua.config import Mode, OpcUaConnection, Policy
from gateway.sdk import AuthFault, ConfigFault, Fault, LinkLost, ProtocolFault, Timeout

_POLICIES: Final[dict[Policy, type[Any]]] = {
    Policy.NONE: security_policies.SecurityPolicyNone,
    Policy.BASIC256SHA256: security_policies.SecurityPolicyBasic256Sha256,
    Policy.AES128: security_policies.SecurityPolicyAes128Sha256RsaOaep,
    Policy.AES256: security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES: Final = {Mode.SIGN: ua.MessageSecurityMode.Sign, Mode.SIGN_AND_ENCRYPT: ua.MessageSecurityMode.SignAndEncrypt}
_OURS_REFUSED: Final = ("BadCertificate", "BadSecurityChecksFailed", "BadApplicationSignature")

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are: certificates and keys, where the session needs them."""

    certificate: bytes = b""
    key: Any = None
    user_certificate: Any = None
    user_key: Any = None


class Channel:
    """See the module. Made by `open_channel`."""

    def __init__(self, client: SessionClient, *, timeout: float, resumed: bool) -> None:
        self.where = client.where
        self.timeout = timeout
        self.resumed = resumed
        """The session is one that was there before."""
        self._client = client
        self._token = client.token

    def send(self, kind: int, body: bytes, timeout: float = 0.0) -> asyncio.Future[Any]:
        """Send a request whose answer may take its time; give what comes to `status_of`. Raises a Fault."""
        return self._client.socket.send(kind, self._token, body, timeout)

    def status_of(self, kind: int, data: Any) -> tuple[int, Reader]:
        """Status of a response, and a reader behind its header. Raises ProtocolFault."""
        answer = services.response(data.read(len(data)))
        if answer.kind != kind + 3 and not status.is_bad(answer.status):
            raise ProtocolFault(f"{self.where}: a response of another kind, {answer.kind}")
        return answer.status, answer.reader

    async def tried(self, kind: int, body: bytes) -> tuple[int, Reader]:
        """Send a request, wait for its answer; its status is the caller's to judge. Raises a Fault."""
        return self.status_of(kind, await self._answer(self.send(kind, body, self.timeout)))

    async def ask(self, kind: int, body: bytes) -> Reader:
        """The same; a bad status is raised as the fault that it is. Timeout after the connection's time-out."""
        code, reader = await self.tried(kind, body)
        if status.is_bad(code):
            raise status.fault(code, self.where)
        return reader

    async def service(self, request: Any, response: type[R]) -> R:
        """The same for a rare service, with asyncua's own classes."""
        with translated(self.where):
            data = await self._answer(self._client.socket.send_made(request, self.timeout))
            header = data.copy()
            answer = services.response(header.read(len(header)))
            if status.is_bad(answer.status):
                raise status.fault(answer.status, self.where)
            return struct_from_binary(response, data)

    async def _answer(self, future: asyncio.Future[Any]) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                return await future
        except TimeoutError as error:
            raise Timeout(f"{self.where}: no answer within {self.timeout:g} s") from error

    def keep(self) -> Kept:
        """What it takes to come back to this session."""
        return self._client.keep()


@asynccontextmanager
async def _client(connection: OpcUaConnection) -> AsyncIterator[SessionClient]:
    client = SessionClient(connection)
    try:
        yield client
    finally:
        await client.dispose()


async def endpoints(connection: OpcUaConnection) -> Sequence[ua.EndpointDescription]:
    """Ask a server which endpoints it has; nothing of it is trusted yet (Part 4, 5.4.4). Raises a Fault."""
    async with _client(connection) as client:
        with _while_connecting(client.where), translated(client.where):
            await client.reach()
            async with asyncio.timeout(connection.timeout):
                return await client.get_endpoints()


def chosen(connection: OpcUaConnection, offered: Sequence[ua.EndpointDescription]) -> ua.EndpointDescription:
    """The endpoint with just the security that is configured, never one with less. Raises ConfigFault."""
    policy = _POLICIES[connection.policy].URI
    mode = _MODES[connection.mode] if connection.secure else ua.MessageSecurityMode.None_
    for endpoint in offered:
        if endpoint.SecurityPolicyUri == policy and endpoint.SecurityMode == mode:
            return endpoint
    names = sorted({f"{str(one.SecurityPolicyUri).rpartition('#')[2]} {one.SecurityMode.name}" for one in offered})
    asked = f"{policy.rpartition('#')[2]} {mode.name}"
    raise ConfigFault(
        f"{connection.url}: the server does not offer {asked}; it has {', '.join(names) or 'nothing'}",
        code="security_not_offered",
    )


def leaf(chain: bytes) -> bytes:
    """The first certificate of a chain in DER (a SEQUENCE with a length of two bytes)."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4] if chain[:2] == b"\x30\x82" else chain


@asynccontextmanager
async def open_channel(
    connection: OpcUaConnection, identity: Identity, server: bytes, kept: Kept | None
) -> AsyncIterator[Channel]:
    """Connect, secure, create and activate a session, or come back to one that was kept.

    ``server``: its certificate, which was found to be trusted. A fault leaves the session to the server, so that we can
    come back to it; leaving otherwise closes it. Raises LinkLost, AuthFault, ProtocolFault, ConfigFault.
    """
    async with _client(connection) as client:
        with _while_connecting(client.where), translated(client.where):
            client.user_certificate, client.user_private_key = identity.user_certificate, identity.user_key
            if connection.secure:
                theirs = x509.load_der_x509_certificate(server)
                ours = x509.load_der_x509_certificate(identity.certificate)
                mode = _MODES[connection.mode]
                client.secure_with(_POLICIES[connection.policy](theirs, ours, identity.key, mode))
            await client.reach()
            async with asyncio.timeout(2 * connection.timeout):
                resumed = kept is not None and await client.resume(kept)
                if not resumed:
                    await client.create_session()
                    _guard_password(client, connection)
                    await client.activate()
        client.keep_fresh()
        try:
            yield Channel(client, timeout=connection.timeout, resumed=resumed)
        except Fault:
            raise
        except BaseException:  # a cancellation above all: the server must not keep the session until it expires
            await client.farewell()
            raise
        await client.farewell()


def _guard_password(client: SessionClient, connection: OpcUaConnection) -> None:
    """Refuse to send a password that anyone on the way could read. Raises ConfigFault."""
    if connection.password is None or connection.login_in_clear:
        return
    encrypted = connection.secure and connection.mode is Mode.SIGN_AND_ENCRYPT
    if not encrypted and client.password_in_clear:
        raise ConfigFault(
            f"{connection.url}: the password would travel in clear: choose a security policy, or login_in_clear: true",
            code="password_in_clear",
        )


@contextmanager
def _while_connecting(where: str) -> Iterator[None]:
    """Tell a server that refuses our certificate from one that refuses the user; a silent one cannot be had."""
    try:
        yield
    except AuthFault as fault:
        word = str(fault).rpartition(" ")[2]
        if word.startswith(_OURS_REFUSED):
            message = f"{where}: the server does not trust our certificate ({word})"
            raise AuthFault(message, code="certificate_rejected") from fault
        raise
    except Timeout as fault:
        raise LinkLost(f"{where}: the server does not answer", code="connect_timeout") from fault
