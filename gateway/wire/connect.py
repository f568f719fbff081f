"""Connectors: how a `StreamLink` comes to be, over TCP, TLS, a serial line, or by waiting for the peer to dial in.

Each is a context manager whose end leaves no task and no descriptor behind. What the operating system answers becomes
a fault with a stable code, by one table.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from gateway.model.faults import AuthFault, ConfigFault, Fault, LinkLost, ProtocolFault
from gateway.wire.link import StreamLink, Transport

_REFUSALS: Final[dict[int | None, tuple[str, str]]] = {
    errno.ECONNREFUSED: ("connection_refused", "nothing listens on this port"),
    errno.EHOSTUNREACH: ("no_route", "no route to this host"),
    errno.ENETUNREACH: ("no_route", "no route to this network"),
    errno.EADDRINUSE: ("port_in_use", "another program listens on this port"),
    errno.EADDRNOTAVAIL: ("address_unusable", "this machine does not have that address"),
    errno.EACCES: ("address_unusable", "ports below 1024 need the right to bind them"),
    errno.ETIMEDOUT: ("no_route", "the host does not answer"),
    errno.EMFILE: ("descriptors_exhausted", "this process may not open any more files and sockets"),
    errno.ENFILE: ("descriptors_exhausted", "this machine has no more files and sockets to give"),
}
"""errno → code and words."""

_KEEPALIVE: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)
"""A peer that vanished (power, 4G) is noticed within half a minute, even on a link where nothing is asked."""


def os_fault(where: str, error: OSError) -> Fault:
    """Fault of an operating system error met while connecting or listening."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthFault(f"{where}: the certificate is refused: {error.verify_message}", code="tls_untrusted")
    if isinstance(error, ssl.SSLError):
        return ProtocolFault(f"{where}: no TLS: {error.reason or error}", code="tls_failed")
    if isinstance(error, socket.gaierror):
        return LinkLost(f"{where}: the name is not known ({error.strerror})", code="name_unknown")
    code, words = _REFUSALS.get(error.errno, ("link_lost", error.strerror or str(error) or "connecting failed"))
    return LinkLost(f"{where}: {words}", code=code)


def tls_context(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """TLS for a client; ``ca``: whom to trust, default the system's; ``certificate`` and ``key``: our own.

    Raises ConfigFault for a file that is missing or is not what it should be.
    """
    with _tls_files(ca, certificate, key):
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_tls_context(certificate: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """TLS, 1.2 or later, for a server; ``ca``: peers must show a certificate of it. Blocks; raises as `tls_context`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # which a peer could ask for without end
    with _tls_files(ca, certificate, key):
        context.load_cert_chain(certificate, key, password="")
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _tls_files(*paths: Path | None) -> Iterator[None]:
    """Turn what is wrong with files into a ConfigFault; a password is never asked for at the terminal, but is empty."""
    try:
        yield
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(path) for path in paths if path is not None)
        raise ConfigFault(f"TLS files {names}: {error}") from error


@asynccontextmanager
async def open_tcp(
    host: str,
    port: int,
    timeout: float,
    *,
    tls: ssl.SSLContext | None = None,
    source: str | None = None,
    min_gap: float = 0.0,
    pause: float = 0.0,
    rest: float = 0.0,
) -> AsyncIterator[StreamLink]:
    """Connect within ``timeout`` seconds; ``source``: local address; ``pause``: seconds to leave a new peer in peace.

    ``rest``: seconds after closing, for a peer with room for one connection that takes a while to see it is free.
    Raises LinkLost (connection_refused, no_route, name_unknown, connect_timeout, link_lost), AuthFault, ProtocolFault.
    """
    where = f"{host}:{port}"
    link = StreamLink(where, min_gap=min_gap)
    try:
        async with asyncio.timeout(timeout):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: link, host, port, ssl=tls, local_addr=(source, 0) if source else None
            )
    except TimeoutError as error:
        raise LinkLost(f"{where}: no connection within {timeout:g} s", code="connect_timeout") from error
    except OSError as error:
        raise os_fault(where, error) from error
    try:
        _keep_alive(transport)
        if pause:
            await asyncio.sleep(pause)
        yield link
    finally:
        await link.close()
        if rest:
            await asyncio.sleep(rest)


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)


@asynccontextmanager
async def open_dialled(
    host: str, port: int, wait: float, *, min_gap: float = 0.0, pause: float = 0.0
) -> AsyncIterator[StreamLink]:
    """Listen on a local address and wait up to ``wait`` seconds for the peer to dial in (a 4G unit, for one).

    One peer at a time. When a second one dials in, the unit has lost its first connection without our knowing: the
    link is given up, and the unit finds an open door when it dials again. Raises LinkLost (connect_timeout,
    port_in_use, address_unusable).
    """
    where = f"{host}:{port}"
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[StreamLink] = loop.create_future()

    def dialled() -> asyncio.Protocol:
        if not arrived.done():
            return _Dialled(where, arrived, min_gap=min_gap)
        if not arrived.cancelled():
            arrived.result().abort(LinkLost(f"{where}: the peer dialled in anew"))
        return _TurnedAway()

    try:
        server = await loop.create_server(dialled, host, port)
    except OSError as error:
        raise os_fault(where, error) from error
    try:
        try:
            async with asyncio.timeout(wait):
                link = await arrived
        except TimeoutError as error:
            raise LinkLost(f"{where}: nobody dialled in within {wait:g} s", code="connect_timeout") from error
        try:
            if pause:
                await asyncio.sleep(pause)
            yield link
        finally:
            await link.close()
    finally:
        server.close()
        if arrived.done() and not arrived.cancelled():
            await arrived.result().close()
        await server.wait_closed()


class _Dialled(StreamLink):
    """A link that reports itself when it stands."""

    __slots__ = ("_arrived",)

    def __init__(self, name: str, arrived: asyncio.Future[StreamLink], *, min_gap: float) -> None:
        super().__init__(name, min_gap=min_gap)
        self._arrived = arrived

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._arrived.done():
            self._arrived.set_result(self)
        else:
            transport.abort()


class _TurnedAway(asyncio.Protocol):
    """A connection that nobody takes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
