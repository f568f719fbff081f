"""A MELSEC CPU for tests, demonstrations and benchmarks: real messages on real sockets, TCP and UDP, binary and ASCII.

    async with Simulator.of(connection) as plant:
        plant.device(config).set(tag, 21.5)

Like the real ones it keeps silent to whoever speaks another code or frame than it is set to. What else was measured on
an FX5U is there to be switched on: `one_session` and `last_only`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Self, cast

from adapters.mc import codec
from adapters.mc.codec import Code, Frame, Route
from adapters.mc.config import McConnection, McDevice, Transport
from adapters.mc.simulated import Counters, Cpu, Faults, Refused
from gateway.model.faults import ProtocolFault

__all__ = ["Counters", "Cpu", "Faults", "Simulator"]

LONGEST: Final = 8192
"""Longest request, in bytes as transmitted."""
WRONG_STATION: Final = 0xC1A8
Send = Callable[[bytes], None]


class Simulator:
    """See the module. ``port`` 0 is the real one after the start, which raises OSError when the place is taken."""

    def __init__(
        self,
        *,
        transport: str = Transport.TCP,
        code: str = Code.BINARY,
        frame: str = Frame.E3,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.transport = Transport(transport)
        self.code = Code(code)
        self.frame = Frame(frame)
        self.host = host
        self.port = port
        self.cpus: dict[Route, Cpu] = {}
        self.counters = Counters()
        self.one_session = False
        """True: a second TCP connection is taken, and closed at once (measured on an FX5U)."""
        self.last_only = False
        """True: of requests that arrive together only the last is answered (measured on an FX5U)."""
        self.tap: Callable[[str, bytes], None] | None = None
        """Is called with ``<`` or ``>`` and the bytes of every arrival and every write."""
        self._lines: set[Line] = set()
        self._server: asyncio.Server | None = None
        self._socket: asyncio.DatagramTransport | None = None

    @classmethod
    def of(cls, connection: McConnection) -> Self:
        """Make the simulator that listens where a gateway with this connection connects to."""
        c = connection
        return cls(transport=c.transport, code=c.code, frame=c.frame, host=c.host, port=c.port)

    def device(self, config: McDevice) -> Cpu:
        """Return the CPU that a device's configuration addresses, made on first use."""
        if config.route not in self.cpus:
            self.cpus[config.route] = Cpu(config)
        return self.cpus[config.route]

    def cpu(self, series: str = "q", **more: object) -> Cpu:
        """Return the CPU with these settings."""
        return self.device(McDevice.model_validate({"connection": "simulated", "series": series, **more}))

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self.transport is Transport.UDP:
            self._socket, _ = await loop.create_datagram_endpoint(
                lambda: Datagrams(self), local_addr=(self.host, self.port)
            )
            self.port = self._socket.get_extra_info("sockname")[1]
        else:
            self._server = await loop.create_server(lambda: Line(self), self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.abort()
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection, as a CPU does that restarts."""
        for line in tuple(self._lines):
            line.close()

    # what connections call

    def joined(self, line: Line) -> None:
        """Count one more, or turn it away."""
        if self.one_session and self._lines:
            line.close()
            return
        self._lines.add(line)
        self.counters.sessions = len(self._lines)
        self.counters.sessions_most = max(self.counters.sessions_most, len(self._lines))

    def left(self, line: Line) -> None:
        """Count one less."""
        self._lines.discard(line)
        self.counters.sessions = len(self._lines)

    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Whole requests in what has arrived, and the rest; what is no request is passed over in silence."""
        scale = 2 if self.code.text else 1
        beginning = codec.SUBHEADERS[self.frame, self.code.text][0]
        head = (13 if self.frame is Frame.E4 else 9) * scale
        found: list[bytes] = []
        while data:
            if not data.startswith(beginning[: len(data)]):
                self.counters.ignored += 1
                return found, b""
            if len(data) < head:
                break
            try:
                stop = head + codec.parse_number(self.code, data[head - 2 * scale : head])
            except ProtocolFault:
                stop = LONGEST + 1
            if stop > LONGEST:
                self.counters.ignored += 1
                return found, b""
            if len(data) < stop:
                break
            found.append(data[:stop])
            data = data[stop:]
        return found, data

    def answer(self, request: bytes) -> tuple[bytes, Cpu | None]:
        """Answer to one whole request, b"" for none; and who gives it."""
        code, scale = self.code, 2 if self.code.text else 1
        at = (6 if self.frame is Frame.E4 else 2) * scale

        def take(size: int) -> int:
            nonlocal at
            at += size * scale
            if at > len(request):
                raise ProtocolFault("a request breaks off", data=request)
            return codec.parse_number(code, request[at - size * scale : at])

        try:
            serial = codec.parse_number(code, request[2 * scale : 4 * scale]) if self.frame is Frame.E4 else 0
            route = Route(take(1), take(1), take(2), take(1))
            take(2), take(2)  # length, monitoring timer
            command, subcommand = take(2), take(2)
        except ProtocolFault:
            return b"", None
        cpu = self.cpus.get(route)
        faults = (cpu.faults if cpu else None) or Faults()
        try:
            if cpu is None:
                raise Refused(WRONG_STATION)
            if cpu.silent:
                return b"", cpu
            data, end = cpu.answer(code, command, subcommand, request[at:]).encode(code), 0
        except (Refused, ProtocolFault) as refused:
            end = refused.code if isinstance(refused, Refused) else 0xC050
            named = command ^ faults.wrong_command
            data = route.encode(code) + codec.number(code, named, 2) + codec.number(code, subcommand, 2)
            data = b"" if faults.bare else data
        if faults.wrong_route:
            route = Route(route.network ^ 1, route.pc, route.io, route.station)
        return codec.answer(code, self.frame, route, end, data, serial ^ faults.wrong_serial), cpu


class Conversation:
    """Requests of one partner, and the answers to them."""

    def __init__(self, simulator: Simulator, send: Send, close: Callable[[], None]) -> None:
        self._simulator = simulator
        self._send = send
        self._close = close
        self._pending = 0

    def take(self, requests: list[bytes]) -> None:
        """Answer what has arrived in one go."""
        counters = self._simulator.counters
        counters.requests += len(requests)
        self._pending += len(requests)
        counters.in_flight_most = max(counters.in_flight_most, self._pending)
        if self._simulator.last_only and requests:
            self._pending -= len(requests) - 1
            del requests[:-1]
        for request in requests:
            counters.pdu_most = max(counters.pdu_most, len(request))
            data, cpu = self._simulator.answer(request)
            faults = cpu.faults if cpu is not None else None
            if not data:
                self._pending -= 1
            elif faults is None:
                self._out(data, 1)
            else:
                self._misbehave(cpu, faults, data)

    def _misbehave(self, cpu: Cpu | None, faults: Faults, data: bytes) -> None:
        if faults.times > 0:
            faults.times -= 1
            if not faults.times and cpu is not None:
                cpu.faults = None
        if faults.hang_up:
            self._close()
            return
        if faults.silent:
            self._pending -= 1
            return
        if faults.flip >= 0:
            at = faults.flip % len(data)
            data = data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :]
        data = faults.garbage + data[: len(data) - faults.truncate] * (1 + faults.repeat)
        later = asyncio.get_running_loop().call_later
        pieces = [data[at : at + 1] for at in range(len(data))] if faults.dribble else [data]
        for place, piece in enumerate(pieces):
            last = int(place == len(pieces) - 1)
            wait = faults.delay + place * faults.dribble
            if wait:
                later(wait, partial(self._out, piece, last))
            else:
                self._out(piece, last)

    def _out(self, data: bytes, answers: int) -> None:
        self._pending -= answers
        if self._simulator.tap is not None:
            self._simulator.tap(">", data)
        self._send(data)


class Line(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._conversation = Conversation(simulator, self._write, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        self._transport = cast("asyncio.Transport", transport)
        self._simulator.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Leave."""
        self._transport = None
        self._simulator.left(self)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in what has arrived."""
        if self._simulator.tap is not None:
            self._simulator.tap("<", data)
        requests, self._rest = self._simulator.cut(self._rest + data)
        self._conversation.take(requests)

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


class Datagrams(asyncio.DatagramProtocol):
    """The UDP port: each datagram a request."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._transport: asyncio.DatagramTransport | None = None
        self._partners: dict[object, Conversation] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        """Answer a request."""
        if self._simulator.tap is not None:
            self._simulator.tap("<", data)
        if addr not in self._partners:
            if len(self._partners) >= 64:
                del self._partners[next(iter(self._partners))]
            self._partners[addr] = Conversation(self._simulator, partial(self._write, addr), lambda: None)
        requests, _ = self._simulator.cut(data)
        self._partners[addr].take(requests)

    def _write(self, addr: tuple[str | int, int], data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)
