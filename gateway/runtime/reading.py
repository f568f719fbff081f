"""Values for people: what the gateway read last, or reads once on request, tag by tag."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
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
from gateway.runtime.first_values import FirstFeed, take_first
from gateway.runtime.making import make_adapter
from gateway.sdk.adapter import Adapter, Plan, Readings, Reads, Session
from gateway.sdk.push import Subscribes


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


class Group(NamedTuple):
    """One poll group on the way to its rows."""

    plan: Plan
    normaliser: Normaliser
    feed: FirstFeed | None
    """Present when the device pushes these tags."""
    size: int


async def read_once(
    configuration: Configuration, devices: Collection[str] | None = None, wait: float = 5.0
) -> list[TagReading]:
    """Read every tag of some devices (None: all that are enabled) once, past the bus and all reporting policies.

    Values that a device pushes are waited for, ``wait`` seconds at most. A device that cannot be read gives its tags
    with the quality that says why. Raises ConfigFault for a name that the configuration does not have.
    """
    wanted = _wanted(configuration, devices)
    found: list[TagReading] = []
    for name, connection in configuration.connections.items():
        members = [device for device in wanted if configuration.devices[device].config.connection == name]
        if members:
            found += await read_with(make_adapter(connection), configuration, members, wait)
    return found


async def read_with(
    adapter: Adapter, configuration: Configuration, members: Iterable[str], wait: float
) -> list[TagReading]:
    """Read every tag of some devices, which are behind one connection, once, with the adapter of that connection."""
    groups = [group for device in members for group in _groups(configuration, device, adapter)]
    await _read(adapter, groups, wait)
    found: list[TagReading] = []
    for group in groups:
        frame = group.normaliser.snapshot()
        if frame is not None:
            found += rows(group.normaliser.schema, frame)
    return found


def _groups(configuration: Configuration, name: str, adapter: Adapter) -> Iterator[Group]:
    device = configuration.devices[name]
    for group in poll_groups(device):
        plan = adapter.plan(device.config, group.tags)
        if plan.push is not None:
            feed = FirstFeed(name, group, plan)
            yield Group(plan, feed.normaliser, feed, len(group.tags))
        else:
            normaliser = Normaliser(name, group.name, group.tags, plan, device.config.report, 0)
            yield Group(plan, normaliser, None, len(group.tags))


async def _read(adapter: Adapter, groups: Sequence[Group], wait: float) -> None:
    """Open, read what is polled, wait for what is pushed, close."""
    left = list(groups)
    try:
        async with adapter.open() as session:
            for group in groups:
                if group.feed is None:
                    await _poll(session, group)
                    left.remove(group)
            feeds = [group.feed for group in groups if group.feed is not None]
            if feeds:
                await take_first(cast("Subscribes", session), feeds, wait)
                left.clear()
    except Fault as fault:
        for group in left:
            group.normaliser.lost(fault.quality, time_ns())


async def _poll(session: Session, group: Group) -> None:
    readings = Readings(group.size, group.plan.table)
    try:
        await cast("Reads", session).read(group.plan, readings)
        group.normaliser.frames(readings, time_ns(), monotonic_ns())
    except Fault as fault:
        group.normaliser.lost(fault.quality, time_ns())


def _wanted(configuration: Configuration, devices: Collection[str] | None) -> Iterable[str]:
    if devices is None:
        return [name for name, device in configuration.devices.items() if device.config.enabled]
    for name in devices:
        if name not in configuration.devices:
            known = ", ".join(list(configuration.devices)[:20])
            raise ConfigFault(f"no device {name!r}; the configuration has: {known}", code="device_unknown")
    return devices
