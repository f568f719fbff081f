"""Base models that adapters and sinks extend with their own fields: connection, device, tag, sink.

What stands here is what the runtime itself acts on; an adapter adds the rest (address, unit id, word order …) in its
own ``config.py``. Unknown keys are errors, models are frozen, each field says what it is for and in which unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.config.fields import Deadband, Duration, Interval, Name, Port, TagName
from gateway.model.types import DataType


class Model(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        defer_build=True,  # most are bases or parts of others, and never validate anything themselves
    )


class Unsound(ValueError):
    """Several things at once that are wrong with a mapping as a whole; raised by model validators."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
        """One sentence each; one that begins with a key is shown at that key."""


class Access(StrEnum):
    """What may be done with a tag."""

    READ = "read"
    WRITE = "write"
    READ_WRITE = "read/write"


class Report(StrEnum):
    """When a value that was read is sent on."""

    CHANGE = "change"
    ALWAYS = "always"


class TagConfig(Model):
    """A named value of a device. Adapters add the address and how the bytes are to be read."""

    name: TagName
    """Name of the tag, unique within its device."""
    type: DataType
    """Type of the value in the machine."""
    scale: Annotated[float, Field(gt=-1e300, lt=1e300)] = 1.0
    """Engineering value = raw value × scale + offset."""
    offset: float = 0.0
    """Added after scaling, in engineering units."""
    unit: Annotated[str, Field(max_length=32)] = ""
    """Engineering unit, such as °C, bar, kWh."""
    range: tuple[float, float] | None = None
    """Lowest and highest credible engineering value; outside it the quality becomes out_of_range (uncertain)."""
    clamp: tuple[float, float] | None = None
    """Lowest and highest engineering value let through; what lies outside is limited, with quality clamped."""
    scan: Duration | None = None
    """Scan rate: time between two reads. Default: the device's."""
    report: Report | None = None
    """change: only when it differs by more than the deadband; always: every read. Default: the device's."""
    deadband: Deadband = Deadband()
    """Least change worth a report: 0.5 (engineering units) or 1% (of the last reported value)."""
    min_interval: Duration = 0.0
    """Report a changing value at most this often; 0s: no limit."""
    max_interval: Duration = 0.0
    """Report the value as read at least this often, changed or not; 0s: never without a change."""
    access: Access = Access.READ
    """read, write or read/write. Writing needs the command room to be switched on as well."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people; not sent."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = []
        if self.type.packed and self.type is not DataType.BOOL:
            if self.scale == 0:
                problems.append("scale is 0, which would make every value the offset; leave it out for no scaling")
            for field in ("range", "clamp"):
                limits = getattr(self, field)
                if limits is not None and not limits[0] < limits[1]:
                    problems.append(f"{field} is [lowest, highest], and {limits[0]:g} is not below {limits[1]:g}")
        else:
            fields = type(self).model_fields
            problems += [
                f"{field} needs a numeric type, which {self.type} is not"
                for field in ("scale", "offset", "range", "clamp", "deadband")
                if getattr(self, field) != fields[field].default
            ]
        if 0 < self.max_interval < self.min_interval:
            problems.append("max_interval is shorter than min_interval")
        if problems:
            raise Unsound(problems)
        return self


class DeviceConfig(Model):
    """A machine, or a part of one, that has tags. Adapters add what addresses it on its connection."""

    connection: Name
    """Name of the connection it is reached through."""
    profile: Name | None = None
    """Name of the profile that describes this device model; its tags come before the device's own."""
    params: dict[str, str | int | float | bool] = {}
    """Values for the profile's parameters."""
    enabled: bool = True
    """false: stays in the file, is not read."""
    scan: Duration = 1.0
    """Scan rate of tags that name none; 0s: back to back, as fast as the device answers."""
    report: Report = Report.CHANGE
    """Report policy of tags that name none."""
    heartbeat: Duration = 60.0
    """When nothing changed for this long, say that the values were read and are unchanged; 0s: never."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people; not sent."""


class ConnectionConfig(Model):
    """The way to reach one or more devices. Adapters add host, port, serial line, security."""

    adapter: Name
    """Id of the adapter, as `xingsha adapters` lists them."""
    timeout: Interval = 1.0
    """How long one request may stay unanswered."""
    retry: Interval = 5.0
    """First wait before a device or link that is down is tried again; doubles, with jitter, up to retry_max."""
    retry_max: Interval = 60.0
    """Longest wait between two tries."""
    enabled: bool = True
    """false: the connection and its devices stay in the file and are left alone."""

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once, such as ``tcp://10.0.0.5:502`` or ``serial:/dev/ttyS0``."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _retry_in_order(self) -> Self:
        if self.retry_max < self.retry:
            raise ValueError("retry_max is shorter than retry")
        return self


class TcpConnection(ConnectionConfig):
    """A device that listens on TCP. Adapters extend it; most give ``port`` the default of their protocol."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]
    """Name or IP address of the device."""
    port: Port
    """TCP port of the device."""

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once."""
        return f"tcp://{self.host}:{self.port}"


class SinkConfig(Model):
    """Where a lane sends to. Sinks add host, credentials, topics."""

    def for_worker(self, gateway: str, worker: int) -> Self:
        """Settings for another worker (2, 3 …) of ``gateway``: what only one session can have gets its number."""
        del gateway, worker
        return self


@dataclass(frozen=True, slots=True)
class AdapterModels:
    """The three models that an adapter brings; the loader asks for them by adapter id."""

    connection: type[ConnectionConfig]
    device: type[DeviceConfig]
    tag: type[TagConfig]
