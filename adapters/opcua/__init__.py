"""OPC UA: subscriptions, polling, history and browsing, with every security policy. See README.md beside this file."""

from adapters.opcua.adapter import OpcUaAdapter, trust
from adapters.opcua.config import OpcUaConnection, OpcUaDevice, OpcUaTag
from gateway.sdk import AdapterModels

models = AdapterModels(OpcUaConnection, OpcUaDevice, OpcUaTag)


def adapter(connection: OpcUaConnection) -> OpcUaAdapter:
    """Make the adapter of one connection."""
    return OpcUaAdapter(connection)


__all__ = ["adapter", "models", "trust"]
