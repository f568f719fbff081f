"""What a simulator is to the rest of the house: it stands where a connection looks for its devices, and holds values.

An adapter names its simulator class in the manifest (``simulator``). What else the class can do, such as faults, is
for the adapter's own tests.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

from gateway.config.base import ConnectionConfig
from gateway.model.types import Value


class SimulatedDevice(Protocol):
    """One device of a simulator."""

    def set(self, tag: Any, value: Value) -> None:
        """Set an engineering value: a gateway with this tag reads just that. Raises ValueError when it does not fit."""


class Simulator(Protocol):
    """Serves all devices of one connection while it is entered as a context."""

    @classmethod
    def of(cls, connection: Any) -> Self:
        """Make the simulator that listens where a gateway with this connection connects to, or dials where it listens.

        Raises ConfigFault ``no_simulator`` for a transport that it does not do.
        """

    def device(self, config: Any) -> SimulatedDevice:
        """Return the device that a configuration addresses, made on first use."""

    async def __aenter__(self) -> Self:
        """Start. Raises OSError when the place is taken or may not be used."""

    async def __aexit__(self, *_: object) -> None:
        """Stop, and close every connection."""


class SimulatorClass(Protocol):
    """What `Manifest.load_simulator` returns."""

    def of(self, connection: ConnectionConfig) -> Simulator:
        """See Simulator."""
