"""From configuration to objects: adapters by their manifest, sinks by their id, files by their path."""

from __future__ import annotations

from pathlib import Path

from gateway.config.base import ConnectionConfig
from gateway.config.loader import load
from gateway.config.root import Configuration
from gateway.sdk.adapter import Adapter
from gateway.sdk.manifest import adapter_models, manifests
from gateway.sinks import sink_model


def make_adapter(connection: ConnectionConfig) -> Adapter:
    """Import the adapter that a connection names, and make it."""
    return manifests()[connection.adapter].load().adapter(connection)


def load_configuration(path: Path) -> Configuration:
    """Read a configuration file. Raises ConfigErrors, which names every error with its place."""
    return load(path, adapter_models, sink_model)
