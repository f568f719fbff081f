"""A TCP line that can be hurt: between the gateway and its broker, in a process of its own.

    python -m benchmarks.campaign.proxy --to 127.0.0.1:1883

prints ``{"port": …}`` once it listens, then answers each line on standard input with one JSON line:

``open``       forward everything, take new connections (how it starts)
``refuse``     reset whoever connects; what is connected stays
``hold``       forward nothing, and tell nobody: as if every packet were dropped
``forget``     as ``hold``, for the present connections and for good: as after a power cut of the other side, or of a
               firewall between. New ones work
``cut N``      after N more bytes towards the broker, reset all connections: N is rarely the end of a packet
``cut-back N`` the same, after N more bytes from the broker
``rate N``     N bytes per second in each direction; 0: no limit
``quota N``    1: answer every PUBLISH of MQTT 5 in place of the broker, "quota exceeded"; 0: no longer
``state``      connections so far, connections now, bytes towards the broker, PUBLISH packets refused
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

CHUNK: Final = 4096
PUBLISH: Final = 3
TO, FROM = 0, 1
"""Directions: to the broker, from the broker."""


class Packets:
    """MQTT packets of one publisher, from its bytes however they are split; PUBLISH can be answered in passing."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, *, refuse: bool) -> tuple[bytes, list[bytes]]:
        """Whole packets that are to pass, and the answers to those that are refused (MQTT 5: 3.4, reason 0x97)."""
        self._rest += data
        passed, answers = [], []
        while (end := self._end()) <= len(self._rest):
            packet, self._rest = self._rest[:end], self._rest[end:]
            if refuse and packet[0] >> 4 == PUBLISH:
                topic = 1 + self._width(packet)
                number = topic + 2 + int.from_bytes(packet[topic : topic + 2])
                answers.append(b"\x40\x03" + packet[number : number + 2] + b"\x97")
            else:
                passed.append(packet)
        return b"".join(passed), answers

    def _end(self) -> int:
        """Where the first packet ends; behind everything where that cannot be told yet."""
        width = self._width(self._rest)
        if not width:
            return len(self._rest) + 1
        length = sum((byte & 127) << 7 * place for place, byte in enumerate(self._rest[1 : 1 + width]))
        return 1 + width + length

    @staticmethod
    def _width(packet: bytes) -> int:
        """Bytes of the remaining length (MQTT 5: 1.5.5); 0: not all are there."""
        return next((place for place, byte in enumerate(packet[1:5], 1) if byte < 128), 0)


class Connection:
    """Two sockets, and a task for each direction."""

    def __init__(self, line: Line, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._line = line
        self._writers = (near, far)
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.forgotten = False
        self._packets = Packets()

    async def run(self, near: asyncio.StreamReader, far: asyncio.StreamReader) -> None:
        """Forward until one side ends or the connection is cut."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(near, self._writers[1], TO), name="to the broker")
                group.create_task(self._pump(far, self._writers[0], FROM), name="from the broker")
        except* (ConnectionError, _Ended):
            self.cut()

    def cut(self) -> None:
        """Reset both sides."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: int) -> None:
        clock = asyncio.get_running_loop().time
        free_at = 0.0
        while data := await reader.read(CHUNK):
            await self.flowing.wait()
            if self._line.rate:
                free_at = max(free_at, clock()) + len(data) / self._line.rate
                await asyncio.sleep(free_at - clock())
            if direction == TO:
                data, answers = self._packets.feed(data, refuse=self._line.over_quota)
                self._line.refused += len(answers)
                self._writers[0].writelines(answers)
            passed, cut = self._line.passes(data, direction)
            writer.write(passed)
            if cut:  # nothing may follow what is missing
                self._line.reset()
                return
            await writer.drain()
        if not self.forgotten:
            raise _Ended


class _Ended(Exception):
    """One side has closed."""


class Line:
    """All connections, and what is done to them."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._connections: set[Connection] = set()
        self._taken = 0
        self._bytes = [0, 0]
        self._cut_at: list[int | None] = [None, None]
        self._refusing = False
        self._holding = False
        self.rate = 0.0
        self.over_quota = False
        self.refused = 0
        self.commands: dict[str, Callable[..., None]] = {
            "open": self._open,
            "refuse": self._refuse,
            "hold": self._hold,
            "forget": self._forget,
            "cut": partial(self._cut, TO),
            "cut-back": partial(self._cut, FROM),
            "rate": self._narrow,
            "quota": self._quota,
            "state": lambda: None,
        }

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        if self._refusing:
            writer.transport.abort()
            return
        self._taken += 1
        try:
            far_reader, far = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(self, writer, far)
        if self._holding:
            connection.flowing.clear()
        self._connections.add(connection)
        try:
            await connection.run(reader, far_reader)
        finally:
            self._connections.discard(connection)

    def passes(self, data: bytes, direction: int) -> tuple[bytes, bool]:
        """Count bytes; return what still passes, and whether a cut falls into them."""
        so_far, cut_at = self._bytes[direction], self._cut_at[direction]
        cut = cut_at is not None and so_far + len(data) >= cut_at
        if cut_at is not None and cut:
            data = data[: max(cut_at - so_far, 0)]
            self._cut_at[direction] = None
        self._bytes[direction] += len(data)
        return data, cut

    def state(self) -> dict[str, Any]:
        """Return the answer to every command."""
        told = {"connections": self._taken, "now": len(self._connections), "bytes": self._bytes[TO]}
        return told | {"refused": self.refused}

    def _open(self) -> None:
        self._refusing = self._holding = False
        for connection in self._connections:
            if not connection.forgotten:
                connection.flowing.set()

    def _refuse(self) -> None:
        self._refusing = True

    def _hold(self) -> None:
        self._holding = True
        for connection in self._connections:
            connection.flowing.clear()

    def _forget(self) -> None:
        for connection in self._connections:
            connection.forgotten = True
            connection.flowing.clear()

    def _cut(self, direction: int, after: str) -> None:
        self._cut_at[direction] = self._bytes[direction] + int(after)

    def _narrow(self, rate: str) -> None:
        self.rate = float(rate)

    def _quota(self, over: str) -> None:
        self.over_quota = over != "0"

    def reset(self) -> None:
        """Reset all connections."""
        for connection in tuple(self._connections):
            connection.cut()


async def serve(host: str, port: int) -> None:
    """Forward until the end of standard input."""
    line = Line(host, port)
    server = await asyncio.start_server(line.take, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while text := (await lines.readline()).decode():
        name, *arguments = text.split()
        if name in line.commands:
            line.commands[name](*arguments)
            answer = line.state()
        else:
            answer = {"error": f"{name!r}: expected one of {', '.join(line.commands)}"}
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    host, _, port = parser.parse_args().to.rpartition(":")
    asyncio.run(serve(host, int(port)))


if __name__ == "__main__":
    main()
