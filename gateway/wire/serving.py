"""The listening side of TCP: for devices that dial in, and for simulators.

A `StreamServer` takes connections, cuts what arrives into frames, and hands them over: each at once to a function that
answers (a simulator), or one by one to whoever iterates over `arrivals` (a listening adapter), which then holds up the
devices when it is not quick enough. Everything is bounded: connections, frames that wait, bytes that a peer does not
take.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self, cast

from gateway.model.faults import Fault
from gateway.wire.connect import os_fault
from gateway.wire.framing import Frames, Framing
from gateway.wire.link import WRITE_BUFFER
from gateway.wire.tls import ServerSide

MOST_PEERS: Final = 1024
"""Connections at a time, unless told otherwise; one more is closed at once."""
WAITING: Final = 256 * 1024
"""Bytes of one peer, 64 counted for each frame on top, that may wait before it is no longer read."""
LINGER: Final = 1.0
"""Seconds in which a peer can fetch the last it was sent before the connection is closed."""
HANDSHAKE: Final = 10.0
"""Seconds in which a peer can show that it speaks TLS; until then it takes a place like any other."""


@dataclass(frozen=True, slots=True)
class FramingOfEach:
    """Makes a framing for each connection: for framings that remember what they have looked at."""

    make: Callable[[], Framing]


@dataclass(slots=True)
class Counters:
    """What a server saw, for tests that assert limits."""

    sessions: int = 0
    """Connections now."""
    sessions_most: int = 0
    in_flight_most: int = 0
    """Most frames of one peer that were waiting for their answer."""
    pdu_most: int = 0
    """Longest frame, in bytes as handed over."""
    requests: int = 0
    """Frames in all."""
    handshakes_failed: int = 0
    """Connections that came to nothing because there was no TLS, or not the right certificate, or not in time."""


class Peer(asyncio.Protocol):
    """One connection to a server."""

    def __init__(self, server: StreamServer) -> None:
        self.name = ""
        """Address and port of the other end."""
        self.frames: deque[bytes] = deque()
        """Those that wait."""
        self._server = server
        framing = server.framing
        self._receiver = Frames(framing.make() if isinstance(framing, FramingOfEach) else framing, self._take)
        self._transport: asyncio.Transport | None = None
        self._held_up = False
        self._waiting = 0
        self._lingers: asyncio.TimerHandle | None = None
        self._tls = ServerSide(server.tls) if server.tls is not None else None
        self._handshake: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        """True when nothing can be sent to it any more."""
        return self._transport is None or self._lingers is not None

    @property
    def _sending(self) -> asyncio.Transport | None:
        """The transport, while something can be sent to the peer."""
        transport = self._transport
        return None if self.gone or transport is None or transport.is_closing() else transport

    def send(self, data: bytes) -> None:
        """Send; a peer that takes nothing for too long is hung up on."""
        if (transport := self._sending) is None:
            return
        if self._tls is not None:
            try:
                self._tls.tell(data)
            except ssl.SSLError:  # such as before there was a handshake
                self.close()
                return
            data = self._tls.outgoing()
        transport.write(data)
        if transport.get_write_buffer_size() > WRITE_BUFFER:
            self.close()

    def finish(self) -> None:
        """Hang up once the peer has fetched what it was sent, or LINGER is over; what it still sends is not looked at.

        To close over bytes that nobody read would reset the connection, and take back the answer (RFC 9112, 9.6).
        """
        if (transport := self._sending) is None:
            return
        if self._tls is not None:
            self._tls.end()
            transport.write(self._tls.outgoing())
        try:
            transport.write_eof()
        except OSError:  # it has reset the connection, of which the loop has not heard yet
            self.close()
            return
        self._lingers = asyncio.get_running_loop().call_later(LINGER, self.close)
        if self._held_up:
            transport.resume_reading()

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def next(self) -> bytes:
        """Take the frame that has waited longest; the peer is read again when there is room."""
        frame = self.frames.popleft()
        self._waiting -= len(frame) + 64
        if self._held_up and self._waiting < WAITING // 2:
            self._held_up = False
            if self._transport is not None and self._lingers is None:
                self._transport.resume_reading()
        return frame

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        self._transport = cast("asyncio.Transport", transport)
        host, port = (transport.get_extra_info("peername") or ("?", 0))[:2]
        self.name = f"{host}:{port}"
        self._server.joined(self)
        if self._tls is not None and not self._transport.is_closing():
            self._handshake = asyncio.get_running_loop().call_later(HANDSHAKE, self.close)

    def data_received(self, data: bytes) -> None:
        """Cut into frames; hang up on one who breaks the protocol."""
        if self._lingers is not None:
            return  # nor kept: it may be any number of bytes
        if self._tls is not None:
            data = self._understood(self._tls, data)
            if not data:
                return
        try:
            self._receiver.feed(data)
        except Fault:
            self.close()

    def _understood(self, tls: ServerSide, data: bytes) -> bytes:
        """What bytes say under TLS; b"" when it is nothing yet, or nothing more."""
        said, transport = b"", cast("asyncio.Transport", self._transport)
        try:
            said = tls.feed(data)
        except ssl.SSLError:
            self.finish()  # which lets the peer fetch what TLS says itself about it
            return b""
        if answer := tls.outgoing():
            transport.write(answer)
        if tls.established and self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        if transport.get_write_buffer_size() > WRITE_BUFFER:  # it wants answers of TLS, and takes none
            self.close()
            return b""
        if tls.ended:
            transport.close()  # as at the end of a connection without TLS
        return said

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Leave; frames that wait are still handed over."""
        self._transport = None
        for timer in (self._lingers, self._handshake):
            if timer is not None:
                timer.cancel()
        if self._handshake is not None:
            self._server.counters.handshakes_failed += 1
            self._handshake = None
        self._server.left(self)

    def _take(self, frame: bytes) -> None:
        if self._lingers is not None:
            return
        self.frames.append(frame)
        self._waiting += len(frame) + 64
        if self._waiting >= WAITING and not self._held_up and self._transport is not None:
            self._held_up = True
            self._transport.pause_reading()
        self._server.arrived(self, frame)


