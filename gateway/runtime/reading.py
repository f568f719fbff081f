"""Values for people: what the gateway read last, or reads once on request, tag by tag."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from time import monotonic_ns, time_ns
from typing import NamedTuple, cast

from gateway.collect.groups import poll_groups
from gateway.collect.normalise import Normaliser
from gateway.config.root import Configuration
from gateway.model.faults import ConfigFault, Fault
from gateway.model.frame import Frame
from gateway.model.schema import Schema
from gateway.model.types import Value
from gateway.model.view import FrameView
from gateway.runtime.making import make_adapter
from gateway.sdk.adapter import Adapter, Readings, Reads, Session


class TagReading(NamedTuple):
    """One value of one tag."""

    device: str
    tag: str
    value: Value | None
    """Engineering value; None when the quality is bad."""
    quality: int
    time: int
    """Nanoseconds since the Unix epoch."""
    unit: str


def rows(schema: Schema, frame: Frame) -> Iterator[TagReading]:
    """All values of a frame."""
    for tag, value, quality, time, unit in FrameView(schema, frame).rows():
        yield TagReading(schema.device, tag, value, quality, time, unit)


async def read_once(configuration: Configuration, devices: Collection[str] | None = None) -> list[TagReading]:
    """Read every tag of some devices (None: all that are enabled) once, past the bus and all reporting policies.

    A device that cannot be read gives its tags with the quality that says why. Raises ConfigFault for a name that the
    configuration does not have.
    """
    wanted = _wanted(configuration, devices)
    found: list[TagReading] = []
    for name, connection in configuration.connections.items():
        members = [device for device in wanted if configuration.devices[device].config.connection == name]
        if members:
            adapter = make_adapter(connection)
            try:
                async with adapter.open() as session:
                    for device in members:
                        found += await _read_device(configuration, device, adapter, session)
            except Fault as fault:
                done = {reading.device for reading in found}
                for device in members:
                    if device not in done:
                        found += await _read_device(configuration, device, adapter, fault)
    return found


async def _read_device(
    configuration: Configuration, name: str, adapter: Adapter, session: Session | Fault
) -> list[TagReading]:
    device = configuration.devices[name]
    found: list[TagReading] = []
    for group in poll_groups(device):
        plan = adapter.plan(device.config, group.tags)
        readings = Readings(len(group.tags), plan.table)
        normaliser = Normaliser(name, group.name, group.tags, plan, device.config.report, 0)
        try:
            if isinstance(session, Fault):
                raise session
            await cast("Reads", session).read(plan, readings)
            normaliser.frames(readings, time_ns(), monotonic_ns())
        except Fault as fault:
            normaliser.lost(fault.quality, time_ns())
        frame = normaliser.snapshot()
        if frame is not None:
            found += rows(normaliser.schema, frame)
    return found


def _wanted(configuration: Configuration, devices: Collection[str] | None) -> Iterable[str]:
    if devices is None:
        return [name for name, device in configuration.devices.items() if device.config.enabled]
    for name in devices:
        if name not in configuration.devices:
            known = ", ".join(list(configuration.devices)[:20])
            raise ConfigFault(f"no device {name!r}; the configuration has: {known}", code="device_unknown")
    return devices
