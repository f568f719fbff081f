"""TLS as the server, between the bytes of a connection and what they say. Sans-io, and the same in every event loop.

The loops' own server-side TLS tells of a peer only after its handshake, so that those who never finish one could not be
counted or turned away, and it cannot close one direction alone, which a refusal needs that is to be read.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

_PIECE: Final = 64 * 1024


class ServerSide:
    """One connection. What is to be sent to the peer is handed out by `outgoing`: ask for it after each call."""

    __slots__ = ("_in", "_out", "_tls", "ended", "established")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.established = False
        """The handshake is over, and the peer is let in."""
        self.ended = False
        """The peer has said that it sends nothing more."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the peer, return what they say. Raises ssl.SSLError; what is wrong is in `outgoing`."""
        self._in.write(data)
        said = bytearray()
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while piece := self._tls.read(_PIECE):
                said += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass  # the rest is yet to come
        return bytes(said)

    def tell(self, data: bytes) -> None:
        """Put something to say into `outgoing`. Raises ssl.SSLError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]

    def end(self) -> None:
        """Say that nothing more is sent (close_notify), if there is anybody to be told."""
        with suppress(ssl.SSLError):  # among others: the peer has not said so itself, which is not waited for
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Take what is to be sent."""
        return self._out.read()
