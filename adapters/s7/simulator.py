"""An S7 CPU for tests, demonstrations and benchmarks: real telegrams on real sockets.

async with Simulator() as plant:
    plant.cpu.block(1)[0:2] = b"\\x02\\x67"
    ...  # read DB1.DBW0 at 127.0.0.1:{plant.port}
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Self, cast

from adapters.s7 import codec
from adapters.s7.config import S7Connection, S7Device
from adapters.s7.simulated import Counters, Cpu, Faults, Machine

__all__ = ["Counters", "Cpu", "Faults", "Machine", "Simulator"]

LARGEST: Final = 4096
"""Bytes of the longest frame that is taken."""
DIVERT: Final = 0x1111
"""What a wrong reference is wrong by."""


class Simulator:
    """See the module. One CPU, whatever the number of devices that a configuration makes of it."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        """0: chosen at start."""
        self.cpu = Cpu()
        self._lines: set[Line] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    def of(cls, connection: S7Connection) -> Self:
        """Make the simulator that serves where a gateway with this connection looks for its CPU."""
        return cls(host=connection.host, port=connection.port)

    @property
    def counters(self) -> Counters:
        """What was seen so far."""
        return self.cpu.counters

    def device(self, config: S7Device) -> Machine:
        """Return the machine that a device's configuration describes: a view of the one CPU."""
        return Machine(self.cpu, config)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Line(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection, as a CPU does that restarts."""
        for line in tuple(self._lines):
            line.close()


class Line(asyncio.Protocol):
    """One connection to the simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._loop = asyncio.get_running_loop()
        self._simulator = simulator
        self._cpu = simulator.cpu
        self._counters = simulator.cpu.counters
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._pdu = LARGEST
        self._connected = False
        self._pending = 0
        self._queue: deque[tuple[float, bytes, int]] = deque()
        self._pump: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        self._transport = cast("asyncio.Transport", transport)
        self._simulator._lines.add(self)  # noqa: SLF001, both are one simulator
        self._counters.sessions += 1
        self._counters.sessions_most = max(self._counters.sessions_most, self._counters.sessions)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Leave."""
        self._simulator._lines.discard(self)  # noqa: SLF001
        self._counters.sessions -= 1
        self._queue.clear()
        if self._pump is not None:
            self._pump.cancel()

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in what has arrived."""
        data = self._rest + data
        at = 0
        units: list[bytes] = []
        while len(data) - at >= codec.DATA:
            length = data[at + 2] << 8 | data[at + 3]
            if data[at] != 3 or not codec.DATA <= length <= LARGEST:
                self._counters.rejected_bytes += len(data) - at
                self.close()
                return
            if length > len(data) - at:
                break
            units.append(data[at : at + length])
            at += length
        self._rest = data[at:]
        self._pending += len(units)
        self._counters.in_flight_most = max(self._counters.in_flight_most, self._pending)
        for unit in units:
            if unit[5] == codec.CONNECT:
                self._confirm(unit)
            elif unit[5] == codec.DT and self._connected and len(unit) > codec.DATA + codec.JOB_HEADER:
                self._serve(unit[codec.DATA :])
            else:
                self._counters.rejected_bytes += len(unit)
                self.close()

    def _confirm(self, unit: bytes) -> None:
        """CC, or DR for a TSAP that is not there."""
        remote = _option(unit, 0xC2)
        if self._cpu.silent:
            self._pending -= 1
        elif self._cpu.remote_tsaps and remote not in self._cpu.remote_tsaps:
            self._send(b"\3\0\0\x0b\6\x80" + unit[8:10] + b"\0\0\x01", 1)
        else:
            self._connected = True
            self._send(unit[:5] + bytes((codec.CONFIRM,)) + unit[8:10] + b"\0\1" + unit[10:], 1)

    def _serve(self, telegram: bytes) -> None:
        counters, faults = self._counters, self._cpu.faults
        counters.requests += 1
        counters.pdu_most = max(counters.pdu_most, len(telegram))
        setup = telegram[1] == codec.JOB and telegram[10] == codec.SETUP
        if setup:
            self._pdu = self._cpu.setup(telegram[10:])[1]
        answer = self._cpu.answer(telegram, self._pdu)
        counters.pdu_most = max(counters.pdu_most, len(answer))
        if self._cpu.silent:
            self._pending -= 1
        elif faults is None and not self._queue:
            self._send(codec.frame(answer), 1)
        else:
            self._misbehave(faults or Faults(), answer)

    def _misbehave(self, faults: Faults, answer: bytes) -> None:
        if faults.times > 0:
            faults.times -= 1
            if not faults.times:
                self._cpu.faults = None
        if faults.hang_up:
            self.close()
            return
        if faults.silent:
            self._pending -= 1
            return
        if faults.wrong_reference:
            reference = int.from_bytes(answer[4:6], "big") + DIVERT & 0xFFFF
            answer = answer[:4] + reference.to_bytes(2, "big") + answer[6:]
        if faults.wrong_function and len(answer) > codec.ANSWER_HEADER:
            answer = answer[: codec.ANSWER_HEADER] + b"\x1e" + answer[codec.ANSWER_HEADER + 1 :]
        frame = _fragments(answer, faults.fragment) if faults.fragment else codec.frame(answer)
        if faults.disconnect:
            frame = b"\3\0\0\x0b\6\x80\0\1\0\1\0"
        frame = faults.garbage + frame[: len(frame) - faults.truncate] * (1 + faults.repeat)
        now = monotonic()
        if faults.late:
            self._loop.call_later(faults.late, self._send, frame, 1)
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
            self._send(data, answers)
        if self._pump is not None:
            self._pump.cancel()
        self._pump = self._loop.call_later(self._queue[0][0] - now, self._send_due) if self._queue else None

    def _send(self, data: bytes, answers: int) -> None:
        self._pending -= answers
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _option(unit: bytes, code: int) -> bytes:
    """Value of a parameter of a CR; empty when it is not there."""
    at = 11
    while at + 2 <= len(unit):
        if unit[at] == code:
            return unit[at + 2 : at + 2 + unit[at + 1]]
        at += 2 + unit[at + 1]
    return b""


def _fragments(telegram: bytes, size: int) -> bytes:
    """One telegram in several DT units."""
    parts = [telegram[at : at + size] for at in range(0, len(telegram), size)]
    frames = [bytearray(codec.frame(part)) for part in parts]
    for frame in frames[:-1]:
        frame[6] = 0
    return b"".join(frames)
