"""What a configuration file can say about MTConnect: the agent, devices behind it, data items."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gateway.config.fields import Duration, Interval, Port, Size
from gateway.model.types import DataType
from gateway.sdk import Access, DeviceConfig, TagConfig, TcpConnection

from .address import Address


class MtconnectConnection(TcpConnection):
    """An agent."""

    port: Port = 5000
    """TCP port of the agent."""
    path: Annotated[str, Field(max_length=256, pattern=r"^(/[\w.~-]+)*$")] = ""
    """What its paths begin with, such as /agent; empty for /probe, /current and /sample themselves."""
    timeout: Interval = 5.0
    """How long connecting, and each answer of the agent, may take."""
    interval: Annotated[Duration, Field(le=60)] = 0.1
    """Time between two parts of the stream, in which the agent gathers what changes; 0s: at once."""
    heartbeat: Annotated[Interval, Field(ge=0.01, le=600)] = 10.0
    """The agent gives a sign of life when nothing changed for this long; if even that stays away, the link is down."""
    count: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Most observations in one part; never more than the buffer of the agent holds."""
    max_document: Annotated[Size, Field(ge=1000, le=64 << 20)] = 8_000_000
    """Largest document that is taken from the agent."""


class MtconnectDevice(DeviceConfig):
    """A machine behind an agent."""

    device: Annotated[str, Field(max_length=256)] = ""
    """Its name or uuid, as /probe tells it; empty: the agent has only one, or all tags have an id for address."""


class MtconnectTag(TagConfig):
    """One data item of a machine."""

    address: Address
    """id or name of the data item, such as x_pos or Xabs; an id goes before a name."""

    @model_validator(mode="after")
    def _readable(self) -> MtconnectTag:
        if self.access is not Access.READ:
            raise ValueError("MTConnect is read only")
        if self.type is DataType.BYTES:
            raise ValueError("MTConnect has texts and numbers, no bytes")
        return self
