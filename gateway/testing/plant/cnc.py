"""A vertical machining centre: runs programs block by block, changes tools, counts parts, raises alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from gateway.model.types import Value
from gateway.testing.plant.machine import AMBIENT, Machine, lag

SECONDS_PER_ALARM = 150.0


class Mode(IntEnum):
    """What the control shows in ``state``."""

    IDLE = 0
    LOADING = 1
    RUNNING = 2
    TOOL_CHANGE = 3
    ALARM = 4


@dataclass(frozen=True, slots=True)
class Block:
    """One operation: a tool cuts along a straight path."""

    tool: int
    speed: float
    """Spindle speed, 1/min."""
    feed: float
    """mm/min."""
    load: float
    """Spindle load while cutting, % of rated power."""
    to: tuple[float, float, float]
    """Machine position at the end, mm."""


PROGRAMS: dict[str, tuple[Block, ...]] = {
    "O1204 FLANGE": (
        Block(1, 6000, 2400, 46, (240, 80, -12)),
        Block(1, 6000, 2400, 49, (240, 180, -12)),
        Block(1, 6000, 2400, 45, (60, 180, -12)),
        Block(4, 2800, 420, 31, (60, 180, -38)),
        Block(4, 2800, 420, 33, (200, 60, -38)),
        Block(7, 900, 1350, 22, (200, 60, -30)),
    ),
    "O2310 法兰盘": (
        Block(2, 8500, 3600, 38, (300, 40, -6)),
        Block(2, 8500, 3600, 41, (40, 220, -6)),
        Block(5, 4200, 900, 57, (120, 140, -24)),
        Block(9, 12000, 1800, 18, (320, 210, -24)),
    ),
}
ALARMS = {410: "SERVO ALARM X: EXCESS ERROR", 1006: "COOLANT LOW 冷却液不足", 2043: "TOOL 5 LIFE EXPIRED"}


class Cnc(Machine):
    """See the module."""

    kind = "cnc"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.mode = Mode.LOADING
        self._left = chance.uniform(1.0, 4.0)
        self._program = chance.choice(list(PROGRAMS))
        self._block = 0
        self._tool = PROGRAMS[self._program][0].tool
        self._position = [0.0, 0.0, 0.0]
        self._speed = 0.0
        self._load = 0.0
        self._spindle_temperature = AMBIENT
        self._parts = 5_120 + chance.randrange(200)
        self._batch_left = chance.randrange(4, 9)
        self._cut_seconds = 3_611.0 * 3600
        self._alarm = 0

    def tick(self, dt: float) -> None:
        """Move along the program, then spindle, load and heat."""
        self._left -= dt
        if self.mode is Mode.RUNNING:
            self._cut(dt)
        elif self._left <= 0:
            self._alarm = 0
            self.mode = Mode.RUNNING
        block = PROGRAMS[self._program][self._block]
        running = self.mode is Mode.RUNNING
        self._speed = lag(self._speed, block.speed if running else 0.0, 0.35, dt)
        self._load = lag(self._load, block.load if running else 0.0, 0.25, dt)
        self.power = 1.8 + 0.15 * self._load + 0.0002 * self._speed
        self.reactive = 0.35 * self.power + 0.6
        self._spindle_temperature = lag(
            self._spindle_temperature, AMBIENT + 0.0012 * self._speed + 0.25 * self._load, 240.0, dt
        )
        self.air = 0.9 if self.mode in {Mode.TOOL_CHANGE, Mode.LOADING} else 0.25

    def _cut(self, dt: float) -> None:
        block = PROGRAMS[self._program][self._block]
        way = math.dist(self._position, block.to)
        reach = block.feed / 60.0 * dt
        self._cut_seconds += dt
        if way > reach:
            for axis in range(3):
                self._position[axis] += (block.to[axis] - self._position[axis]) * reach / way
            if self.happens(SECONDS_PER_ALARM, dt):
                self._alarm = self.chance.choice(list(ALARMS))
                self.mode, self._left = Mode.ALARM, self.chance.uniform(8.0, 20.0)
            return
        self._position = list(block.to)
        self._next_block()

    def _next_block(self) -> None:
        self._block += 1
        if self._block == len(PROGRAMS[self._program]):
            self._part_done()
        tool = PROGRAMS[self._program][self._block].tool
        if self.mode is Mode.RUNNING and tool != self._tool:
            self.mode, self._left = Mode.TOOL_CHANGE, 2.2
        self._tool = tool

    def _part_done(self) -> None:
        self._parts += 1
        self._block = 0
        self._position = [0.0, 0.0, 0.0]
        self.mode, self._left = Mode.LOADING, self.chance.uniform(3.0, 5.0)
        self._batch_left -= 1
        if self._batch_left == 0:
            names = list(PROGRAMS)
            self._program = names[(names.index(self._program) + 1) % len(names)]
            self._batch_left = self.chance.randrange(4, 9)

    def values(self) -> dict[str, Value]:
        """Engineering values by tag."""
        running = self.mode is Mode.RUNNING
        block = PROGRAMS[self._program][self._block]
        return {
            "state": int(self.mode),
            "program": self._program,
            "spindle_speed": max(self.noisy(self._speed, 4.0), 0.0) if self._speed > 5.0 else 0.0,
            "spindle_load": max(self.noisy(self._load, 0.8), 0.0) if self._load > 0.5 else 0.0,
            "parts": self._parts,
            "x": self._position[0],
            "y": self._position[1],
            "z": self._position[2],
            "feed": block.feed if running else 0.0,
            "tool": self._tool,
            "spindle_temperature": self.noisy(self._spindle_temperature, 0.05),
            "cutting_hours": self._cut_seconds / 3600.0,
            "power": max(self.noisy(self.power, 0.03), 0.0),
            "alarm": self._alarm,
            "alarm_text": ALARMS.get(self._alarm, ""),
            "door_closed": self.mode is not Mode.LOADING,
            "in_alarm": self.mode is Mode.ALARM,
        }
