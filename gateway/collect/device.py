"""A device as the collector sees it: its poll groups, its state, and when it may be tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns, time_ns
from typing import Final

import structlog

from gateway.collect.groups import PollGroup
from gateway.collect.missed import Missed
from gateway.collect.normalise import Normaliser
from gateway.collect.recovery import Backoff
from gateway.config.base import ConnectionConfig
from gateway.config.root import Device
from gateway.model.faults import Fault
from gateway.observe.status import DeviceState, DeviceStatus
from gateway.sdk.adapter import Plan, Readings

log = structlog.get_logger("collect")

_EVENTS: Final = {state: f"device_{state.value}" for state in DeviceState}

Notify = Callable[[DeviceStatus], None]
"""Called when the state of a device has changed."""


@dataclass(slots=True, eq=False)
class PollJob:
    """One poll group at work."""

    group: PollGroup
    plan: Plan
    normaliser: Normaliser
    readings: Readings
    watchdog: float
    """Seconds after which a poll that has not come back is given up, whatever the adapter does."""
    missed: Missed
    device: PolledDevice
    queued: bool = False
    """Waiting in the endpoint's queue, or running."""


@dataclass(slots=True, eq=False)
class PolledDevice:
    """One device at work."""

    device: Device
    status: DeviceStatus
    backoff: Backoff
    notify: Notify
    jobs: list[PollJob] = field(default_factory=list)
    faults: int = 0
    """Faults in a row."""
    bugs: int = 0
    """Unexpected exceptions since start; at the end of the budget the device is parked."""
    retest: asyncio.TimerHandle | None = None
    """Set while the device is left alone after a fault."""

    @classmethod
    def of(cls, device: Device, connection: ConnectionConfig, notify: Notify) -> PolledDevice:
        """Device that has not been reached yet."""
        status = DeviceStatus(device.name, device.config.connection, since=time_ns())
        return cls(device, status, Backoff(connection.retry, connection.retry_max), notify)

    def add(self, group: PollGroup, plan: Plan, timeout: float) -> PollJob:
        """Add a poll group."""
        config = self.device.config
        job = PollJob(
            group,
            plan,
            Normaliser(self.device.name, group.name, group.tags, plan, config.report, config.heartbeat),
            Readings(len(group.tags), plan.table),
            watchdog=2 * timeout * (len(plan.requests) + 1) + 5,
            missed=Missed(monotonic_ns()),
            device=self,
        )
        self.jobs.append(job)
        return job

    @property
    def parked(self) -> bool:
        """True when nothing is tried any more."""
        return self.status.state is DeviceState.PARKED

    @property
    def resting(self) -> bool:
        """True while it is left alone until its retest."""
        return self.retest is not None

    def good(self, failures: int, reason: str, now: int) -> None:
        """Note a poll that came back: ``failures`` of its tags are bad, for ``reason``."""
        self.faults = 0
        self.backoff.reset()
        self.rest(None)
        if failures:
            self._enter(DeviceState.DEGRADED, reason, f"{failures} tags cannot be read", now)
        else:
            self._enter(DeviceState.UP, "", "", now)

    def fault(self, fault: Fault, now: int) -> None:
        """Note a fault that does not take the device down yet."""
        self.faults += 1
        self.status.failed_polls += 1
        if self.status.state is DeviceState.UP:
            self._enter(DeviceState.DEGRADED, fault.code, str(fault), now)

    def down(self, state: DeviceState, fault: Fault, now: int) -> None:
        """Take the device down, or park it."""
        self._enter(state, fault.code, str(fault), now)

    def rest(self, retest: asyncio.TimerHandle | None) -> None:
        """Leave it alone until ``retest``; None: no longer."""
        if self.retest is not None:
            self.retest.cancel()
        self.retest = retest

    def _enter(self, state: DeviceState, reason: str, message: str, now: int) -> None:
        status = self.status
        if status.state is state and status.reason == reason:
            return
        before, status.state = status.state, state
        status.reason, status.message, status.since = reason, message, now
        fields = {"device": status.name, "connection": status.connection, "was": before.value}
        if state is DeviceState.UP:
            log.info("device_up", **fields)
        else:
            log.warning(_EVENTS[state], reason=reason, message=message, **fields)
        self.notify(status)


def jobs_of(devices: Sequence[PolledDevice]) -> list[PollJob]:
    """All poll groups of some devices."""
    return [job for device in devices for job in device.jobs]
