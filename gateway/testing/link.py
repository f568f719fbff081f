"""A link without a network: what an adapter sends arrives here, what is sent from here arrives at the adapter.

    link, far = link_pair(lambda request: b"pong" if request == b"ping" else b"")
    session = MySession(link, connection)

Nothing waits but timers, so it runs on a virtual clock as well: an hour of time-outs takes a moment
(`gateway.testing.clock.virtual`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.wire.link import StreamLink

KEPT: Final = 1024 * 1024
"""Bytes of requests that may wait to be looked at."""

Answer = Callable[[bytes], bytes]
"""Given what was sent at once; returns what comes back at once, b"" for nothing."""


class FarEnd:
    """The far end of a link: what a device, or the network before it, does."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.received = bytearray()
        """What has arrived and was not taken yet; the newest KEPT bytes of it."""
        self.closed = False
        self._near: StreamLink | None = None
        self._held: list[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._arrival = asyncio.Event()

    def join(self, link: StreamLink) -> None:
        """Be the transport of a link."""
        self._near = link
        link.connection_made(self)

    def send(self, data: bytes) -> None:
        """Let bytes arrive at the link, in the next turn of the loop."""
        self._loop.call_soon(self._arrive, data)

    async def take(self, size: int) -> bytes:
        """Wait until ``size`` bytes have arrived, and take them."""
        while len(self.received) < size:
            self._arrival.clear()
            await self._arrival.wait()
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    def close(self, error: Exception | None = None) -> None:
        """End the connection, as the peer does, or as ``error`` does."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self._end, error)

    # what the link calls: the part of an asyncio transport that it uses

    def write(self, data: bytes) -> None:
        """Take what the link sends."""
        if self.closed:
            return
        if self.answer is not None:
            if back := self.answer(bytes(data)):
                self.send(back)
            return
        self.received += data
        del self.received[:-KEPT]
        self._arrival.set()

    def abort(self) -> None:
        """Close from the link's side."""
        self.close()

    def pause_reading(self) -> None:
        """Keep what is sent to the link until it reads on."""
        self._held = self._held or []

    def resume_reading(self) -> None:
        """Hand over what was kept."""
        held, self._held = self._held or [], None
        for data in held:
            self.send(data)

    # inside

    def _arrive(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif not self.closed and self._near is not None:
            self._near.data_received(data)

    def _end(self, error: Exception | None) -> None:
        if self._near is not None:
            self._near.connection_lost(error)


def link_pair(answer: Answer | None = None, *, name: str = "memory", min_gap: float = 0.0) -> tuple[StreamLink, FarEnd]:
    """Return a link that stands, and its far end. ``answer``: what is at that end; None: look at it yourself."""
    far = FarEnd(answer)
    link = StreamLink(name, min_gap=min_gap, clock=asyncio.get_running_loop().time)
    far.join(link)
    return link, far
