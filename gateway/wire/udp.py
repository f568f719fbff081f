"""UDP as a link: one peer, a datagram for each message, and the same `exchange` as over a stream.

A datagram is handed over as one chunk, whole or not at all. What the network duplicates, delays or loses is not mended
here: protocols over UDP tell answers apart by a serial number, or open a new link (from another local port) after a
time-out. Datagrams of anybody but the peer do not arrive.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.model.faults import LinkLost
from gateway.wire.connect import os_fault
from gateway.wire.link import StreamLink


class DatagramLink(StreamLink, asyncio.DatagramProtocol):
    """See the module. Made by `open_udp`; used by one task at a time."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # type: ignore[override]
        """Take the socket."""
        super().connection_made(_Sender(transport))  # type: ignore[arg-type]

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:  # noqa: ARG002
        """Give a datagram to whom it belongs."""
        self.data_received(data)

    def error_received(self, exc: Exception) -> None:
        """End the link: the peer's machine says that nothing listens there, or there is no way to it."""
        fault = os_fault(f"udp {self.name}", exc) if isinstance(exc, OSError) else LinkLost(f"udp {self.name}: {exc}")
        self.abort(fault)


class _Sender:
    """What a link sees of a socket that is connected to one peer."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send one datagram."""
        self._transport.sendto(data)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


@asynccontextmanager
async def open_udp(
    host: str, port: int, timeout: float, *, source: str = "", source_port: int = 0, min_gap: float = 0.0
) -> AsyncIterator[DatagramLink]:
    """Make a socket for one peer; ``source``, ``source_port``: local address and port, by default any.

    Nothing is sent, so that a peer which is not there shows only at the first exchange: by a Timeout, or by LinkLost
    (connection_refused) when its machine says so. Raises LinkLost (no_route, name_unknown, port_in_use,
    address_unusable).
    """
    where = f"{host}:{port}"
    link = DatagramLink(where, min_gap=min_gap)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        own = _connected(found[0], (source, source_port))
    except TimeoutError as error:
        raise LinkLost(f"{where}: the name is not resolved within {timeout:g} s", code="name_unknown") from error
    except OSError as error:
        raise os_fault(f"udp {where}", error) from error
    await loop.create_datagram_endpoint(lambda: link, sock=own)
    try:
        yield link
    finally:
        await link.close()


def _connected(peer: tuple[int, int, int, str, Any], local: tuple[str, int]) -> socket.socket:
    """A socket that hears nobody but the peer. Bound here and not by the loop, some of which lose the errno."""
    own = socket.socket(peer[0], socket.SOCK_DGRAM)
    try:
        own.setblocking(False)
        if any(local):
            own.bind(local)
        own.connect(peer[4])
    except OSError:
        own.close()
        raise
    return own
