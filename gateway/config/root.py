"""The whole configuration as typed values: what a file says once it has been read, checked and expanded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from gateway.config.base import ConnectionConfig, DeviceConfig, Model, SinkConfig, TagConfig
from gateway.config.fields import Duration, Interval, Listen, Name, Size

MOST_WORKERS: Final = 64
"""Far more than a box that stands beside machines has cores."""


class WhenFull(StrEnum):
    """What is done when the bus has reached its limit."""

    DROP_OLDEST = "drop_oldest"
    """Give up the oldest batches; declared as a gap."""
    THIN_OUT = "thin_out"
    """Give up every second batch of the older half, again and again: coarse history instead of none; gaps too."""
    STOP_READING = "stop_reading"
    """Keep everything; devices are not read until there is room; the missed polls are declared as gaps."""


class Order(StrEnum):
    """Which batches a consumer is given first when it has fallen behind."""

    OLDEST_FIRST = "oldest_first"
    FRESH_FIRST = "fresh_first"


class BusKind(StrEnum):
    """Where batches are kept."""

    JOURNAL = "journal"
    """SQLite in WAL mode, one file: survives kills and power cuts."""
    MEMORY = "memory"
    """Nothing survives the process: for tests, and for those who want no disk."""


class GatewayConfig(Model):
    """Who this gateway is."""

    id: Name
    """Unique name of this gateway: it stands in every topic and every batch."""
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | Literal["auto"] = 1
    """Processes that share the connections, for more than one core; auto: one per core. Each of them has a journal
    with the limits under ``bus``, and a session with each platform; see docs/deploy.md, More than one core."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people."""
    clock: Annotated[str, Field(pattern="^(auto|always|/.+)$")] = "auto"
    """Who vouches for the system's clock. auto: the kernel, told by chrony, systemd-timesyncd, ntpd or ptp4l; a path:
    the file exists once the time is right (/run/systemd/timesync/synchronized); always: nobody needs to."""


class ProfileConfig(Model):
    """One device model, described once and used by many devices.

    What else stands in a profile are defaults for its devices: any key of a device except ``connection``, ``profile``,
    ``params`` and ``enabled``. ``${name}`` stands for a parameter: alone it keeps the parameter's type, within text it
    becomes part of the text.
    """

    adapter: Name
    """Id of the adapter whose tags these are; the device's connection must have the same."""
    params: dict[str, str | int | float | bool | None] = Field(default={})
    """Parameters and their defaults; a parameter without a default (empty) must be given by every device."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people."""


class BusConfig(Model):
    """How batches are made and kept."""

    kind: BusKind = BusKind.JOURNAL
    """journal (durable) or memory."""
    path: Path = Path("var/journal.db")
    """The journal file; relative to the configuration file."""
    synchronous: Annotated[str, Field(pattern="^(full|normal|off)$")] = "full"
    """full: every commit survives a power cut; normal: the last seconds may be lost in one; off: for tests."""
    linger: Duration = 0.1
    """A batch is closed this long after its first frame: the most that a kill or power cut can cost, plus one fsync."""
    batch_bytes: Size = 512 * 1024
    """… or when its frames reach this size, packed."""
    batch_frames: Annotated[int, Field(ge=1, le=65_536)] = 4096
    """… or this many frames."""
    limit: Size = 2_000_000_000
    """Most bytes of batches kept."""
    retain: Interval = 72 * 3600.0
    """Oldest batch kept, for lanes that are behind."""
    when_full: WhenFull = WhenFull.DROP_OLDEST
    """drop_oldest, thin_out or stop_reading."""
    min_free: Size = 200_000_000
    """Stop growing when the file system has less than this free."""
    cache: Size = 32_000_000
    """Recent batches also kept in memory, so that a lane that keeps up never reads the disk."""


class LaneConfig(Model):
    """The way to one platform: a consumer of the bus, a payload codec and a sink."""

    sink: Name = "mqtt"
    """Id of the sink."""
    to: Any
    """The sink's own settings: host, credentials, topics; see the sink's page."""
    payload: Annotated[str, Field(pattern="^(columnar|json)$")] = "columnar"
    """columnar (MessagePack + zstd) or json."""
    order: Order = Order.OLDEST_FIRST
    """After an outage: oldest_first, or fresh_first (live data at once, the backlog behind it)."""
    window: Annotated[int, Field(ge=1, le=1000)] = 16
    """Batches that may be sent and not yet acknowledged."""
    backfill_rate: Annotated[float, Field(ge=0)] = 0
    """Most batches per second of backlog; 0: no limit."""
    max_rejects: Annotated[int, Field(ge=1)] = 1
    """A batch that the platform rejects this often is set aside as a dead letter."""
    enabled: bool = True
    """false: stays in the file, nothing is sent."""


class ObserveConfig(Model):
    """Logs, metrics, health."""

    http: Listen = "127.0.0.1:9180"
    """host:port for metrics and health; off: no listening socket."""
    log: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """Least severity that is logged."""
    log_format: Annotated[str, Field(pattern="^(auto|text|json)$")] = "auto"
    """text for people, json for collectors; auto: text on a terminal, json elsewhere."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device with all its tags: the profile's, parameters filled in, then its own."""

    name: str
    config: DeviceConfig
    tags: tuple[TagConfig, ...]
    """Shared between devices wherever a profile gives them the same tags."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file that was found good."""

    gateway: GatewayConfig
    connections: dict[str, ConnectionConfig]
    devices: dict[str, Device]
    lanes: dict[str, LaneConfig]
    sinks: dict[str, SinkConfig]
    """The ``to`` of each lane, typed by its sink, under the lane's name."""
    bus: BusConfig
    observe: ObserveConfig
    folder: Path
    """Folder of the configuration file: relative paths start there."""
    worker: int = 1
    """Which worker's share of a gateway this is; the first one's is also a gateway that is not shared out."""
