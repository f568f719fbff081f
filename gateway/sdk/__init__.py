"""All that the author of an adapter or a sink imports. Everything else in the house may change without notice."""

from gateway.config.base import (
    Access,
    AdapterModels,
    ConnectionConfig,
    DeviceConfig,
    Model,
    SinkConfig,
    TagConfig,
)
from gateway.model.faults import (
    AuthFault,
    Busy,
    ConfigFault,
    Fault,
    LinkLost,
    ProtocolFault,
    TagFault,
    Timeout,
)
from gateway.model.quality import Quality
from gateway.model.types import DataType, Value
from gateway.sdk.adapter import (
    Adapter,
    Limits,
    Plan,
    Probed,
    Probes,
    Readings,
    Request,
    Session,
    Write,
    Writes,
)
from gateway.sdk.sink import Message, Rejected, Sink, SinkSession, Topics

__all__ = [
    "Access", "Adapter", "AdapterModels", "AuthFault", "Busy", "ConfigFault", "ConnectionConfig", "DataType",
    "DeviceConfig", "Fault", "Limits", "LinkLost", "Message", "Model", "Plan", "Probed", "Probes", "ProtocolFault",
    "Quality", "Readings", "Rejected", "Request", "Session", "Sink", "SinkConfig", "SinkSession", "TagConfig",
    "TagFault", "Timeout", "Topics", "Value", "Write", "Writes",
]  # fmt: skip
