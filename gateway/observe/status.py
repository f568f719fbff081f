"""What the gateway says of itself: plain records, filled in where things happen, read by metrics, views and topics.

Whoever counts owns the record and alone writes to it; everybody else reads. Times: ns since the Unix epoch, 0: never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class DeviceState(StrEnum):
    """State of a device as the collector sees it."""

    CONNECTING = "connecting"
    """Not yet reached since start."""
    UP = "up"
    """The last poll brought values."""
    DEGRADED = "degraded"
    """Answers, but some tags are bad."""
    DOWN = "down"
    """Does not answer, or its link is gone; tried again by and by."""
    PARKED = "parked"
    """Cannot work until the configuration is edited."""


@dataclass(slots=True)
class DeviceStatus:
    """One device."""

    name: str
    connection: str
    state: DeviceState = DeviceState.CONNECTING
    reason: str = ""
    """Stable reason code of the last fault; empty when up."""
    message: str = ""
    """That fault in one sentence."""
    since: int = 0
    """When it entered this state."""
    last_good: int = 0
    """Time of the last value with good quality."""
    polls: int = 0
    failed_polls: int = 0
    overruns: int = 0
    """Polls skipped because the one before was not done in time."""
    dropped: int = 0
    """Values that the machine pushed while there was no room to store them; also declared as a gap."""
    reads: int = 0
    """Values read from the machine."""
    points: int = 0
    """Values given to the bus (reads less what report by exception held back)."""
    poll_seconds: float = 0.0
    """Time spent in polls that succeeded."""
    line_load: float = 0.0
    """Share of time its endpoint is busy, 0 to 1."""


@dataclass(slots=True)
class LaneStatus:
    """One lane."""

    name: str
    connected: bool = False
    reason: str = ""
    message: str = ""
    since: int = 0
    batches: int = 0
    """Batches acknowledged by the platform."""
    points: int = 0
    """Values in them."""
    payload_bytes: int = 0
    """Bytes of payload acknowledged."""
    backlog: int = 0
    """Batches committed and not acknowledged."""
    in_flight: int = 0
    resent: int = 0
    """Batches sent again after the link was lost."""
    dead_letters: int = 0
    """Batches, or parts of one, that the platform would not take: set aside in files."""
    dead_letters_dropped: int = 0
    """… and those for which there was no room to keep them."""
    connects: int = 0
    last_delivery: int = 0


@dataclass(slots=True)
class BusStatistics:
    """Counters of the bus since start, and its present depth."""

    kind: str = ""
    """``memory`` or ``journal``."""
    batches: int = 0
    """Batches committed."""
    frames: int = 0
    points: int = 0
    """Values committed."""
    dropped_batches: int = 0
    dropped_points: int = 0
    gaps: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    """Time spent in commits, fsync included."""
    depth_batches: int = 0
    """Batches held now."""
    depth_bytes: int = 0
    """Bytes of bodies held now."""
    limit_bytes: int = 0
    hours_left: float | None = None
    """At the present rate, hours until the limit is reached; None: not known yet, or never."""
    oldest_time: int = 0
    """First frame time held; 0: empty."""
    disk_free: int = 0
    """Bytes free on the file system; 0: no disk is used."""
    full: bool = False
    """True while readers are held back, or while the disk guard refuses to grow."""
    quarantined: int = 0
    """Damaged batches or files set aside since start."""


@dataclass(slots=True)
class WorkerStatus:
    """One process of a gateway that is shared out among several."""

    number: int
    gateway: str
    """Its name in the data: the gateway's own for worker 1, ``plant-1.2`` for worker 2."""
    up: bool = False
    """True while it is at work and answers."""
    leftover: bool = False
    """True: a worker that there is no more; what its journal held is being delivered, then it ends."""
    pid: int = 0
    restarts: int = 0
    """How often it ended without having been told to, and was started again."""
    devices: int = 0
    cpu_seconds: float = 0.0
    """User and system, of its present process."""
    memory_bytes: int = 0
    """Resident memory of its present process."""
    lanes: list[LaneStatus] = field(default_factory=list)
    bus: BusStatistics = field(default_factory=BusStatistics)


@dataclass(slots=True)
class GatewayStatus:
    """The whole gateway at one moment. With several workers, ``lanes`` and ``bus`` are theirs taken together."""

    gateway: str
    version: str
    started: int
    now: int
    clock_trusted: bool = True
    """False while nobody vouches for the system's clock: frames say so, and are corrected later."""
    devices: list[DeviceStatus] = field(default_factory=list)
    lanes: list[LaneStatus] = field(default_factory=list)
    bus: BusStatistics = field(default_factory=BusStatistics)
    workers: list[WorkerStatus] = field(default_factory=list)
    """Empty: the gateway is one process."""
