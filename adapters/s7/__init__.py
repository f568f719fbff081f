"""Siemens S7 controllers through PUT/GET over ISO-on-TCP. See README.md beside this file."""

from adapters.s7.adapter import S7Adapter
from adapters.s7.config import S7Connection, S7Device, S7Tag
from gateway.sdk import AdapterModels

models = AdapterModels(S7Connection, S7Device, S7Tag)


def adapter(connection: S7Connection) -> S7Adapter:
    """Make the adapter of one connection."""
    return S7Adapter(connection)


__all__ = ["adapter", "models"]
