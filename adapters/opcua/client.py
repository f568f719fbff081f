"""The one place that knows asyncua from inside: its socket, with our framing and faults, and its client.

asyncua does what is hard to get right (key exchange, signatures, encryption, identity tokens), and renews the keys of
the channel. What arrives is framed here, within bounds, and handed on as raw bytes, so that values can be decoded in
columns. Every error becomes a fault. What is relied on is pinned by tests/test_asyncua.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from asyncua import ua
from asyncua.client.client import Client, _logger
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.ua.ua_binary import header_from_binary, nodeid_to_binary, struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from adapters.opcua import services, status
from adapters.opcua.config import OpcUaConnection
from gateway.sdk import AuthFault, Fault, LinkLost, ProtocolFault, Timeout
from gateway.wire.connect import os_fault

# Every error comes to us as an exception and is told once, as a fault: asyncua itself, all of it, stays silent.
_logger.manager.getLogger("asyncua").setLevel(1000)

CHUNK: Final = 65_536
"""Bytes of a chunk, as our Hello says (Part 6, 7.1.2.3)."""
MESSAGE: Final = 64 << 20
"""Bytes of a message, all its chunks together."""
CHANNEL_LIFE: Final = 3_600_000
"""Ms after which the keys of a secure channel are renewed at the latest."""
CLOSE_WITHIN: Final = 1.0
"""Seconds that a farewell may take."""
_KINDS: Final = (b"MSG", b"OPN", b"CLO", b"ACK", b"ERR")


class Chunks:
    """Cuts a stream into chunks: type (3 bytes), finality (1), size (4, little-endian), rest. Sans-io."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Chunks that are complete. Raises ProtocolFault for a beginning that no chunk has."""
        data = self._rest + data if self._rest else data
        found, at = [], 0
        while len(data) - at >= 8:
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            if not 8 <= size <= CHUNK or data[at : at + 3] not in _KINDS:
                raise ProtocolFault("what arrives is not OPC UA", data=data[at : at + 64])
            if len(data) - at < size:
                break
            found.append(data[at : at + size])
            at += size
        self._rest = data[at:]
        return found


class Socket(UASocketProtocol):
    """The socket. Keeps the first fault, and lets all that is waiting fail with it."""

    def __init__(self, where: str, timeout: float, policy: Any) -> None:
        super().__init__(timeout, policy, TransportLimits(CHUNK, CHUNK, 0, MESSAGE))
        self.where = where
        self.fault: Fault | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._chunks = Chunks()

    def fail(self, fault: Fault) -> None:
        """Note the first fault, and close."""
        self.fault = self.fault or fault
        self._fail_all_pending(self.fault)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let all that is waiting fail."""
        if self.fault is None:
            reason = f": {exc}" if exc else " by the peer"
            self.fault = LinkLost(f"{self.where}: the connection was closed{reason}")
        super().connection_lost(self.fault)
        if not self.gone.done():
            self.gone.set_result(None)

    async def close(self) -> None:
        """Close at once, whatever is waiting."""
        for future in self._callbackmap.values():
            future.cancel()
        self._callbackmap.clear()
        if self.transport is not None:
            self.transport.abort()
            await asyncio.wait([self.gone], timeout=CLOSE_WITHIN)

    def data_received(self, data: bytes) -> None:
        """Take bytes, however they are split."""
        try:
            for chunk in self._chunks.feed(data):
                self._take(chunk)
        except Fault as fault:
            self.fail(fault)
        except UaStatusCodeError as error:
            self.fail(status.fault(error.code, self.where))
        except Exception as error:  # noqa: BLE001 - asyncua raises whatever its parts raise on bytes that make no sense
            self.fail(ProtocolFault(f"{self.where}: {error!r:.200}", data=data))

    def _take(self, chunk: bytes) -> None:
        buffer = Buffer(chunk)
        header = header_from_binary(buffer)
        message = self._connection.receive_from_header_and_body(header, buffer)
        if self._connection._incoming_size > MESSAGE:  # noqa: SLF001 - see the module
            raise ProtocolFault(f"{self.where}: a message of more than {MESSAGE} bytes")
        if isinstance(message, ua.ErrorMessage):
            code = message.Error.value if message.Error is not None else 0
            where = f"{self.where}: the server ends the connection"
            raise status.fault(code, where) if status.is_bad(code) else LinkLost(where)
        self._process_received_message(message)
        if isinstance(message, ua.Acknowledge):  # its limits are those of the server, not ours
            limits = self._connection._limits  # noqa: SLF001 - see the module
            limits.max_recv_buffer, limits.max_message_size = CHUNK, MESSAGE
        if chunk[:3] == b"OPN" and message is not None:
            asked = cast("ua.OpenSecureChannelParameters", self._open_secure_channel_exchange)
            opened = struct_from_binary(ua.OpenSecureChannelResponse, message.body())
            opened.ResponseHeader.ServiceResult.check()
            self._open_secure_channel_exchange = opened
            self._connection.set_channel(opened.Parameters, asked.RequestType, asked.ClientNonce)

    def send(self, kind: int, token: bytes, body: bytes, timeout: float) -> asyncio.Future[Any]:
        """Send a request that is encoded already; the future brings a Buffer. Raises a Fault."""
        if self.transport is None or self.fault is not None:
            raise self.fault or LinkLost(f"{self.where}: not connected")
        self._request_handle += 1
        self._request_id += 1
        message = services.request(kind, token, self._request_handle, timeout, body)
        self.revolve_security_token()
        data = self._connection.message_to_binary(message, request_id=self._request_id)
        future = self._callbackmap[self._request_id] = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return future

    def send_made(self, request: Any, timeout: float) -> asyncio.Future[Any]:
        """Send a request made of asyncua's classes. Raises a Fault."""
        if self.transport is None or self.fault is not None:
            raise self.fault or LinkLost(f"{self.where}: not connected")
        return self._send_request(request, timeout)


