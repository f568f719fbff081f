"""What the simulated devices hold at any moment, in closed form: the ground truth of the benchmark and fault runs.

Every register is a function of (device, register, how often its block was read), so whoever has the values can tell
from them alone whether each is right, which polls are missing and which came twice. The device server steps through
the same values one request at a time, without this module's formulas; the tests hold the two against each other.

A device's registers lie in blocks as long as the longest read (125). The first register of a block, its marker,
counts. ``all``: at each read a block shows another row of a random table, so nothing compresses and nothing repeats
for 65,536 reads; the lowest bit makes sure that every register differs from the read before. A fraction: exactly that
share of a device's registers changes from one poll to the next, the markers included. ``none``: nothing ever changes.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

ROWS: Final = 1 << 16
STEP: Final = 7919
"""Added to a register of a slowly changing device each time it changes; odd, so that it takes every value."""
LONGEST_READ: Final = 125

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint16]


def parse_change(text: str) -> Fraction:
    """Share of registers that change per poll: ``all``, ``none`` or a percentage such as ``1%``."""
    if text in {"all", "none"}:
        return Fraction(text == "all")
    try:
        share = Fraction(text.removesuffix("%")) / 100
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not text.endswith("%") or not 0 < share < 1:
        raise ValueError(f"{text!r}: expected all, none or a percentage between 0% and 100%, such as 1%")
    return share


@dataclass(frozen=True)
class Pattern:
    """Values of ``devices`` × ``registers``, read in blocks. Counts start at 1 with the first read of a block."""

    devices: int
    registers: int
    change: Fraction
    longest_read: int = LONGEST_READ

    def __post_init__(self) -> None:
        if self.devices < 1 or self.registers < 2 or self.registers % self.width:
            raise ValueError(f"registers: expected 2 to {self.longest_read}, or a multiple of it, got {self.registers}")

    @cached_property
    def width(self) -> int:
        """Registers in a block."""
        return min(self.registers, self.longest_read)

    @cached_property
    def blocks(self) -> int:
        """Blocks in a device."""
        return self.registers // self.width

    @cached_property
    def total(self) -> int:
        """Blocks in all devices: block ``b`` of device ``d`` is number ``d × blocks + b``."""
        return self.devices * self.blocks

    @cached_property
    def table(self) -> Words:
        """ROWS × width random words, the lowest bit of each being that of its row number."""
        words = np.random.default_rng(20_260_101).integers(0, 1 << 16, (ROWS, self.width), np.uint16)
        words &= np.uint16(0xFFFE)
        words |= (np.arange(ROWS, dtype=np.uint16) & 1)[:, None]
        return words

    @cached_property
    def stride(self) -> int:
        """Rows between two reads of one block; odd, so all rows are used and the lowest bit alternates."""
        return self.total | 1

    @cached_property
    def order(self) -> list[int]:
        """In which order the registers behind a marker change: a fixed permutation of 1 … width - 1."""
        turns = np.random.default_rng(self.width).permutation(self.width - 1) + 1
        return [int(turn) for turn in turns]

    @cached_property
    def _turn(self) -> Ints:
        turn = np.empty(self.width - 1, np.int64)
        turn[np.array(self.order) - 1] = np.arange(self.width - 1)
        return turn

    @cached_property
    def _rate(self) -> tuple[int, int]:
        changes = self.change * self.width
        return changes.numerator, changes.denominator

    def _changes(self, block: Ints, count: Ints) -> Ints:
        """How many registers of a block changed, in all, until its ``count``-th read."""
        numerator, denominator = self._rate
        changes: Ints = (count * numerator + block % denominator) // denominator
        return changes

    def markers(self, block: Ints, count: Ints) -> Ints:
        """Full marker (more than its 16 bits on the wire) of blocks at counts."""
        if self.change == 1 or self._rate[0] >= self._rate[1]:
            return count
        return self._changes(block, count)

    def counts(self, block: Ints, marker: Words, served: Ints) -> Ints:
        """Count of each block from its marker: the latest that is not after ``served``, the count reached by now."""
        if not self.change:
            return np.ones(len(block), np.int64)
        latest = self.markers(block, served)
        full: Ints = latest - ((latest - marker) & 0xFFFF)
        if self.change == 1 or self._rate[0] >= self._rate[1]:
            return full
        numerator, denominator = self._rate  # the first count, from 1, that has this many changes
        return np.maximum(-((block % denominator - full * denominator) // numerator), 1)

    def values(self, block: Ints, count: Ints) -> Words:
        """Registers of blocks at counts: shape (len(block), width)."""
        rows: Words
        if self.change == 1:
            rows = self.table[(block + count * self.stride) & (ROWS - 1)]
        else:
            rows = self.table[block & (ROWS - 1)]
            if self.change:
                spare = self.width - 1
                extra = self._changes(block, count) - self.markers(block, count)
                rows[:, 1:] += ((extra[:, None] + (spare - 1) - self._turn) // spare * STEP).astype(np.uint16)
        rows[:, 0] = self.markers(block, count)
        return rows

    def changed(self, block: Ints, count: Ints) -> Ints:
        """How many registers differ between ``count`` - 1 and ``count``."""
        if self.change == 1:
            return np.full(len(block), self.width, np.int64)
        if not self.change:
            return np.zeros(len(block), np.int64)
        return self._changes(block, count) - self._changes(block, count - 1)

    def arguments(self) -> list[str]:
        """Command-line options that describe this pattern to another process."""
        change = "all" if self.change == 1 else f"{self.change * 100}%" if self.change else "none"
        return [f"--devices={self.devices}", f"--registers={self.registers}", f"--change={change}"]


class Scoreboard:
    """How often each block was read, and when, in a file that other processes look into while the devices run.

    int64 words: requests answered, registers served, requests refused, connections taken; then a count per block;
    then, per device, the times (ns since the epoch) at which its first block was read the last ``RING`` times.
    """

    HEAD: Final = 8
    RING: Final = 1024
    REQUESTS, REGISTERS, REFUSED, CONNECTIONS = range(4)

    def __init__(self, path: Path, pattern: Pattern, *, create: bool = False) -> None:
        size = 8 * (self.HEAD + pattern.total + pattern.devices * self.RING)
        if create:
            path.write_bytes(b"")
            os.truncate(path, size)
        with path.open("r+b" if create else "rb") as file:
            access = mmap.ACCESS_WRITE if create else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), size, access=access)
        self.words = memoryview(self._map).cast("q")
        """For the server: plain integer access."""
        self.array: Ints = np.frombuffer(self._map, np.int64)
        """For everybody else."""
        self.times_at = self.HEAD + pattern.total
        self.served = self.array[self.HEAD : self.times_at]
        """Reads answered so far, by block number."""
        self._times = self.array[self.times_at :].reshape(pattern.devices, self.RING)
        self._blocks = pattern.blocks

    def times(self, device: Ints, count: Ints) -> Ints:
        """When the first blocks of devices were read for the ``count``-th time; 0 for what the ring has forgotten."""
        known = (count > 0) & (count > self.served[device * self._blocks] - self.RING)
        return np.where(known, self._times[device, count % self.RING], 0)
