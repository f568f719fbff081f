"""Sinks, one folder each, found by name: ``mqtt`` is the package ``gateway.sinks.mqtt``.

A sink package offers ``model`` (its settings) and ``sink`` (makes it from them). May not enter: payload formats.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast

from gateway.config.base import SinkConfig
from gateway.model.faults import ConfigFault
from gateway.sdk.sink import Sink


class SinkModule(Protocol):
    """What the package of a sink offers."""

    model: type[SinkConfig]

    def sink(self, config: SinkConfig, gateway: str, lane: str, *, folder: Path) -> Sink:
        """Make the sink of a lane. Raises ConfigFault."""


class MakeSink(Protocol):
    """What `make_sink` is."""

    def __call__(self, identity: str, config: SinkConfig, gateway: str, lane: str, /, *, folder: Path = ...) -> Sink:
        """Make the sink of a lane."""


def sink_ids() -> list[str]:
    """Ids of all sinks there are."""
    return sorted(module.name for module in iter_modules(__path__) if module.ispkg)


def sink_model(identity: str) -> type[SinkConfig]:
    """Return the settings model of a sink, imported on first use. Raises ConfigFault for an unknown id."""
    return _load(identity).model


def make_sink(identity: str, config: SinkConfig, gateway: str, lane: str, *, folder: Path = Path()) -> Sink:
    """Make the sink of a lane from its settings; relative paths in them start at ``folder``.

    Raises ConfigFault for an unknown id or settings that cannot work.
    """
    return _load(identity).sink(config, gateway, lane, folder=folder)


def _load(identity: str) -> SinkModule:
    if not identity.isidentifier() or find_spec(f"{__name__}.{identity}") is None:
        known = sink_ids()
        raise ConfigFault(f"no sink {identity!r}; there is: {', '.join(known)}", code="sink_unknown", known=known)
    return cast("SinkModule", import_module(f"{__name__}.{identity}"))
