"""What an adapter is: mechanism only. It says how to plan, open, read (and write, browse, probe); no more.

The runtime owns scheduling, retry, backoff, quality, scaling, deadbands, metrics and logs. In an adapter there is no
sleep, retry, task, thread or clock; time-outs are given to the link, which keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from gateway.config.base import AdapterModels, ConnectionConfig, DeviceConfig, TagConfig
from gateway.model.faults import Fault
from gateway.model.quality import Quality
from gateway.model.types import Value
from gateway.sdk.push import Codes, Column, Push, Tags, Times
from gateway.wire.registers import RegisterTable


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a plan. Adapters subclass it with what they need to build the bytes."""

    tags: tuple[int, ...]
    """Positions, within the plan's tags, of those that this request reads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the tags of one poll group are read: few requests, and where in their bytes each tag lies."""

    requests: Sequence[Request]
    table: RegisterTable | None = None
    """Present when replies are bytes to be decoded in one go; then requests fill ``Readings.image``."""
    wire_bytes: int = 0
    """Bytes on the wire for one poll, both directions, framing included: for the load forecast."""
    turnarounds: int = 0
    """How many times the poll waits for the device (1 when all requests are pipelined)."""
    wire_time: float = 0.0
    """Seconds that one poll occupies the line, on a line whose speed is known (serial); 0: not known."""
    push: Push | None = None
    """Present when the device sends these tags by itself: the session gets a feed for them, and they are not polled."""


class Columns(NamedTuple):
    """Values of several tags of one type, as a poll brought them: see `Readings.put`."""

    tags: Tags
    values: Column
    quality: Codes | None
    times: Times | None


class Readings:
    """What one poll brought. The runtime makes it, the session fills it in, the normaliser reads it.

    With a register table: write reply bytes into ``image`` (a bytearray of ``table.size`` + 1 bytes, zeroed at first,
    kept between polls). Without: call `put` for whole columns, or `set` for each tag. Either way, call `fail` for what
    could not be read.
    """

    __slots__ = ("columns", "failures", "image", "times", "values")

    def __init__(self, size: int, table: RegisterTable | None) -> None:
        self.image: bytearray | None = table.image() if table else None
        self.values: list[Value | None] = [] if table else [None] * size
        self.columns: list[Columns] = []
        self.times: dict[int, int] = {}
        self.failures: dict[int, Quality] = {}

    def set(self, tag: int, value: Value | None, *, quality: Quality = Quality.GOOD, time: int = 0) -> None:
        """Give the raw value of plan tag ``tag``; ``time``: the device's own, ns since the epoch, if it has one."""
        self.values[tag] = value
        if quality is not Quality.GOOD:
            self.failures[tag] = quality
        if time:
            self.times[tag] = time

    def put(self, tags: Tags, values: Column, *, quality: Codes | None = None, times: Times | None = None) -> None:
        """Give raw values of several tags of the same type at once: see `Feed.put`, which takes the same."""
        self.columns.append(Columns(tags, values, quality, times))

    def fail(self, request: Request, why: Fault | Quality) -> None:
        """Mark all tags of a request as not read, with the reason."""
        quality = why.quality if isinstance(why, Fault) else why
        for tag in request.tags:
            self.failures[tag] = quality

    def clear(self) -> None:
        """Forget failures, columns and source times before the next poll; image and values stay."""
        self.failures.clear()
        self.times.clear()
        self.columns.clear()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the peer can bear. The runtime never exceeds it."""

    sessions: int = 1
    """Sessions to one endpoint at the same time."""
    in_flight: int = 1
    """Requests sent before the first answer."""


class Session(Protocol):
    """Lives as long as one established connection. What it can do, it shows by its methods: `Reads`, `Subscribes`,
    `Writes`, `ReadsHistory`."""


@runtime_checkable
class Reads(Protocol):
    """Capability of a session: it can be asked for values."""

    async def read(self, plan: Plan, out: Readings) -> None:
        """Carry out a plan's requests, in order, and fill ``out``.

        Raises a Fault when the whole device or link is concerned (Timeout, LinkLost, ProtocolFault, AuthFault, Busy);
        what concerns single requests goes into ``out.fail``. Called by one task at a time.
        """


class Adapter(Protocol):
    """Lives as long as one connection's configuration. Made with that configuration; does no I/O until `open`."""

    limits: Limits

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:
        """Merge the tags of one poll group of one device into few requests. Pure. Raises ConfigFault."""

    def open(self) -> AbstractAsyncContextManager[Session]:
        """Connect; leaving the context closes. Raises LinkLost, AuthFault, ProtocolFault or ConfigFault."""


@dataclass(frozen=True, slots=True)
class Write:
    """One value to be written: raw, already unscaled and range-checked."""

    tag: TagConfig
    value: Value


@runtime_checkable
class Writes(Protocol):
    """Capability of a session: it can write tags."""

    async def write(self, device: DeviceConfig, writes: Sequence[Write]) -> None:
        """Write in order. Raises TagFault for a refusal; Timeout or LinkLost mean that the outcome is not known."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found out about one device."""

    outcome: str
    """``ok``, ``refused``, ``timeout``, ``auth`` or ``wrong_protocol``."""
    detail: str
    """One sentence for a person."""
    identity: tuple[tuple[str, str], ...] = ()
    """What the device says of itself: vendor, model, version …"""


@runtime_checkable
class Probes(Protocol):
    """Capability of an adapter: it can tell what is at the other end, changing nothing."""

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, ask, disconnect. Never raises a Fault: what went wrong is the outcome."""


class AdapterModule(Protocol):
    """What the Python package of an adapter offers: its models and its class."""

    models: ClassVar[AdapterModels]

    def adapter(self, connection: Any) -> Adapter:
        """Make the adapter of one connection."""


__all__ = [
    "Adapter", "AdapterModels", "AdapterModule", "Columns", "ConnectionConfig", "DeviceConfig", "Limits", "Plan",
    "Probed", "Probes", "Readings", "Reads", "Request", "Session", "TagConfig", "Write", "Writes",
]  # fmt: skip
