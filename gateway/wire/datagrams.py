"""Datagrams that nobody asked for: broadcasts and multicasts of devices, one after the other, to whoever iterates."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

from gateway.wire.connect import os_fault

WAITING: Final = 4096
"""Datagrams that may wait; of more, the oldest are dropped and counted, as the network would do."""


class Datagrams(asyncio.DatagramProtocol):
    """What arrives at a UDP port."""

    def __init__(self) -> None:
        self.dropped = 0
        """Datagrams for which there was no room."""
        self.port = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING)
        self._waiter: asyncio.Future[None] | None = None

    async def arrivals(self) -> AsyncIterator[tuple[str, bytes]]:
        """Sender's address and content of each datagram, for ever."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._waiter = self._loop.create_future()
            await self._waiter

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        """Take one."""
        if len(self._waiting) == WAITING:
            self.dropped += 1
        self._waiting.append((str(addr[0]), data))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@asynccontextmanager
async def open_datagrams(host: str, port: int, *, group: str = "") -> AsyncIterator[Datagrams]:
    """Listen on a local address, of ``group`` too when that is a multicast group. Raises LinkLost (port_in_use …)."""
    own = _bound(host, port, group)
    transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, sock=own)
    try:
        datagrams.port = own.getsockname()[1]
        yield datagrams
    finally:
        transport.abort()
        await asyncio.sleep(0)


def _bound(host: str, port: int, group: str) -> socket.socket:
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own.setblocking(False)
        own.bind((host, port))
        if group:
            member = ip_address(group).packed + socket.inet_aton("0.0.0.0")  # noqa: S104 - any interface, to receive
            own.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError as error:
        own.close()
        raise os_fault(f"udp {host}:{port}", error) from error
    return own
