"""MTConnect: see README.md beside this file."""

from gateway.sdk import AdapterModels

from .adapter import MtconnectAdapter
from .config import MtconnectConnection, MtconnectDevice, MtconnectTag

models = AdapterModels(MtconnectConnection, MtconnectDevice, MtconnectTag)


def adapter(connection: MtconnectConnection) -> MtconnectAdapter:
    """Make the adapter of one connection."""
    return MtconnectAdapter(connection)


__all__ = ["adapter", "models"]
