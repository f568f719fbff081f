"""Load forecast: how busy each connection will be with the scan rates that the configuration asks for. Pure: no I/O.

A serial line has a known speed: what its bytes take is certain, so a line that is asked for more than it can carry is
refused. How long a machine thinks before it answers is not known; for that, and for networks, an assumption is made,
and what follows from it is at most a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.collect.groups import PollGroup, poll_groups
from gateway.config.base import ConnectionConfig, TagConfig
from gateway.config.errors import Refusal
from gateway.config.root import Configuration, Device
from gateway.model.faults import ConfigFault
from gateway.sdk.adapter import Adapter, Plan
from gateway.sdk.manifest import manifests

ANSWER_TIME: Final = 0.01
"""Seconds that a machine is assumed to take for one answer: neither the fastest PLC nor the slowest meter."""
BUSY: Final = 0.7
"""Load of a serial line from which on retries and commands find little room."""

AdapterOf = Callable[[ConnectionConfig], Adapter]


class Verdict(StrEnum):
    """What the forecast says of a connection."""

    OK = "ok"
    WARN = "warn"
    """It may not keep up, or has no room for retries."""
    REFUSE = "refuse"
    """It cannot keep up, whatever the machines do."""


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """One poll group: what one poll of it takes."""

    device: str
    group: str
    scan: float
    tags: int
    requests: int
    wire_bytes: int
    """Both directions, framing included."""
    line_seconds: float
    """Certain: what the bytes take on a line whose speed is known; else 0."""
    answer_seconds: float
    """Assumed: waiting for the machine."""

    @property
    def seconds(self) -> float:
        """Duration of one poll."""
        return self.line_seconds + self.answer_seconds


@dataclass(frozen=True, slots=True)
class ConnectionLoad:
    """One connection with all its poll groups. A cycle is one poll of each."""

    connection: str
    groups: tuple[GroupLoad, ...]

    @property
    def devices(self) -> int:
        """Number of devices."""
        return len({group.device for group in self.groups})

    @property
    def tags(self) -> int:
        """Number of tags."""
        return sum(group.tags for group in self.groups)

    @property
    def requests(self) -> int:
        """Requests in a cycle."""
        return sum(group.requests for group in self.groups)

    @property
    def wire_bytes(self) -> int:
        """Bytes in a cycle, both directions."""
        return sum(group.wire_bytes for group in self.groups)

    @property
    def seconds(self) -> float:
        """Duration of a cycle."""
        return sum(group.seconds for group in self.groups)

    @property
    def load(self) -> float:
        """Share of time that polls with a scan rate keep the connection busy; above 1 it cannot keep up."""
        return sum(group.seconds / group.scan for group in self.groups if group.scan)

    @property
    def line_load(self) -> float:
        """The part of the load that is certain; 0 when the line's speed is not known."""
        return sum(group.line_seconds / group.scan for group in self.groups if group.scan)

    @property
    def back_to_back(self) -> bool:
        """True when a poll without a scan rate takes all the time that the others leave."""
        return not all(group.scan for group in self.groups)

    @property
    def verdict(self) -> Verdict:
        """Whether the scan rates can be met."""
        if self.line_load > 1:
            return Verdict.REFUSE
        limit = BUSY if self.line_load else 1.0
        return Verdict.WARN if self.load > limit else Verdict.OK

    @property
    def advice(self) -> str:
        """What the verdict means and what helps; empty when all is well."""
        if self.verdict is Verdict.OK:
            return ""
        if self.verdict is Verdict.REFUSE:
            factor = self.line_load / BUSY
            return (
                f"the line would have to be busy {self.line_load:.0%} of the time: make scan rates {factor:.1f} times "
                "longer, raise the baud rate, or move devices to another line"
            )
        what = "is busy" if self.line_load else "may be busy"
        return (
            f"it {what} {self.load:.0%} of the time if a machine answers in {ANSWER_TIME * 1000:.0f} ms: "
            "polls may be skipped; longer scan rates or fewer devices leave room for retries and commands"
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole configuration."""

    connections: tuple[ConnectionLoad, ...]
    refusals: tuple[Refusal, ...]
    """What the adapters say cannot work."""

    @property
    def good(self) -> bool:
        """True when nothing stands against running this configuration."""
        return not self.refusals and all(load.verdict is not Verdict.REFUSE for load in self.connections)


def installed_adapter(connection: ConnectionConfig) -> Adapter:
    """Make the adapter of a connection, found by manifest. Raises ConfigFault."""
    return manifests()[connection.adapter].load().adapter(connection)


def forecast(configuration: Configuration, adapter_of: AdapterOf = installed_adapter) -> Forecast:
    """Plan every poll of a configuration and add up what it takes; what cannot be planned is in ``refusals``."""
    by_connection: dict[str, list[Device]] = {name: [] for name in configuration.connections}
    for device in configuration.devices.values():
        by_connection[device.config.connection].append(device)
    loads: list[ConnectionLoad] = []
    refusals: list[Refusal] = []
    for name, devices in by_connection.items():
        try:
            adapter = adapter_of(configuration.connections[name])
        except ConfigFault as fault:
            refusals.append(Refusal("connections", name, None, str(fault), fault.code))
            continue
        groups: list[GroupLoad] = []
        for device in devices:
            for group in poll_groups(device):
                try:
                    groups.append(_group_load(group, adapter.plan(device.config, group.tags)))
                except ConfigFault as fault:
                    refusals += _refusals(adapter, group, fault)
        loads.append(ConnectionLoad(name, tuple(groups)))
    return Forecast(tuple(loads), tuple(refusals))


def _group_load(group: PollGroup, plan: Plan) -> GroupLoad:
    return GroupLoad(
        device=group.device.name,
        group=group.name,
        scan=group.scan,
        tags=len(group.tags),
        requests=len(plan.requests),
        wire_bytes=plan.wire_bytes,
        line_seconds=plan.wire_time,
        answer_seconds=plan.turnarounds * ANSWER_TIME,
    )


def _refusals(adapter: Adapter, group: PollGroup, fault: ConfigFault) -> list[Refusal]:
    """Which tags are to blame: those that cannot be planned alone; none of them: the device."""
    device = group.device
    positions = {id(tag): position for position, tag in enumerate(device.tags)}
    found = []
    for tag in group.tags:
        alone = _fault_of(adapter, device, [tag])
        if alone:
            found.append(Refusal("devices", device.name, positions[id(tag)], str(alone), alone.code))
    if not found or (len(found) == len(group.tags) > 1 and len({refusal.message for refusal in found}) == 1):
        return [Refusal("devices", device.name, None, str(fault), fault.code)]
    return found


def _fault_of(adapter: Adapter, device: Device, tags: Sequence[TagConfig]) -> ConfigFault | None:
    try:
        adapter.plan(device.config, tags)
    except ConfigFault as fault:
        return fault
    return None
