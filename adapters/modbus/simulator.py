"""A Modbus server for tests, demonstrations and benchmarks: real frames on real sockets and (pseudo) serial lines.

    async with Simulator() as plant:
        plant.unit(1).holding[100] = 215
        ...  # read it at 127.0.0.1:{plant.port}

Transports: ``tcp``, ``rtu_over_tcp``, and ``rtu``, on a serial port or, with no port given, on a pseudo terminal of its
own. With ``dial=True`` it does not listen but dials in, as a 4G unit does.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final, Self, cast

import serial

from adapters.modbus.codec import crc16, rtu_frame, tcp_frame
from adapters.modbus.config import ModbusConnection, ModbusDevice, Transport
from adapters.modbus.simulated import Counters, Faults, Unit

__all__ = ["Counters", "Faults", "Simulator", "Unit"]

DIAL_EVERY: Final = 0.1
"""Seconds between two tries to dial in."""
NO_ANSWER_BEHIND: Final = bytes((0x0B,))
"""What a TCP gateway says when there is no such unit on its serial side: exception 11."""
_REQUEST_LENGTHS: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys((1, 2, 3, 4, 5, 6), (8, -1)), 15: (9, 6), 16: (9, 6), 22: (10, -1), 23: (13, 10), 43: (7, -1),
}  # fmt: skip
"""RTU request length by function: (without its data, place of the byte count or -1)."""

Parsed = tuple[int, int, bytes]
"""Transaction id (0 on RTU), unit, PDU."""


class Simulator:
    """See the module. Unknown units are silent on RTU, and answered with exception 11 on TCP."""

    def __init__(
        self, *, transport: str = "tcp", host: str = "127.0.0.1", port: int | str = 0, dial: bool = False
    ) -> None:
        if transport not in ("tcp", "rtu", "rtu_over_tcp"):
            raise ValueError(f"transport is tcp, rtu or rtu_over_tcp, not {transport!r}")
        self.transport = transport
        self.host = host
        self.port: int | str = port
        """TCP port (0: chosen at start), or serial device file (0: a pseudo terminal, its path is set at start)."""
        self.units: dict[int, Unit] = {}
        self.counters = Counters()
        self.tap: Callable[[str, bytes], None] | None = None
        """Is called with ``<`` or ``>`` and the bytes of every arrival and every write."""
        self._dial = dial
        self._lines: set[Line] = set()
        self._server: asyncio.Server | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._descriptors: list[int] = []
        self._serial: serial.Serial | None = None

    @classmethod
    def of(cls, connection: ModbusConnection) -> Self:
        """Make the simulator that serves where a gateway with this connection looks for its devices, or dials in."""
        transport = connection.transport
        return cls(
            transport="tcp" if not transport.rtu else "rtu" if transport is Transport.RTU else "rtu_over_tcp",
            host=connection.host or "127.0.0.1",
            port=connection.serial_port or connection.port,
            dial=transport.listens,
        )

    def device(self, config: ModbusDevice) -> Unit:
        """Return the unit that a device's configuration addresses."""
        return self.unit(config.unit, config)

    def unit(self, number: int, device: ModbusDevice | None = None) -> Unit:
        """Return unit ``number``, made on first use; ``device``: its base and byte order, for `Unit.set`."""
        known = self.units.get(number)
        if known is None or (device is not None and known.device != device):
            known = self.units[number] = Unit(number, device)
        return known

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self.transport == "rtu":
            self._open_serial()
        elif self._dial:
            self._dialling = loop.create_task(self._keep_dialling(), name="simulator dialling in")
        else:
            self._server = await loop.create_server(lambda: Line(self), self.host, int(self.port))
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            with suppress(asyncio.CancelledError):
                await self._dialling
        if self._server is not None:
            self._server.close()
        self.hang_up()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        if self._serial is not None:
            self._serial.close()

    def hang_up(self) -> None:
        """Close every connection, as a device does that restarts."""
        for line in tuple(self._lines):
            line.close()

    def _open_serial(self) -> None:
        if self.port:
            self._serial = serial.Serial(str(self.port), timeout=0)
            descriptor = self._serial.fileno()
        else:
            descriptor, other = os.openpty()
            tty.setraw(other)
            self.port = os.ttyname(other)
            self._descriptors = [descriptor, other]
        os.set_blocking(descriptor, False)
        line = Line(self)
        line.connection_made(_Descriptor(descriptor, line))

    async def _keep_dialling(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                _, line = await loop.create_connection(lambda: Line(self), self.host, int(self.port))
                await line.closed
            await asyncio.sleep(DIAL_EVERY)


class _Descriptor(asyncio.WriteTransport):
    """A serial line as a transport. What it does not take at once is lost, as on a real line."""

    def __init__(self, descriptor: int, line: Line) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._readable)
        self._closing = False

    def _readable(self) -> None:
        with suppress(BlockingIOError, OSError):
            self._line.data_received(os.read(self._descriptor, 4096))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with suppress(BlockingIOError):
            os.write(self._descriptor, data)

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._descriptor)
            self._line.connection_lost(None)


