"""A three-phase power meter at the feeder: everything the other machines take passes through it."""

from __future__ import annotations

import math
from random import Random

from gateway.model.types import Value
from gateway.testing.plant.machine import Machine, Wander

BASE_LOAD = 4.2  # kW of light and office
SPREAD = (1.04, 0.98, 0.98)
"""How unequally the phases are loaded; the sum is 3."""


class Meter(Machine):
    """See the module. ``load`` and ``load_reactive`` are set by the plant, in kW and kvar."""

    kind = "meter"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.load = 0.0
        self.load_reactive = 0.0
        self._voltage = tuple(Wander(chance, 230.5, 0.9, 30.0) for _ in range(3))
        self._frequency = Wander(chance, 50.0, 0.012, 25.0)
        self._light = Wander(chance, BASE_LOAD, 0.25, 60.0)
        self._imported = 48_211_930_000 + chance.randrange(1_000_000)
        self._reactive_energy = 9_120_400_000 + chance.randrange(1_000_000)
        self._rest = [0.0, 0.0]

    def tick(self, dt: float) -> None:
        """Let the mains wander; count energy in whole watt-hours and carry the rest."""
        for phase in (*self._voltage, self._frequency, self._light):
            phase.tick(dt)
        for place, kilo in enumerate((self.active, self.load_reactive)):
            self._rest[place] += kilo * 1000.0 * dt / 3600.0
        whole = [int(rest) for rest in self._rest]
        self._imported += whole[0]
        self._reactive_energy += whole[1]
        self._rest = [rest - counted for rest, counted in zip(self._rest, whole, strict=True)]

    @property
    def active(self) -> float:
        """Active power of all that hangs on this feeder, kW."""
        return self.load + max(self._light.value, 0.0)

    def values(self) -> dict[str, Value]:
        """Engineering values by tag."""
        apparent = math.hypot(self.active, self.load_reactive)
        values: dict[str, Value] = {
            "active_power": self.noisy(self.active, 0.02),
            "reactive_power": self.noisy(self.load_reactive, 0.02),
            "apparent_power": self.noisy(apparent, 0.02),
            "power_factor": min(max(self.active / apparent, 0.0), 1.0) if apparent else 1.0,
            "frequency": self.noisy(self._frequency.value, 0.001),
            "energy_import": self._imported,
            "energy_export": -1_250,
            "reactive_energy": self._reactive_energy,
        }
        for phase, (wander, share) in enumerate(zip(self._voltage, SPREAD, strict=True), 1):
            voltage = self.noisy(wander.value, 0.05)
            values[f"voltage_l{phase}"] = voltage
            values[f"current_l{phase}"] = max(self.noisy(1000.0 * apparent * share / 3.0 / voltage, 0.05), 0.0)
            values[f"power_l{phase}"] = self.active * share / 3.0
        return values
