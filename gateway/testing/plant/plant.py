"""The plant as a whole: its machines, the air net and the feeder that couple them, and one clock for all."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from gateway.model.types import Value
from gateway.testing.plant.cnc import Cnc
from gateway.testing.plant.compressor import Compressor
from gateway.testing.plant.machine import TICK, Machine
from gateway.testing.plant.meter import Meter
from gateway.testing.plant.press import Press

KINDS: Final[dict[str, type[Machine]]] = {machine.kind: machine for machine in (Press, Compressor, Meter, Cnc)}
"""Machines that can stand in a plant, by kind: the name of the profile that describes their tags."""

DEFAULT: Final[dict[str, str]] = {
    "press-1": "press",
    "press-2": "press",
    "compressor-1": "compressor",
    "cnc-1": "cnc",
    "cnc-2": "cnc",
    "meter-1": "meter",
}
_TICK_NS: Final = round(TICK * 1e9)


class Plant:
    """Machines by device name. The state depends on the seed and on the time that has passed, not on how it was cut."""

    def __init__(self, machines: Mapping[str, str] | None = None, *, seed: int = 1) -> None:
        """``machines``: kind by device name; None: the default plant. Raises ValueError for an unknown kind."""
        self.machines: dict[str, Machine] = {}
        for name, kind in (DEFAULT if machines is None else machines).items():
            if kind not in KINDS:
                raise ValueError(f"{name}: no machine of kind {kind!r}; there are {', '.join(KINDS)}")
            self.machines[name] = KINDS[kind](Random(f"{seed}/{name}"))  # noqa: S311 - physics, not secrets
        self._due = 0

    def step(self, seconds: float) -> None:
        """Let time pass. What is less than one TICK is kept for the next call."""
        self._due += round(seconds * 1e9)
        while self._due >= _TICK_NS:
            self._due -= _TICK_NS
            self._tick()

    def _tick(self) -> None:
        compressors = [machine for machine in self.machines.values() if isinstance(machine, Compressor)]
        air = sum(machine.air for machine in self.machines.values())
        for compressor in compressors:
            compressor.demand = air / len(compressors)
        for machine in self.machines.values():
            machine.tick(TICK)
        power = sum(machine.power for machine in self.machines.values())
        reactive = sum(machine.reactive for machine in self.machines.values())
        for machine in self.machines.values():
            if isinstance(machine, Meter):
                machine.load, machine.load_reactive = power, reactive

    def values(self) -> dict[str, dict[str, Value]]:
        """Engineering values by device and tag, as the sensors show them now."""
        return {name: machine.values() for name, machine in self.machines.items()}
