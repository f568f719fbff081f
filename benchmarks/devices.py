"""Simulated Modbus TCP devices, fast enough that the gateway is what a benchmark measures.

Written apart from the gateway's own Modbus code, because it is the judge of it. Answers function code 3 for whole
blocks of the pattern (any other range gets exception 2, and is counted: a benchmark that reads otherwise than planned
should not go unnoticed), however many requests come pipelined, all answers in one write.

    python -m benchmarks.devices --devices 100 --registers 1000 --change all --board /tmp/board

prints one JSON line with the ports, then obeys lines on standard input, ``ORDER DEVICE`` or ``ORDER FIRST LAST``:

speak    as it should, again
silence  takes requests and never answers
refuse   answers with an exception: device failure
dribble  answers one byte a second
garble   answers with bytes that are no answer: noise, wrong lengths, the wrong function, the wrong unit
delay    answers rightly formed, `DELAY` seconds late
reset    answers with half an answer and closes the connection with RST
shut     takes no connections, and drops those it has
flap     takes connections and drops them soon: at once, after a moment, in the middle of an answer

An answer of a misbehaving device carries other values than the device has, and counts as not served: a gateway that
takes it for an answer is found out by the values. It ends at end of input or at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Final, cast

import uvloop

from benchmarks.pattern import ROWS, STEP, Pattern, Scoreboard, parse_change
from gateway.testing.ports import free_port

REQUEST: Final = struct.Struct(">HHHBBHH")
HEAD: Final = struct.Struct(">HHHBBBH")
MARKER: Final = struct.Struct(">H")
EXCEPTION: Final = struct.Struct(">HHHBBB")
READ_HOLDING: Final = 3
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, DEVICE_FAILURE, NO_TARGET = 1, 2, 4, 11
ORDERS: Final = ("speak", "silence", "refuse", "dribble", "garble", "delay", "reset", "shut", "flap")
UNHEARD: Final = {"silence", "shut"}
DELAY: Final = 1.5
"""Seconds by which a late answer is late: longer than the time-out that it has to exceed, shorter than two."""
DRIBBLE: Final = 1.0
"""Seconds between two bytes of one that dribbles."""
FEW: Final = 1000
"""Ports for so many lie where no client takes one while it is shut."""
RST: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""

Serve = Callable[[int, int], tuple[int, memoryview]]
"""(block number, count) → (marker, all bytes of the block; its marker is overwritten)."""


def serve_all(pattern: Pattern) -> Serve:
    """Another row of the table for each read."""
    table = memoryview(pattern.table.astype(">u2").tobytes())
    stride, size = pattern.stride, 2 * pattern.width

    def serve(block: int, count: int) -> tuple[int, memoryview]:
        start = ((block + count * stride) & (ROWS - 1)) * size
        return count & 0xFFFF, table[start : start + size]

    return serve


def serve_slow(pattern: Pattern) -> Serve:
    """Registers kept as bytes; each read first changes as many of them as are due."""
    rows = [block & (ROWS - 1) for block in range(pattern.total)]
    registers = [bytearray(pattern.table[row].astype(">u2").tobytes()) for row in rows]
    views = [memoryview(row) for row in registers]
    due = [0] * pattern.total
    turns = [0] * pattern.total
    markers = [0] * pattern.total
    changes = pattern.change * pattern.width
    numerator, denominator = changes.numerator, changes.denominator
    order = pattern.order
    for number in range(pattern.total):
        due[number] = number % denominator

    def serve(block: int, _count: int) -> tuple[int, memoryview]:
        changing, due[block] = divmod(due[block] + numerator, denominator)
        if changing:
            markers[block] += 1
            row = registers[block]
            for _ in range(changing - 1):
                place = 2 * order[turns[block] % len(order)]
                turns[block] += 1
                value = (MARKER.unpack_from(row, place)[0] + STEP) & 0xFFFF
                MARKER.pack_into(row, place, value)
        return markers[block] & 0xFFFF, views[block]

    return serve


class Plant:
    """All devices of one process, and which of them misbehave."""

    def __init__(self, pattern: Pattern, board: Scoreboard, units_per_port: int = 1) -> None:
        self.pattern = pattern
        self.board = board
        self.units_per_port = units_per_port
        self.serve = serve_all(pattern) if pattern.change == 1 else serve_slow(pattern)
        self.odd: dict[int, str] = {}
        """What is wrong with each device that misbehaves."""
        self.connections: dict[int, set[Connection]] = {}
        """By the first device of the port."""
        self.dice = random.Random(20_260_101)

    def obey(self, line: str) -> range:
        """Carry out one line of standard input; returns the devices. Raises ValueError for what is no order."""
        order, *numbers = line.split()
        if order not in ORDERS or not 1 <= len(numbers) <= 2 or not all(map(str.isdecimal, numbers)):
            raise ValueError(f"{line!r}: expected one of {', '.join(ORDERS)}, and a device, or the first and last")
        first, last = int(numbers[0]), int(numbers[-1])
        if not first <= last < self.pattern.devices:
            raise ValueError(f"{line!r}: there are devices 0 to {self.pattern.devices - 1}")
        devices = range(first, last + 1)
        for device in devices:
            self.odd.pop(device, None)
            if order != "speak":
                self.odd[device] = order
            if order in {"shut", "flap"}:
                for connection in self.connections.get(device - device % self.units_per_port, ()):
                    # from now on nothing is answered; what was, has until then to reach the client
                    asyncio.get_running_loop().call_later(0.05, connection.drop)
        return devices


class Connection(asyncio.Protocol):
    """One client of one port."""

    def __init__(self, plant: Plant, first_device: int) -> None:
        self.plant = plant
        self.first_device = first_device
        self.rest = b""
        self.transport: asyncio.WriteTransport
        self.dribble: deque[int] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self.plant.board.words[Scoreboard.CONNECTIONS] += 1
        self.plant.connections.setdefault(self.first_device, set()).add(self)
        if self._unwanted():
            asyncio.get_running_loop().call_later(self.plant.dice.choice((0.0, 0.02, 0.2, 1.0)), self._turn_out)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self.plant.connections[self.first_device].discard(self)

    def _unwanted(self) -> bool:
        # shut: it came in the very moment
        return self.plant.odd.get(self.first_device) in {"flap", "shut"}

    def _turn_out(self) -> None:
        if self._unwanted():
            self.drop()

    def drop(self) -> None:
        """Close with RST."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        whole = len(data) - len(data) % REQUEST.size
        self.rest = data[whole:]
        answers: list[bytes | memoryview] = []
        plant, board = self.plant, self.plant.board
        words, serve, width, blocks = board.words, plant.serve, plant.pattern.width, plant.pattern.blocks
        units, odd = plant.units_per_port, plant.odd
        now = time_ns()
        served = 0
        for transaction, protocol, length, unit, function, address, quantity in REQUEST.iter_unpack(data[:whole]):
            if protocol or length != 6:
                self.transport.abort()  # not Modbus, or a function whose requests are of another length
                return
            device = self.first_device + unit - 1 if units > 1 else self.first_device
            block, beside = divmod(address, width)
            if odd and odd.get(device) in UNHEARD:
                continue
            if beside or quantity != width or block >= blocks or function != READ_HOLDING or not 0 < unit <= 247:
                code = ILLEGAL_FUNCTION if function != READ_HOLDING else ILLEGAL_ADDRESS
                answers.append(self._refuse(transaction, unit, function, code))
                continue
            if (units > 1 and unit > units) or device >= plant.pattern.devices:
                answers.append(self._refuse(transaction, unit, function, NO_TARGET))
                continue
            number = device * blocks + block
            if odd and device in odd:
                if odd[device] == "refuse":
                    answers.append(self._refuse(transaction, unit, function, DEVICE_FAILURE))
                else:
                    self._misbehave(odd[device], transaction, unit)
                continue
            at = Scoreboard.HEAD + number
            count = words[at] + 1
            marker, row = serve(number, count)
            answers.append(HEAD.pack(transaction, 0, 3 + 2 * width, unit, function, 2 * width, marker))
            answers.append(row[2:])
            words[at] = count
            if not block:
                words[board.times_at + device * Scoreboard.RING + count % Scoreboard.RING] = now
            served += 1
        words[Scoreboard.REQUESTS] += served  # counted first: whoever has the answer finds it counted
        words[Scoreboard.REGISTERS] += served * width
        if answers:
            self.transport.write(b"".join(answers))

    def _misbehave(self, how: str, transaction: int, unit: int) -> None:
        """Answer in a way that must never be taken for an answer, with values that the device never had."""
        plant, loop, size = self.plant, asyncio.get_running_loop(), 2 * self.plant.pattern.width
        head = HEAD.pack(transaction, 0, 3 + size, unit, READ_HOLDING, size, 0)
        answer = head[: -MARKER.size] + plant.dice.randbytes(size)
        if how == "dribble":
            if not self.dribble:
                loop.call_later(DRIBBLE, self._drip)
            self.dribble.extend(answer)
        elif how == "delay":
            loop.call_later(DELAY, self._write, answer)
        elif how == "garble":
            self._write(garbled(answer, plant.dice))
        else:  # reset, or flap
            self._write(answer[: len(answer) // 2])
            loop.call_later(0.01, self.drop)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _drip(self) -> None:
        if self.dribble and not self.transport.is_closing():
            self._write(bytes([self.dribble.popleft()]))
            asyncio.get_running_loop().call_later(DRIBBLE, self._drip)

    def _refuse(self, transaction: int, unit: int, function: int, code: int) -> bytes:
        self.plant.board.words[Scoreboard.REFUSED] += 1
        return EXCEPTION.pack(transaction, 0, 3, unit, function | 0x80, code)


def garbled(answer: bytes, dice: random.Random) -> bytes:
    """Bytes instead of an answer: none of them may be understood as one."""
    transaction, unit, function, size = answer[:2], answer[6], answer[7], len(answer)
    return dice.choice(
        (
            b"\xff\xff\xff\xff" + dice.randbytes(size),  # another protocol
            answer[:4] + b"\x00\x00" + answer[6:],  # a length that cannot be
            answer[:4] + b"\x7f\xff" + answer[6:],
            transaction + b"\x00\x00\x00\x07" + bytes((unit, function, 4)) + dice.randbytes(4),  # less than asked for
            answer[:7] + bytes((function + 1,)) + answer[8:],  # the answer to another function
            answer[:6] + bytes((unit ^ 0x55,)) + answer[7:],  # of another unit
            answer[:8] + bytes((answer[8] ^ 2,)) + answer[9:],  # two lengths that contradict each other
            b"\x15\x03" * 40,  # a stuck line
        )
    )


async def run(plant: Plant, first_port: int) -> None:
    """Listen, tell the ports, serve until end of input or SIGTERM."""
    loop = asyncio.get_running_loop()
    pattern, ended = plant.pattern, asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    servers: list[asyncio.Server] = []
    ports: list[int] = []

    async def listen(index: int, port: int) -> asyncio.Server:
        factory = partial(Connection, plant, index * plant.units_per_port)
        return await loop.create_server(factory, "127.0.0.1", port, backlog=1024)

    count = -(-pattern.devices // plant.units_per_port)
    for index in range(count):
        port = free_port() if count <= FEW else 0
        servers.append(await listen(index, first_port + index if first_port else port))
        ports.append(servers[index].sockets[0].getsockname()[1])
    print(json.dumps({"ports": ports}), flush=True)

    async def follow(devices: range) -> None:
        """Listen exactly where no device is shut."""
        for index in sorted({device // plant.units_per_port for device in devices}):
            first = index * plant.units_per_port
            shut = any(plant.odd.get(device) == "shut" for device in range(first, first + plant.units_per_port))
            if shut:
                servers[index].close()
            elif not servers[index].is_serving():
                servers[index] = await listen(index, ports[index])

    orders: asyncio.Queue[str] = asyncio.Queue()

    def hear() -> None:
        line = sys.stdin.readline()
        if not line:
            loop.remove_reader(sys.stdin.fileno())
            ended.set()
            return
        orders.put_nowait(line.strip())

    async def obey() -> None:
        while True:
            try:
                await follow(plant.obey(await orders.get()))
                print("{}", flush=True)
            except (ValueError, OSError) as error:
                print(json.dumps({"error": str(error)}), flush=True)

    loop.add_reader(sys.stdin.fileno(), hear)
    obeying = loop.create_task(obey(), name="orders")
    await ended.wait()
    obeying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await obeying
    for server in servers:
        server.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--registers", type=int, default=1000)
    parser.add_argument("--change", default="all", help="all, none or a percentage")
    parser.add_argument("--units-per-port", type=int, default=1, help="devices behind one port, told by unit id")
    parser.add_argument("--port", type=int, default=0, help="first port; 0: any that are free")
    parser.add_argument("--board", type=Path, required=True, help="file for the counts of what was served")
    options = parser.parse_args()
    try:
        pattern = Pattern(options.devices, options.registers, parse_change(options.change))
        if not 1 <= options.units_per_port <= 247:
            raise ValueError("units-per-port: expected 1 to 247")
    except ValueError as error:
        parser.error(str(error))
    board = Scoreboard(options.board, pattern, create=True)
    uvloop.run(run(Plant(pattern, board, options.units_per_port), options.port))


if __name__ == "__main__":
    main()
