"""A 250 t hydraulic press: strokes, a force curve against the workpiece, oil that warms up, and jams."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from random import Random
from typing import ClassVar

from gateway.model.types import Value
from gateway.testing.plant.machine import AMBIENT, Machine, lag

CONTACT = 320.0  # mm from the top at which the die meets the blank
FORCE = 2_400.0  # kN that the blank yields at
OVERLOAD = 2_750.0  # kN at which the relief valve opens
OIL_HEAT = 580.0  # kJ/K: 400 l of oil
STROKES_PER_JAM = 14
DIES = ("DIE-4711-A", "DIE-4711-B", "DIE-0815-C")


class Phase(IntEnum):
    """What the ram is doing; the number is what the press shows in ``state``."""

    IDLE = 0
    APPROACH = 1
    PRESSING = 2
    DWELL = 3
    RETURN = 4
    JAMMED = 5


SPEED = {Phase.APPROACH: 240.0, Phase.PRESSING: 22.0, Phase.RETURN: -280.0}
"""Speed of the ram in mm/s, down is positive; other phases stand still."""

OVERLOAD_ALARM = 301


class Press(Machine):
    """See the module."""

    kind = "press"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.phase = Phase.IDLE
        self._left = chance.uniform(0.2, 2.0)
        self._position = 0.0
        self._force = 0.0
        self._oil = AMBIENT
        self._strokes = 184_000 + chance.randrange(1000)
        self._good = self._strokes - 412
        self._scrap = 412
        self._since_start = 0.0
        self._cycle_time = 0.0
        self._blank = 1.0
        self._jam_at = 0.0
        self._motor = 0.0
        self._die = chance.choice(DIES)

    def tick(self, dt: float) -> None:
        """Move the ram, then account for power, heat and air."""
        self._left -= dt
        self._since_start += dt
        self._position += SPEED.get(self.phase, 0.0) * dt
        self._STEPS[self.phase](self)
        speed = max(SPEED.get(self.phase, 0.0), 0.0) / 1000.0
        shaft = 5.5 + abs(SPEED.get(self.phase, 0.0)) * 0.05 + self._force * speed
        self.power = lag(self.power, 5.5 if self.phase is Phase.JAMMED else shaft / 0.88, 0.15, dt)
        self.reactive = 0.55 * self.power + 2.0
        self._motor = 1000.0 * math.hypot(self.power, self.reactive) / (math.sqrt(3.0) * 400.0)
        cooler = 0.9 * max(self._oil - 48.0, 0.0)
        loss = 0.35 * self.power - 0.12 * (self._oil - AMBIENT) - cooler
        self._oil += loss * dt / OIL_HEAT
        self.air = 1.1 if self.phase is Phase.RETURN else 0.1

    def _idle(self) -> None:
        if self._left <= 0:
            self._cycle_time, self._since_start = self._since_start, 0.0
            self._blank = self.chance.gauss(1.0, 0.015)
            jams = self.chance.random() < 1 / STROKES_PER_JAM
            self._jam_at = CONTACT + self.chance.uniform(4.0, 14.0) if jams else math.inf
            self.phase = Phase.APPROACH

    def _approach(self) -> None:
        if self._position >= CONTACT:
            self._position = CONTACT
            self.phase = Phase.PRESSING

    def _pressing(self) -> None:
        depth = self._position - CONTACT
        self._force = FORCE * self._blank * (1.0 - math.exp(-depth / 7.0))
        if self._position >= self._jam_at:
            self._force = OVERLOAD
            self.phase, self._left = Phase.JAMMED, self.chance.uniform(12.0, 25.0)
        elif depth >= 26.0:
            self.phase, self._left = Phase.DWELL, 0.8

    def _dwell(self) -> None:
        self._force *= 0.998
        if self._left <= 0:
            self.phase = Phase.RETURN
            self._strokes += 1
            self._good += 1

    def _return(self) -> None:
        self._force = 0.0
        if self._position <= 0:
            self._position = 0.0
            self.phase, self._left = Phase.IDLE, self.chance.uniform(0.9, 2.2)

    def _jammed(self) -> None:
        self._force = max(self._force * 0.9995, 0.0)
        if self._left <= 0:  # the operator has freed the die
            self.phase = Phase.RETURN
            self._strokes += 1
            self._scrap += 1

    _STEPS: ClassVar[dict[Phase, Callable[[Press], None]]] = {
        Phase.IDLE: _idle,
        Phase.APPROACH: _approach,
        Phase.PRESSING: _pressing,
        Phase.DWELL: _dwell,
        Phase.RETURN: _return,
        Phase.JAMMED: _jammed,
    }

    def values(self) -> dict[str, Value]:
        """Engineering values by tag."""
        jammed = self.phase is Phase.JAMMED
        return {
            "state": int(self.phase),
            "force": max(self.noisy(self._force, 2.0), 0.0),
            "position": max(self.noisy(self._position, 0.05), 0.0),
            "oil_temperature": self.noisy(self._oil, 0.03),
            "oil_pressure": max(self.noisy(8.0 + self._force / 10.0, 0.3), 0.0),
            "strokes": self._strokes,
            "good_parts": self._good,
            "scrap_parts": self._scrap,
            "cycle_time": min(self._cycle_time, 600.0),
            "motor_current": max(self.noisy(self._motor, 0.2), 0.0),
            "power": max(self.noisy(self.power, 0.05), 0.0),
            "alarm": OVERLOAD_ALARM if jammed else 0,
            "pump_on": True,
            "guard_closed": not jammed,
            "jammed": jammed,
            "die": self._die,
        }
