"""Mitsubishi MELSEC by the MC protocol, also called SLMP: 3E and 4E frames. See README.md beside this file."""

from adapters.mc.adapter import McAdapter
from adapters.mc.config import McConnection, McDevice, McTag
from gateway.sdk import AdapterModels

models = AdapterModels(McConnection, McDevice, McTag)


def adapter(connection: McConnection) -> McAdapter:
    """Make the adapter of one connection."""
    return McAdapter(connection)


__all__ = ["adapter", "models"]
