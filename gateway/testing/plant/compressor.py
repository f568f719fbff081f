"""A 37 kW screw compressor on a receiver: loads and unloads between two pressures, warms up, clogs, trips."""

from __future__ import annotations

from enum import IntEnum
from random import Random

from gateway.model.types import Value
from gateway.testing.plant.machine import AMBIENT, Machine, Wander, lag

LOAD_AT = 6.6  # bar: below this it compresses
UNLOAD_AT = 7.5  # bar: above this the inlet valve closes
DELIVERY = 6.2  # m³/min when loaded
RECEIVER = 0.9  # m³ of receiver and pipes
TRIP_TEMPERATURE = 110.0  # °C of the discharge air
SECONDS_PER_TRIP = 400.0
CHANGE_FILTER = 0.62  # bar over the separator at which maintenance changes it


class State(IntEnum):
    """What the controller shows in ``state``."""

    STOPPED = 0
    STARTING = 1
    LOADED = 2
    UNLOADED = 3
    TRIPPED = 4


MOTOR_OVERLOAD = 12
DISCHARGE_HOT = 21


class Compressor(Machine):
    """See the module. ``demand`` is set by the plant: air that the other machines take, m³/min."""

    kind = "compressor"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.state = State.STARTING
        self.demand = 0.0
        self.pressure = chance.uniform(6.2, 6.9)
        self._leaks = Wander(chance, 2.4, 0.5, 20.0)
        self._left = 3.0
        self._discharge = AMBIENT + 6.0
        self._winding = AMBIENT + 10.0
        self._filter = chance.uniform(0.18, 0.5)
        self._trip = 0
        self._starts = 3_120 + chance.randrange(100)
        self._run_seconds = 11_482.0 * 3600 + chance.uniform(0, 3600)
        self._load_seconds = 7_903.0 * 3600 + chance.uniform(0, 3600)

    def tick(self, dt: float) -> None:
        """Move the receiver's pressure, the controller, then temperatures, filter and counters."""
        self._left -= dt
        flow = DELIVERY if self.state is State.LOADED else 0.0
        taken = self.demand + max(self._leaks.tick(dt), 0.5) if self.pressure > 0.5 else 0.0
        self.pressure = max(self.pressure + (flow - taken) / 60.0 / RECEIVER * 1.013 * dt, 0.0)
        self._control(dt)
        self._heat(dt)
        if self.state in {State.LOADED, State.UNLOADED}:
            self._run_seconds += dt
        if self.state is State.LOADED:
            self._load_seconds += dt
            self._filter += 4e-5 * dt
            if self._filter >= CHANGE_FILTER:
                self._filter = 0.18

    def _control(self, dt: float) -> None:
        if self.state in {State.LOADED, State.UNLOADED} and self._tripped(dt):
            self.state, self._left = State.TRIPPED, self.chance.uniform(10.0, 20.0)
        elif self.state is State.TRIPPED and self._left <= 0:  # acknowledged at the panel
            self.state, self._left, self._trip = State.STARTING, 3.0, 0
        elif self.state is State.STARTING and self._left <= 0:
            self.state = State.UNLOADED
            self._starts += 1
        elif self.state is State.UNLOADED and self.pressure < LOAD_AT:
            self.state = State.LOADED
        elif self.state is State.LOADED and self.pressure > UNLOAD_AT:
            self.state = State.UNLOADED

    def _tripped(self, dt: float) -> bool:
        if self._discharge > TRIP_TEMPERATURE:
            self._trip = DISCHARGE_HOT
        elif self.state is State.LOADED and self.happens(SECONDS_PER_TRIP, dt):
            self._trip = MOTOR_OVERLOAD
        return self._trip != 0

    def _heat(self, dt: float) -> None:
        shaft = {State.STARTING: 55.0, State.LOADED: 31.0 + 0.9 * self.pressure, State.UNLOADED: 11.5}
        self.power = lag(self.power, shaft.get(self.state, 0.0), 0.3, dt)
        self.reactive = 0.5 * self.power + (3.0 if self.power > 1.0 else 0.0)
        clogged = 8.0 * self._filter
        self._discharge = lag(self._discharge, AMBIENT + 1.45 * self.power + clogged, 90.0, dt)
        self._winding = lag(self._winding, AMBIENT + 1.7 * self.power, 400.0, dt)

    def values(self) -> dict[str, Value]:
        """Engineering values by tag."""
        loaded = self.state is State.LOADED
        return {
            "state": int(self.state),
            "pressure": max(self.noisy(self.pressure, 0.004), 0.0),
            "flow": max(self.noisy(DELIVERY, 0.03), 0.0) if loaded else 0.0,
            "discharge_temperature": self.noisy(self._discharge, 0.05),
            "motor_temperature": self.noisy(self._winding, 0.05),
            "filter_dp": max(self.noisy(self._filter * (1.0 if loaded else 0.12), 0.002), 0.0),
            "power": max(self.noisy(self.power, 0.08), 0.0),
            "load_pressure": LOAD_AT,
            "unload_pressure": UNLOAD_AT,
            "run_hours": self._run_seconds / 3600.0,
            "load_hours": self._load_seconds / 3600.0,
            "starts": self._starts,
            "trip": self._trip,
            "loaded": loaded,
            "tripped": self.state is State.TRIPPED,
            "filter_warning": self._filter > 0.5,
        }
