"""Chaos link: a TCP proxy between a gateway and a (simulated) device that does to their bytes what networks do.

    async with ChaosLink(device_port) as link:      # the gateway connects to link.port
        link.next(Mischief.CUT)                     # the next answer is cut off in the middle

Mischief concerns what the device sends; each piece that is read from it counts as one answer, which is what small
answers on loopback are. Requests pass untouched, unless the link is stalled. Listens on loopback only; every queue is
bounded by the sockets' own buffers.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final, Self

from gateway.testing.ports import free_port

PIECE: Final = 64 * 1024
NOISE: Final = b"\x00\xffHTTP/1.1 400 Bad Request\r\nnoise\x00\xaa\x55" * 2
"""What garbage looks like: no message of any protocol, and not the beginning of one either."""


class Mischief(StrEnum):
    """What can happen to one answer."""

    CUT = "cut"
    """Half of it arrives, then the connection is closed in order."""
    RESET = "reset"
    """Half of it arrives, then the connection is reset."""
    STALL = "stall"
    """Nothing arrives any more in either direction, and the connection stays: half-open."""
    LOSE = "lose"
    """It does not arrive; those behind it do."""
    NOISE_BEFORE = "noise before"
    """Bytes that nobody sent arrive just before it."""
    NOISE_INSTEAD = "noise instead"
    """Such bytes arrive in its place."""
    SPLIT = "split"
    """It arrives byte by byte."""
    DUPLICATE = "duplicate"
    """It arrives twice."""
    LATE = "late"
    """It arrives late, after ``delay`` seconds; those behind it wait as well."""
    DRIP = "drip"
    """Its bytes arrive one by one, ``delay`` seconds apart."""


HARMLESS: Final = frozenset({Mischief.SPLIT})
"""What a correct adapter does not even notice."""


_ARRIVES: Final[dict[Mischief, Callable[[bytes], bytes]]] = {
    Mischief.LOSE: lambda _data: b"",
    Mischief.NOISE_BEFORE: lambda data: NOISE + data,
    Mischief.NOISE_INSTEAD: lambda _data: NOISE,
    Mischief.DUPLICATE: lambda data: data + data,
}
"""What arrives instead of an answer."""


class ChaosLink:
    """See the module."""

    def __init__(self, device_port: int, *, delay: float = 0.5) -> None:
        self.device_port = device_port
        self.port = free_port()
        """Where the gateway connects to."""
        self.delay = delay
        self.tap: Callable[[str, bytes], None] | None = None
        """Is called with ``>`` (to the device) or ``<`` and the bytes, as they were before any mischief."""
        self.refusing = False
        """True: connections are taken and closed at once."""
        self.connections = 0
        """Taken in all."""
        self.answers = 0
        """Pieces that the device has sent."""
        self.done: list[Mischief] = []
        """Mischief that was done."""
        self._plan: deque[tuple[int, Mischief]] = deque()
        self._server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        """One for each connection that is open."""

    def next(self, mischief: Mischief, after: int = 0) -> None:
        """Do this to the next answer, or to the one ``after`` so many others."""
        self._plan.append((self.answers + after, mischief))

    def hang_up(self) -> None:
        """Close all connections at once."""
        for task in tuple(self.tasks):
            task.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()
        if self.tasks:
            await asyncio.wait(self.tasks)
        if self._server is not None:
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        device: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError, asyncio.CancelledError):
                device_reader, device = await asyncio.open_connection("127.0.0.1", self.device_port)
                await _Pair(self, reader, writer, device_reader, device).run()
        finally:
            for end in (writer, device):
                if end is not None:
                    end.transport.abort()

    def told(self, data: bytes) -> Mischief | None:
        """An answer arrives: what is to be done to it."""
        number, self.answers = self.answers, self.answers + 1
        if self.tap is not None:
            self.tap("<", data)
        if not self._plan or self._plan[0][0] > number:
            return None
        mischief = self._plan.popleft()[1]
        self.done.append(mischief)
        return mischief


class _Pair:
    """One connection of the gateway, and the one to the device that belongs to it."""

    def __init__(
        self,
        link: ChaosLink,
        gateway_reader: asyncio.StreamReader,
        gateway: asyncio.StreamWriter,
        device_reader: asyncio.StreamReader,
        device: asyncio.StreamWriter,
    ) -> None:
        self._link = link
        self._gateway_reader, self._gateway = gateway_reader, gateway
        self._device_reader, self._device = device_reader, device
        self._stalled = asyncio.Event()

    async def run(self) -> None:
        """Pass bytes both ways until one end closes, or mischief ends it."""
        ways = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while data := await self._gateway_reader.read(PIECE):
            if self._link.tap is not None:
                self._link.tap(">", data)
            if not self._stalled.is_set():
                self._device.write(data)
                await self._device.drain()

    async def _answers(self) -> None:
        while data := await self._device_reader.read(PIECE):
            if self._stalled.is_set():
                continue
            mischief = self._link.told(data)
            if mischief is None:
                await self._pass(data)
            elif not await self._do(mischief, data):
                return

    async def _pass(self, data: bytes) -> None:
        self._gateway.write(data)
        await self._gateway.drain()

    async def _do(self, mischief: Mischief, data: bytes) -> bool:
        """Do it; False when the connection is to be closed."""
        if mischief in {Mischief.CUT, Mischief.RESET}:
            await self._pass(data[: len(data) // 2])
            if mischief is Mischief.RESET:
                self._linger_not()
            return False
        if mischief is Mischief.STALL:
            self._stalled.set()
        elif mischief is Mischief.LATE:
            await asyncio.sleep(self._link.delay)
            await self._pass(data)
        elif mischief in {Mischief.SPLIT, Mischief.DRIP}:
            for place in range(len(data)):
                await self._pass(data[place : place + 1])
                await asyncio.sleep(self._link.delay if mischief is Mischief.DRIP else 0.0)
        else:
            await self._pass(_ARRIVES[mischief](data))
        return True

    def _linger_not(self) -> None:
        """Closing will reset."""
        sock = self._gateway.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
