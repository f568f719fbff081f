"""Simulated Modbus TCP devices, fast enough that the gateway is what a benchmark measures.

Written apart from the gateway's own Modbus code, because it is the judge of it. Answers function code 3 for whole
blocks of the pattern (any other range gets exception 2, and is counted: a benchmark that reads otherwise than planned
should not go unnoticed), however many requests come pipelined, all answers in one write.

    python -m benchmarks.devices --devices 100 --registers 1000 --change all --board /tmp/board

prints one JSON line with the ports, then obeys lines on standard input: ``silence 3`` (device 3 takes requests and
never answers), ``speak 3``, ``refuse 3`` (its exception: device failure). It ends at end of input or at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Final, cast

import uvloop

from benchmarks.pattern import ROWS, STEP, Pattern, Scoreboard, parse_change

REQUEST: Final = struct.Struct(">HHHBBHH")
HEAD: Final = struct.Struct(">HHHBBBH")
MARKER: Final = struct.Struct(">H")
EXCEPTION: Final = struct.Struct(">HHHBBB")
READ_HOLDING: Final = 3
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, DEVICE_FAILURE, NO_TARGET = 1, 2, 4, 11

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
        self.silent: set[int] = set()
        self.refusing: set[int] = set()

    def obey(self, line: str) -> None:
        """Carry out one line of standard input. Raises ValueError for what is none of the orders."""
        order, _, device = line.partition(" ")
        number = int(device)
        if order not in {"silence", "refuse", "speak"} or not 0 <= number < self.pattern.devices:
            raise ValueError(f"{line!r}: expected silence, refuse or speak, and a device number")
        self.silent.discard(number)
        self.refusing.discard(number)
        if order != "speak":
            (self.silent if order == "silence" else self.refusing).add(number)


class Connection(asyncio.Protocol):
    """One client of one port."""

    def __init__(self, plant: Plant, first_device: int) -> None:
        self.plant = plant
        self.first_device = first_device
        self.rest = b""
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self.plant.board.words[Scoreboard.CONNECTIONS] += 1

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        whole = len(data) - len(data) % REQUEST.size
        self.rest = data[whole:]
        answers: list[bytes | memoryview] = []
        plant, board = self.plant, self.plant.board
        words, serve, width, blocks = board.words, plant.serve, plant.pattern.width, plant.pattern.blocks
        units, faulty = plant.units_per_port, bool(plant.silent or plant.refusing)
        now = time_ns()
        served = 0
        for transaction, protocol, length, unit, function, address, quantity in REQUEST.iter_unpack(data[:whole]):
            if protocol or length != 6:
                self.transport.abort()  # not Modbus, or a function whose requests are of another length
                return
            device = self.first_device + unit - 1 if units > 1 else self.first_device
            block, beside = divmod(address, width)
            if faulty and device in plant.silent:
                continue
            if beside or quantity != width or block >= blocks or function != READ_HOLDING or not 0 < unit <= 247:
                code = ILLEGAL_FUNCTION if function != READ_HOLDING else ILLEGAL_ADDRESS
                answers.append(self._refuse(transaction, unit, function, code))
                continue
            if (units > 1 and unit > units) or device >= plant.pattern.devices:
                answers.append(self._refuse(transaction, unit, function, NO_TARGET))
                continue
            if faulty and device in plant.refusing:
                answers.append(self._refuse(transaction, unit, function, DEVICE_FAILURE))
                continue
            number = device * blocks + block
            at = Scoreboard.HEAD + number
            count = words[at] + 1
            marker, row = serve(number, count)
            answers.append(HEAD.pack(transaction, 0, 3 + 2 * width, unit, function, 2 * width, marker))
            answers.append(row[2:])
            words[at] = count
            if not block:
                words[board.times_at + device * Scoreboard.RING + count % Scoreboard.RING] = now
            served += 1
        if answers:
            self.transport.write(b"".join(answers))
        words[Scoreboard.REQUESTS] += served
        words[Scoreboard.REGISTERS] += served * width

    def _refuse(self, transaction: int, unit: int, function: int, code: int) -> bytes:
        self.plant.board.words[Scoreboard.REFUSED] += 1
        return EXCEPTION.pack(transaction, 0, 3, unit, function | 0x80, code)


async def run(plant: Plant, first_port: int) -> None:
    """Listen, tell the ports, serve until end of input or SIGTERM."""
    loop = asyncio.get_running_loop()
    pattern, ended = plant.pattern, asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    servers = []
    for index, device in enumerate(range(0, pattern.devices, plant.units_per_port)):
        port = first_port + index if first_port else 0
        factory = partial(Connection, plant, device)
        servers.append(await loop.create_server(factory, "127.0.0.1", port, backlog=1024))
    print(json.dumps({"ports": [server.sockets[0].getsockname()[1] for server in servers]}), flush=True)

    def orders() -> None:
        line = sys.stdin.readline()
        if not line:
            loop.remove_reader(sys.stdin.fileno())
            ended.set()
            return
        try:
            plant.obey(line.strip())
            print("{}", flush=True)
        except ValueError as error:
            print(json.dumps({"error": str(error)}), flush=True)

    loop.add_reader(sys.stdin.fileno(), orders)
    await ended.wait()
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
