"""Simulated Modbus RTU devices on pseudo-terminals, as slow as a serial line of the given speed.

The same values and the same scoreboard as `benchmarks.devices`. A pseudo-terminal has no speed of its own: an answer
leaves when request and answer would have passed a line with ten bits a character, so a gateway sees the waits of a
real line, and never more than one request at a time.

    python -m benchmarks.serial_devices --devices 32 --registers 125 --units-per-port 4 --baud 115200 --board /tmp/board
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import struct
import sys
import tty
from pathlib import Path
from time import time_ns
from typing import Final

import uvloop

from benchmarks.devices import READ_HOLDING, serve_all, serve_slow
from benchmarks.pattern import Pattern, Scoreboard, parse_change

REQUEST: Final = struct.Struct(">BBHH")
HEAD: Final = struct.Struct(">BBBH")
_BITS: Final = 10
"""Start bit, eight data bits, stop bit."""


def checksum(data: bytes) -> bytes:
    """CRC-16 as the standard prints it, bit by bit: slow, and written apart from the gateway's."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class Line:
    """One serial line with its units."""

    def __init__(self, pattern: Pattern, board: Scoreboard, first_device: int, units: int, baud: int) -> None:
        self.pattern = pattern
        self.board = board
        self.first_device = first_device
        self.units = units
        self.seconds_per_byte = _BITS / baud
        self.serve = serve_all(pattern) if pattern.change == 1 else serve_slow(pattern)
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self.slave)
        self.rest = b""
        board.words[Scoreboard.CONNECTIONS] += 1
        asyncio.get_running_loop().add_reader(self.master, self._readable)

    def _readable(self) -> None:
        self.rest += os.read(self.master, 4096)
        while len(self.rest) >= REQUEST.size + 2:
            frame, self.rest = self.rest[: REQUEST.size + 2], self.rest[REQUEST.size + 2 :]
            answer = self._answer(frame)
            if answer is None:
                self.board.words[Scoreboard.REFUSED] += 1
                continue
            seconds = (len(frame) + len(answer)) * self.seconds_per_byte
            asyncio.get_running_loop().call_later(seconds, os.write, self.master, answer)

    def _answer(self, frame: bytes) -> bytes | None:
        unit, function, address, quantity = REQUEST.unpack_from(frame)
        pattern, words = self.pattern, self.board.words
        block, beside = divmod(address, pattern.width)
        sound = checksum(frame[:-2]) == frame[-2:] and function == READ_HOLDING and 0 < unit <= self.units
        if not sound or beside or quantity != pattern.width or block >= pattern.blocks:
            return None
        device = self.first_device + unit - 1
        number = device * pattern.blocks + block
        at = Scoreboard.HEAD + number
        count = words[at] + 1
        marker, row = self.serve(number, count)
        body = HEAD.pack(unit, function, 2 * pattern.width, marker) + bytes(row[2:])
        words[at] = count
        if not block:
            words[self.board.times_at + device * Scoreboard.RING + count % Scoreboard.RING] = time_ns()
        words[Scoreboard.REQUESTS] += 1
        words[Scoreboard.REGISTERS] += pattern.width
        return body + checksum(body)


async def run(pattern: Pattern, board: Scoreboard, units: int, baud: int) -> None:
    """Open the lines, tell their names, serve until end of input or SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    lines = [Line(pattern, board, first, units, baud) for first in range(0, pattern.devices, units)]
    print(json.dumps({"ports": [line.name for line in lines]}), flush=True)
    await ended.wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=32)
    parser.add_argument("--registers", type=int, default=125)
    parser.add_argument("--change", default="all", help="all, none or a percentage")
    parser.add_argument("--units-per-port", type=int, default=4, help="devices on one line")
    parser.add_argument("--baud", type=int, default=115_200)
    parser.add_argument("--board", type=Path, required=True, help="file for the counts of what was served")
    options = parser.parse_args()
    pattern = Pattern(options.devices, options.registers, parse_change(options.change))
    board = Scoreboard(options.board, pattern, create=True)
    uvloop.run(run(pattern, board, options.units_per_port, options.baud))


if __name__ == "__main__":
    main()
