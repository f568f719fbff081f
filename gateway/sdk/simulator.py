"""What a simulator is to the rest of the house: it stands where a connection looks for its devices, and holds values.

An adapter names its simulator class in the manifest (``simulator``). What else the class can do, such as faults, is
for the adapter's own tests.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, Self

from gateway.config.base import ConnectionConfig, TagConfig
from gateway.model.schema import Scale
from gateway.model.types import DataType, Value


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


_REAL: Final = (DataType.FLOAT32, DataType.FLOAT64)


def raw_value(tag: TagConfig, value: Value) -> Value:
    """Raw value that a gateway reads as the engineering value ``value``. Raises ValueError when it does not fit.

    What `SimulatedDevice.set` begins with.
    """
    kind = tag.type
    if isinstance(value, str) and kind is DataType.STRING:
        return value
    if isinstance(value, bytes) and kind is DataType.BYTES:
        return value
    if isinstance(value, str | bytes) or not kind.packed:
        raise ValueError(f"{tag.name} is {kind}, {value!r} is not")
    if kind is DataType.BOOL:
        return bool(value)
    scale = Scale.of(tag.scale, tag.offset)
    raw = value if scale.identity else (value - scale.add) * scale.divide / scale.multiply
    if kind in _REAL:
        return float(raw)
    bits = 8 * kind.width
    lowest, highest = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not lowest <= raw <= highest or (scale.identity and raw != round(raw)):
        raise ValueError(f"{tag.name} is {kind}, {value!r} does not fit")
    return round(raw)
