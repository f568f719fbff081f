"""A small adapter and sink, as a third party would write them: the configuration room is tested without any protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import Field

from gateway.config.fields import Port, Secret
from gateway.config.loader import load
from gateway.sdk import (
    AdapterModels,
    ConfigFault,
    ConnectionConfig,
    DeviceConfig,
    Limits,
    LinkLost,
    Plan,
    Request,
    SinkConfig,
    TagConfig,
)


class TinyConnection(ConnectionConfig):
    """Over the network (host, port), or over a serial line (serial, baud)."""

    host: str | None = None
    """Name or address of the machine."""
    port: Port = 5000
    """TCP port."""
    serial: str | None = None
    """Serial port, instead of host."""
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    """Bits per second on the serial line."""
    password: Secret | None = None
    """What the machine asks for."""

    @property
    def endpoint(self) -> str:
        return f"serial:{self.serial}" if self.serial else f"tcp://{self.host}:{self.port}"


class TinyDevice(DeviceConfig):
    """One station on the connection."""

    station: Annotated[int, Field(ge=0, le=247)]
    """Number of the station."""


class TinyTag(TagConfig):
    """One word."""

    word: Annotated[int, Field(ge=0, le=65_535)]
    """Number of the word."""


class TinySink(SinkConfig):
    """A platform."""

    host: str
    """Name or address."""
    user: str = ""
    """User name."""
    password: Secret | None = None
    """Password of the user."""


class TinyAdapter:
    """Asks for one word after another: 8 bytes out, 7 back."""

    def __init__(self, connection: TinyConnection) -> None:
        self.connection = connection
        self.limits = Limits()

    def plan(self, device: TinyDevice, tags: Sequence[TinyTag]) -> Plan:
        for tag in tags:
            if tag.word > 9999:
                raise ConfigFault(f"tag {tag.name}: the machine has words 0 to 9999", code="address_invalid")
        size = 15 * len(tags)
        wire_time = size * 10 / self.connection.baud if self.connection.serial else 0.0
        requests = [Request((position,)) for position in range(len(tags))]
        return Plan(requests, wire_bytes=size, turnarounds=len(requests), wire_time=wire_time)

    def open(self):
        raise LinkLost("the tiny machine is made of paper")


class OtherTag(TagConfig):
    """A tag of the other adapter."""

    node: str
    """Where it is."""


ADAPTERS = {
    "tiny": AdapterModels(TinyConnection, TinyDevice, TinyTag),
    "other": AdapterModels(TinyConnection, DeviceConfig, OtherTag),
}
SINKS = {"mqtt": TinySink}


def adapter_models(adapter: str) -> AdapterModels:
    if adapter not in ADAPTERS:
        raise ConfigFault(f"no adapter {adapter!r}", code="adapter_unknown", known=sorted(ADAPTERS))
    return ADAPTERS[adapter]


def sink_model(sink: str) -> type[SinkConfig]:
    if sink not in SINKS:
        raise ConfigFault(f"no sink {sink!r}", code="sink_unknown", known=sorted(SINKS))
    return SINKS[sink]


@pytest.fixture
def tiny() -> SimpleNamespace:
    """Everything above, for tests that need it by name."""
    return SimpleNamespace(
        adapters=ADAPTERS,
        sinks=SINKS,
        adapter_models=adapter_models,
        sink_model=sink_model,
        Adapter=TinyAdapter,
        load=lambda path: load(Path(path), adapter_models, sink_model),
    )