class _Transport(UaClient):
    """asyncua's lower client, with our socket."""

    def __init__(self, where: str, timeout: float) -> None:
        super().__init__(timeout)
        self.where = where
        self.socket: Socket | None = None

    def _make_protocol(self) -> UASocketProtocol:
        self.socket = self.protocol = Socket(self.where, self._timeout, self.security_policy)
        self.socket.on_connection_lost = self._on_transport_lost
        return self.socket


@dataclass(slots=True)
class Kept:
    """A session that the server keeps although its connection is gone."""

    token: Any
    nonce: bytes | None
    policies: Any
    certificate: bytes | None


class SessionClient(Client):
    """asyncua's client as far as we use it: none of its supervising, reconnecting and subscribing."""

    def __init__(self, connection: OpcUaConnection) -> None:
        host, port = connection.address
        super().__init__(connection.full_url, connection.timeout)
        self.where = f"{host}:{port}"
        self.transport = self.uaclient = _Transport(self.where, connection.timeout)
        self.name = self.description = "Xingsha Gateway"
        self.application_uri = connection.application_uri
        self.secure_channel_timeout = CHANNEL_LIFE
        self.session_timeout = int(connection.session_timeout * 1000)
        self._connection = connection

    @property
    def socket(self) -> Socket:
        """The socket, once there is one."""
        if self.transport.socket is None:
            raise LinkLost(f"{self.where}: not connected")
        return self.transport.socket

    @property
    def token(self) -> bytes:
        """Node id that stands for the session in every request."""
        return nodeid_to_binary(self.uaclient.session.authentication_token)

    async def reach(self) -> None:
        """Connect and open the secure channel. Raises LinkLost, AuthFault, ProtocolFault."""
        timeout = self._connection.timeout
        try:
            await self.connect_socket()
        except TimeoutError as error:
            raise LinkLost(f"{self.where}: no connection within {timeout:g} s", code="connect_timeout") from error
        except OSError as error:
            raise os_fault(self.where, error) from error
        with translated(self.where):
            async with asyncio.timeout(timeout):
                await self.send_hello()
            async with asyncio.timeout(timeout):
                await self._open_channel()

    async def _open_channel(self) -> None:
        try:
            await self.open_secure_channel()
        except LinkLost as fault:
            if self.security_policy.Mode == ua.MessageSecurityMode.None_:
                raise
            message = f"{self.where}: the server ended the connection while it was being secured: does it trust us?"
            raise AuthFault(message, code="certificate_rejected") from fault

    def secure_with(self, policy: Any) -> None:
        """Use a security policy, with its keys."""
        self.security_policy = policy
        self.uaclient.set_security(policy)

    def keep_fresh(self) -> None:
        """Have asyncua renew the keys of the channel in time."""
        self._start_renew_loop()

    async def activate(self) -> None:
        """Activate the session with the identity that is configured."""
        password = self._connection.password
        await self.activate_session(
            self._connection.user or None, password.get_secret_value() if password else "", self.user_certificate
        )

    async def resume(self, kept: Kept) -> bool:
        """Activate a session that the server may still have, on this channel (Part 4, 5.6.3)."""
        self.uaclient.session.restore_authentication_token(kept.token)
        nonce, self._server_nonce = self._server_nonce, kept.nonce  # type: ignore[assignment] # see below
        self._policy_ids = kept.policies
        if self.security_policy.peer_certificate is None:
            self.security_policy.peer_certificate = kept.certificate
        try:
            await self.activate()
        except UaStatusCodeError:
            self.uaclient.session.reset_authentication_token()
            self._server_nonce = nonce
            return False
        return True

    def keep(self) -> Kept:
        """What it takes to come back to this session."""
        certificate = self.security_policy.peer_certificate
        return Kept(self.uaclient.session.authentication_token, self._server_nonce, self._policy_ids, certificate)

    @property
    def password_in_clear(self) -> bool:
        """True when the server wants the password without any encryption of its own."""
        policy = self.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        return not policy or policy == security_policies.SecurityPolicyNone.URI

    async def farewell(self) -> None:
        """Close session and channel in due form, as far as the server plays along."""
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.uaclient.close_session(delete_subscriptions=True)
                await self.close_secure_channel()

    async def dispose(self) -> None:
        """Leave neither socket nor task behind."""
        renewing = self._renew_channel_task
        try:
            if renewing is not None:
                renewing.cancel()
                await asyncio.wait([renewing])  # asyncua's own way to wait would swallow our cancellation
                if not renewing.cancelled():
                    renewing.exception()
        finally:
            if self.transport.socket is not None:
                await self.transport.socket.close()


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn whatever asyncua raises into a fault."""
    try:
        yield
    except Fault:
        raise
    except TimeoutError as error:
        raise Timeout(f"{where}: no answer in time") from error
    except UaStatusCodeError as error:
        raise status.fault(error.code, where) from error
    except OSError as error:
        raise os_fault(where, error) from error
    except Exception as error:  # asyncua raises whatever its parts raise on bytes that make no sense
        raise ProtocolFault(f"{where}: {error!r:.200}") from error
