"""Collector: all connections at work. Start always succeeds; what cannot be reached is tried again, by and by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic

import structlog

from gateway.bus.protocol import Bus
from gateway.collect.clock import LOOK_SECONDS, Clock, vouched_by
from gateway.collect.device import Notify, PolledDevice, jobs_of
from gateway.collect.endpoint import Endpoint
from gateway.collect.feeds import DeviceFeeds
from gateway.collect.groups import poll_groups
from gateway.collect.normalise import Normaliser
from gateway.collect.schedule import Schedule
from gateway.config.base import ConnectionConfig
from gateway.config.root import BusKind, Configuration
from gateway.model.batch import Gap
from gateway.model.faults import ConfigFault
from gateway.observe.status import DeviceState, DeviceStatus
from gateway.sdk.adapter import Adapter

log = structlog.get_logger("collect")

MakeAdapter = Callable[[ConnectionConfig], Adapter]


class Collector:
    """Reads every enabled device of a configuration into the bus.

    ``make``: from a connection's configuration to its adapter. ``notify``: told of every change of a device's state.
    """

    def __init__(self, configuration: Configuration, bus: Bus, make: MakeAdapter, notify: Notify) -> None:
        self._bus = bus
        self._notify = notify
        self._started = monotonic()
        self.devices: list[PolledDevice] = []
        self.endpoints: dict[str, Endpoint] = {}
        self.clock = Clock(vouched_by(configuration.gateway.clock), _clock_file(configuration))
        self._schedule = schedule = Schedule()
        for name, members in _by_connection(configuration).items():
            connection = configuration.connections[name]
            adapter = make(connection)
            feeds = DeviceFeeds(name, bus, self.clock)
            devices = [self._device(configuration, device, connection, adapter, feeds) for device in members]
            self.devices.extend(devices)
            self.endpoints[name] = Endpoint(name, connection, adapter, devices, feeds, bus, schedule, self.clock)
        self._clock_changed(self.clock.known)
        schedule.add(LOOK_SECONDS, self._look)

    async def run(self) -> None:
        """Read until cancelled; then declare what is missing, so that it is in the bus before the bus closes."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(endpoint.run(), name=f"endpoint {endpoint.name}")
                    for endpoint in self.endpoints.values()
                ]
                try:
                    if tasks:  # a gateway that only delivers what is left has none
                        await asyncio.wait(tasks)
                except asyncio.CancelledError:
                    for endpoint in self.endpoints.values():
                        endpoint.stopping = True
                    raise
        finally:
            self._schedule.stop()  # a tick after this would declare and publish what nobody takes any more
            for endpoint in self.endpoints.values():
                endpoint.finish()

    def statuses(self) -> list[DeviceStatus]:
        """Status of every device, in the order of the configuration."""
        running = max(monotonic() - self._started, 1e-9)
        for device in self.devices:
            device.status.line_load = min(1.0, device.status.poll_seconds / running)
        return [device.status for device in self.devices]

    def normalisers(self) -> Iterator[Normaliser]:
        """Of every poll group, polled or pushed: they have the values as last read."""
        for job in jobs_of(self.devices):
            yield job.normaliser
        for endpoint in self.endpoints.values():
            for feed in endpoint.feeds.members:
                yield feed.normaliser

    def _look(self, skipped: int) -> None:  # noqa: ARG002 - told by the schedule
        before = self.clock.stretch
        records = self.clock.look()
        if records or self.clock.stretch != before:
            self._clock_changed(records)

    def _clock_changed(self, records: list[Gap]) -> None:
        """Have frames say whether their time can be trusted, and declare what is known of those before."""
        for record in records:
            self._bus.declare(record)
            if not record.clock:
                log.warning("clock_set", seconds=round(record.offset / 1e9, 3), trusted=self.clock.trusted)
        corrected = sum(1 for record in records if record.clock and not record.into)
        if not self.clock.trusted:
            log.warning("clock_not_trusted", reason="clock_not_trusted")
        elif corrected:
            log.info("clock_trusted", corrected_stretches=corrected)
        for normaliser in self.normalisers():
            normaliser.flags = self.clock.flags

    def _device(
        self,
        configuration: Configuration,
        name: str,
        connection: ConnectionConfig,
        adapter: Adapter,
        feeds: DeviceFeeds,
    ) -> PolledDevice:
        device = configuration.devices[name]
        polled = PolledDevice.of(device, connection, self._notify)
        try:
            for group in poll_groups(device):
                plan = adapter.plan(device.config, group.tags)
                work = (
                    polled.add(group, plan, connection.timeout) if plan.push is None else feeds.add(group, plan, polled)
                )
                self._bus.define(work.normaliser.schema)
        except ConfigFault as fault:
            polled.down(DeviceState.PARKED, fault, polled.status.since)
        return polled


def _clock_file(configuration: Configuration) -> Path | None:
    """Where stretches of untrusted time are remembered: beside the journal that holds their frames."""
    bus = configuration.bus
    path = configuration.folder / bus.path
    return None if bus.kind is BusKind.MEMORY else path.with_name(path.name + ".clock")


def _by_connection(configuration: Configuration) -> Mapping[str, list[str]]:
    """Names of the enabled devices of each enabled connection."""
    found: dict[str, list[str]] = {}
    for name, device in configuration.devices.items():
        connection = configuration.connections[device.config.connection]
        if device.config.enabled and connection.enabled:
            found.setdefault(device.config.connection, []).append(name)
    return found
