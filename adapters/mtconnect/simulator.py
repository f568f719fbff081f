"""A device of MTConnect for tests and demonstrations: real lines on a real socket.

``async with Simulator() as plant:`` serves at 127.0.0.1, port ``plant.port``, what ``plant.device().values`` holds.
"""

from __future__ import annotations

import asyncio
from typing import Self

from gateway.sdk import Value
from gateway.sdk.simulator import raw_value
from gateway.wire.serving import Peer, StreamServer

from .codec import ALIVE, LINES, format_value
from .config import MtconnectConnection, MtconnectDevice, MtconnectTag

BEAT: float = 1.0
"""Seconds between two signs of life to those who subscribed."""


class Device:
    """What the simulated device holds, and how it misbehaves."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        """Text by name."""
        self.errors: dict[str, int] = {}
        """Error number by name, given instead of a value."""
        self.silent = False
        """Takes questions and answers none."""
        self.listeners: dict[str, set[Peer]] = {}

    def set(self, tag: MtconnectTag, value: Value) -> None:
        """Set an engineering value: a gateway with this tag reads just that. Raises ValueError when it does not fit."""
        self.values[tag.address.name] = format_value(tag.type, raw_value(tag, value))
        self.tell(tag.address.name)

    def refuse(self, tag: MtconnectTag, error: int = 2) -> None:
        """Answer with an error from now on; 0: no more."""
        self.errors[tag.address.name] = error
        self.tell(tag.address.name)

    def tell(self, name: str) -> None:
        """Send a value to those who subscribed to it."""
        if not self.silent:
            for peer in self.listeners.get(name, ()):
                peer.send(self.answer(name))

    def answer(self, name: str) -> bytes:
        """The line that tells a value, or why there is none."""
        error = self.errors.get(name, 0) or (0 if name in self.values else 2)
        line = f"ERR {error} {name}" if error else f"{name}={self.values[name]}"
        return f"{line}\r\n".encode()


class Simulator(StreamServer):
    """See the module. One device; port 0: chosen at the start."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host, port, LINES, self.reply)
        self._device = Device()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, connection: MtconnectConnection) -> Self:
        """Make the simulator that listens where a gateway with this connection connects to."""
        return cls(connection.host, connection.port)

    def device(self, _config: MtconnectDevice | None = None) -> Device:
        """Return the one device behind a connection."""
        return self._device

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._beat()
        return self

    async def __aexit__(self, *reason: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().__aexit__(*reason)

    def left(self, peer: Peer) -> None:
        """Forget a peer that is gone."""
        for listeners in self._device.listeners.values():
            listeners.discard(peer)
        super().left(peer)

    def reply(self, peer: Peer, line: bytes) -> bytes:
        """Answer one line."""
        device = self._device
        if device.silent:
            return b""
        word, _, name = line.decode("utf-8", "replace").partition(" ")
        if word == "WHO":
            return b"WHO Xingsha Mtconnect 1.0\r\n"
        if word == "SUB":
            device.listeners.setdefault(name, set()).add(peer)
        return device.answer(name) if word in ("READ", "SUB") else b"ERR 1 " + line[:64] + b"\r\n"

    def _beat(self) -> None:
        if not self._device.silent:
            for peer in set().union(*self._device.listeners.values()):
                peer.send(ALIVE + b"\r\n")
        self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)
