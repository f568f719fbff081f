"""All that the author of an adapter or a sink imports. Everything else in the house may change without notice."""

from gateway.config.base import (
    Access,
    AdapterModels,
    ConnectionConfig,
    DeviceConfig,
    Model,
    SinkConfig,
    TagConfig,
    TcpConnection,
)
from gateway.model.faults import (
    AuthFault,
    Busy,
    ConfigFault,
    Fault,
    LinkLost,
    OutOfStep,
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
    Reads,
    Request,
    Session,
    Write,
    Writes,
)
from gateway.sdk.browse import Browses, Node
from gateway.sdk.probing import probe_with
from gateway.sdk.push import Feed, Feeds, Push, ReadsHistory, Subscribes, places_by
from gateway.sdk.sink import Message, Rejected, Sink, SinkSession, Topics
from gateway.sdk.version import VERSION

__all__ = [
    "VERSION",
    "Access",
    "Adapter",
    "AdapterModels",
    "AuthFault",
    "Browses",
    "Busy",
    "ConfigFault",
    "ConnectionConfig",
    "DataType",
    "DeviceConfig",
    "Fault",
    "Feed",
    "Feeds",
    "Limits",
    "LinkLost",
    "Message",
    "Model",
    "Node",
    "OutOfStep",
    "Plan",
    "Probed",
    "Probes",
    "ProtocolFault",
    "Push",
    "Quality",
    "Readings",
    "Reads",
    "ReadsHistory",
    "Rejected",
    "Request",
    "Session",
    "Sink",
    "SinkConfig",
    "SinkSession",
    "Subscribes",
    "TagConfig",
    "TagFault",
    "TcpConnection",
    "Timeout",
    "Topics",
    "Value",
    "Write",
    "Writes",
    "places_by",
    "probe_with",
]  # fmt: skip