class StreamServer:
    """See the module. ``answer(peer, frame)`` returns bytes to send, b"" for none; without it, see `arrivals`.

    ``tls``: what peers must speak, see `gateway.wire.connect.server_tls_context`. A context that starts and stops;
    ``port`` 0 is the real one after the start, which raises OSError when the place is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        framing: Framing | FramingOfEach,
        answer: Callable[[Peer, bytes], bytes] | None = None,
        *,
        most: int = MOST_PEERS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.framing = framing
        self.tls = tls
        self.counters = Counters()
        self.peers: set[Peer] = set()
        self._answer = answer
        self._most = most
        self._ready: deque[Peer] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
        await asyncio.sleep(0)  # the transports confirm in the next turn of the loop

    def hang_up(self) -> None:
        """Close every connection, as a device does that restarts."""
        for peer in tuple(self.peers):
            peer.close()

    async def arrivals(self) -> AsyncIterator[tuple[Peer, bytes]]:
        """Frames of all peers, for ever, peers in turn. Whoever takes long holds the peers up, and loses nothing."""
        while True:
            while self._ready:
                peer = self._ready.popleft()
                frame = peer.next()
                if peer.frames:
                    self._ready.append(peer)
                yield peer, frame
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # what peers call

    def joined(self, peer: Peer) -> None:
        """Count one more, or turn it away."""
        if len(self.peers) >= self._most:
            peer.close()
            return
        self.peers.add(peer)
        self.counters.sessions = len(self.peers)
        self.counters.sessions_most = max(self.counters.sessions_most, len(self.peers))

    def left(self, peer: Peer) -> None:
        """Count one less."""
        self.peers.discard(peer)
        self.counters.sessions = len(self.peers)

    def arrived(self, peer: Peer, frame: bytes) -> None:
        """Answer a frame, or note that it waits."""
        counters = self.counters
        counters.requests += 1
        counters.pdu_most = max(counters.pdu_most, len(frame))
        counters.in_flight_most = max(counters.in_flight_most, len(peer.frames))
        if self._answer is not None:
            if data := self._answer(peer, peer.next()):
                peer.send(data)
            return
        if len(peer.frames) == 1:
            self._ready.append(peer)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@asynccontextmanager
async def open_listener(
    host: str,
    port: int,
    framing: Framing | FramingOfEach,
    *,
    most: int = MOST_PEERS,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[StreamServer]:
    """Listen for devices that dial in; see `StreamServer.arrivals`. Raises LinkLost (port_in_use, address_unusable)."""
    server = StreamServer(host, port, framing, most=most, tls=tls)
    try:
        await server.__aenter__()
    except OSError as error:
        raise os_fault(f"{host}:{port}", error) from error
    try:
        yield server
    finally:
        await server.__aexit__()