class Line(asyncio.Protocol):
    """One connection, or one serial line, to the simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._simulator = simulator
        self._counters = simulator.counters
        self._rtu = simulator.transport != "tcp"
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None
        self._pending = 0
        self._queue: deque[tuple[float, bytes, int]] = deque()
        self._pump: asyncio.TimerHandle | None = None
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._simulator._lines.add(self)  # noqa: SLF001, both are one simulator
        self._counters.connections += 1
        self._counters.most_connections = max(self._counters.most_connections, self._counters.connections)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Leave."""
        self._simulator._lines.discard(self)  # noqa: SLF001
        self._counters.connections -= 1
        self._queue.clear()
        if self._pump is not None:
            self._pump.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in what has arrived."""
        if self._simulator.tap is not None:
            self._simulator.tap("<", data)
        now = monotonic()
        if self._sent_at:
            self._counters.least_gap = min(self._counters.least_gap, now - self._sent_at)
        self._rest += data
        answers: list[bytes] = []
        requests = list(self._rtu_requests() if self._rtu else self._tcp_requests())
        self._pending += len(requests)
        self._counters.requests += len(requests)
        self._counters.most_in_flight = max(self._counters.most_in_flight, self._pending)
        for transaction, number, pdu in requests:
            unit = self._simulator.units.get(number)
            if number == 0 and self._rtu:
                for listener in self._simulator.units.values():
                    listener.answer(pdu)
                self._pending -= 1
            elif unit is None:
                if not self._rtu:
                    answers.append(tcp_frame(transaction, number, bytes((pdu[0] | 0x80,)) + NO_ANSWER_BEHIND))
                self._pending -= 1
            else:
                answer = unit.answer(pdu)
                if unit.faults is None and not self._queue:
                    answers.append(self._frame(transaction, number, answer))
                    self._pending -= 1
                else:
                    self._misbehave(unit, unit.faults or Faults(), transaction, answer, now)
        if answers:
            self._write(b"".join(answers), 0)

    def _frame(self, transaction: int, unit: int, pdu: bytes) -> bytes:
        return rtu_frame(unit, pdu) if self._rtu else tcp_frame(transaction, unit, pdu)

    def _misbehave(self, unit: Unit, faults: Faults, transaction: int, pdu: bytes, now: float) -> None:
        if faults.times > 0:
            faults.times -= 1
            if not faults.times:
                unit.faults = None
        if faults.hang_up:
            self.close()
            return
        if faults.silent:
            self._pending -= 1
            return
        if faults.wrong_function:
            pdu = bytes((pdu[0] ^ 1,)) + pdu[1:]
        frame = self._frame(
            transaction + 0x1111 * faults.wrong_transaction & 0xFFFF, unit.number + faults.wrong_unit & 0xFF, pdu
        )
        if faults.wrong_crc:
            frame = frame[:-1] + bytes((frame[-1] ^ 0xFF,))
        frame = faults.garbage + frame[: len(frame) - faults.truncate] * (1 + faults.repeat)
        if faults.late:
            self._loop.call_later(faults.late, self._write, frame, 1)
            return
        due = max(self._queue[-1][0] if self._queue else now, now) + faults.delay
        pieces = [frame[place : place + 1] for place in range(len(frame))] if faults.dribble else [frame]
        for place, piece in enumerate(pieces):
            self._queue.append((due, piece, int(place == len(pieces) - 1)))
            due += faults.dribble
        self._send_due()

    def _send_due(self) -> None:
        """Send in order what is due, and come back for the rest."""
        now = monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, data, answers = self._queue.popleft()
            self._write(data, answers)
        if self._pump is not None:
            self._pump.cancel()
        self._pump = self._loop.call_later(self._queue[0][0] - now, self._send_due) if self._queue else None

    def _write(self, data: bytes, answers: int) -> None:
        self._pending -= answers
        if self._transport is None or self._transport.is_closing():
            return
        if self._simulator.tap is not None:
            self._simulator.tap(">", data)
        self._transport.write(data)
        self._sent_at = monotonic()

    def _tcp_requests(self) -> Iterator[Parsed]:
        data, at = self._rest, 0
        while len(data) - at >= 8:
            length = data[at + 4] << 8 | data[at + 5]
            if data[at + 2] or data[at + 3] or not 2 <= length <= 254:
                self._counters.rejected_bytes += len(data) - at
                self.close()
                at = len(data)
                break
            if len(data) - at < 6 + length:
                break
            yield data[at] << 8 | data[at + 1], data[at + 6], data[at + 7 : at + 6 + length]
            at += 6 + length
        self._rest = data[at:]

    def _rtu_requests(self) -> Iterator[Parsed]:
        data, at = self._rest, 0
        while len(data) - at >= 4:
            length, count_at = _REQUEST_LENGTHS.get(data[at + 1], (len(data) - at, -1))
            if count_at >= 0:
                if len(data) - at <= count_at:
                    break
                length += data[at + count_at]
            if length > len(data) - at:
                break
            frame = data[at : at + length]
            if crc16(frame[:-2]) == frame[-2] | frame[-1] << 8:
                yield 0, frame[0], frame[1:-2]
                at += length
            else:
                self._counters.rejected_bytes += 1
                at += 1
        self._rest = data[at:][-256:]
