"""Serves the plant of a configuration: each device answers on its connection exactly as its profile says.

The protocol's simulator is found by the adapter's manifest, and given the tags of the configuration: what the gateway
reads back through the same tags are the machine's engineering values. Links fail here as well, when asked for; the
machines know nothing of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from gateway.config.base import ConnectionConfig
from gateway.config.root import Configuration
from gateway.model.faults import ConfigFault, LinkLost
from gateway.sdk.manifest import manifests
from gateway.testing.plant.plant import KINDS, Plant

STEP: Final = 0.05
"""Seconds between two updates of the registers."""
FIRST_MISHAP: Final = (6.0, 9.0)
BETWEEN: Final = (25.0, 50.0)
LASTS: Final = (4.0, 9.0)
"""Seconds until a link fails first, from then on between two failures, and how long one lasts: from … to."""


@dataclass(slots=True)
class Mishaps:
    """Which link is to fail now and then: a device that shares its line, so that its neighbour can be seen to go on."""

    device: str
    chance: Random
    silent: bool = False
    _left: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.chance.uniform(*FIRST_MISHAP)

    def step(self, seconds: float) -> bool:
        """Let time pass; True when the link has just failed or come back."""
        self._left -= seconds
        if self._left > 0:
            return False
        self.silent = not self.silent
        self._left = self.chance.uniform(*(LASTS if self.silent else BETWEEN))
        return True


class Served:
    """A plant whose values are on the wire. `refresh` brings them up to date."""

    def __init__(self, configuration: Configuration, plant: Plant, simulators: dict[str, Any]) -> None:
        self.ports = {name: int(simulator.port) for name, simulator in simulators.items()}
        """TCP port by connection."""
        self._plant = plant
        self._simulators = simulators
        self._devices = configuration.devices
        self._units = {
            name: simulators[device.config.connection].unit(_unit(device.config), device.config)
            for name, device in configuration.devices.items()
        }

    def refresh(self, seconds: float) -> None:
        """Let time pass in the plant and write every value to its registers."""
        self._plant.step(seconds)
        for name, values in self._plant.values().items():
            unit = self._units[name]
            for tag in self._devices[name].tags:
                unit.set(tag, values[tag.name])

    def silence(self, device: str, silent: bool) -> None:
        """Take a device off its line, or put it back: its line's other devices go on."""
        config = self._devices[device].config
        units = self._simulators[config.connection].units
        if silent:
            units.pop(_unit(config), None)
        else:
            units[_unit(config)] = self._units[device]

    async def run(self, mishaps: Mishaps | None = None) -> None:
        """Keep the plant in step with the clock until cancelled."""
        loop = asyncio.get_running_loop()
        then = loop.time()
        while True:
            await asyncio.sleep(STEP)
            now = loop.time()
            self.refresh(min(now - then, 1.0))
            if mishaps is not None and mishaps.step(now - then):
                self.silence(mishaps.device, mishaps.silent)
            then = now


@asynccontextmanager
async def served(
    configuration: Configuration, *, seed: int = 1, host: str | None = None, any_port: bool = False
) -> AsyncIterator[Served]:
    """Listen on the port of every connection (``any_port``: on free ones) and give the plant behind them.

    ``host``: local address, instead of the connection's. Raises ConfigFault when a device is none of the plant's
    machines or has other tags, and LinkLost when a port cannot be had.
    """
    plant = Plant(_machines(configuration), seed=seed)
    async with AsyncExitStack() as stack:
        simulators = {}
        for name, connection in configuration.connections.items():
            simulator = _simulator(connection, host, any_port)
            try:
                simulators[name] = await stack.enter_async_context(simulator)
            except OSError as error:
                where = f"{simulator.host}:{simulator.port}"
                raise LinkLost(
                    f"connection {name}: cannot listen on {where}: {error.strerror}", code="port_in_use"
                ) from error
        plant_on_wire = Served(configuration, plant, simulators)
        plant_on_wire.refresh(0.0)
        yield plant_on_wire


def troubled(configuration: Configuration) -> str | None:
    """Return a device that shares its connection with others, the first compressor if there is one; None: no such."""
    connections = [device.config.connection for device in configuration.devices.values()]
    sharing = [
        name for name, device in configuration.devices.items() if connections.count(device.config.connection) > 1
    ]
    return min(sharing, key=lambda name: configuration.devices[name].config.profile != "compressor", default=None)


def _machines(configuration: Configuration) -> dict[str, str]:
    """Kind of machine by device: the name of its profile. Raises ConfigFault for what the plant does not have."""
    kinds = {}
    for name, device in configuration.devices.items():
        kind = device.config.profile or ""
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise ConfigFault(
                f"device {name}: the plant simulates devices with the profiles {known}", code="no_simulator"
            )
        kinds[name] = kind
    known_tags = {name: set(values) for name, values in Plant(kinds).values().items()}
    for name, device in configuration.devices.items():
        unknown = [tag.name for tag in device.tags if tag.name not in known_tags[name]]
        if unknown:
            raise ConfigFault(
                f"device {name}: the simulated {kinds[name]} has no tag {unknown[0]}", code="no_simulator"
            )
    return kinds


def _simulator(connection: ConnectionConfig, host: str | None, any_port: bool) -> Any:
    make: Callable[..., Any] = manifests()[connection.adapter].load_simulator()
    fields = connection.model_dump(include={"transport", "host", "port"})
    if host is not None:
        fields["host"] = host
    if any_port:
        fields["port"] = 0
    return make(**fields)


def _unit(config: Any) -> int:
    return int(config.unit)
