"""What every machine of the plant is: it is moved by ticks, has values by tag, and takes current and air."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar

from gateway.model.types import Value

TICK = 0.05
"""Seconds of one step of the physics: short against every time constant in the plant."""

AMBIENT = 24.0
"""°C of the hall when the shift begins."""


class Machine(ABC):
    """One machine. All its chance comes from ``chance``, so the same seed always gives the same day."""

    kind: ClassVar[str]
    """Name of the profile that describes its tags."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self._noise = Random(chance.getrandbits(64))  # noqa: S311 - of its own: looking must not change the course
        self.power = 0.0
        """Active electrical power it takes now, kW."""
        self.reactive = 0.0
        """Reactive power, kvar."""
        self.air = 0.0
        """Compressed air it takes now, m³/min at atmospheric pressure."""

    @abstractmethod
    def tick(self, dt: float) -> None:
        """Move on by ``dt`` seconds, at most TICK."""

    @abstractmethod
    def values(self) -> dict[str, Value]:
        """Engineering values by tag name, as they are now."""

    def noisy(self, value: float, sigma: float) -> float:
        """Value as a sensor with this standard deviation shows it."""
        return value + self._noise.gauss(0.0, sigma)

    def happens(self, mean: float, dt: float) -> bool:
        """Return True with the chance that something which occurs once in ``mean`` seconds occurs within ``dt``."""
        return self.chance.random() < dt / mean


def lag(value: float, target: float, tau: float, dt: float) -> float:
    """First-order approach of ``value`` to ``target`` with time constant ``tau``, after ``dt`` seconds."""
    return target + (value - target) * math.exp(-dt / tau)


class Wander:
    """A value that drifts about its mean (Ornstein-Uhlenbeck): draught, demand, mains voltage."""

    __slots__ = ("_chance", "_mean", "_sigma", "_tau", "value")

    def __init__(self, chance: Random, mean: float, sigma: float, tau: float) -> None:
        self._chance, self._mean, self._sigma, self._tau = chance, mean, sigma, tau
        self.value = mean

    def tick(self, dt: float) -> float:
        """Move on by ``dt`` seconds and return the new value."""
        kick = self._sigma * math.sqrt(2.0 * dt / self._tau)
        self.value += (self._mean - self.value) * dt / self._tau + kick * self._chance.gauss(0.0, 1.0)
        return self.value
