"""A simulated Sparkplug edge node with its devices: births, data by alias, deaths, rebirth on request."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final

from adapters.mqtt.codec import variable
from adapters.mqtt.config import MqttDevice, MqttTag
from adapters.mqtt.simulated import Broker
from adapters.mqtt.sparkplug import TYPES, Kind, decode
from gateway.model.types import Value
from gateway.sdk.simulator import raw_value

_KINDS: Final = {kind: number for number, kind in reversed(TYPES.items())}
"""Data type of a metric that holds a tag of each type: the first of those in use."""


class SimulatedNode:
    """One edge node."""

    def __init__(self, group: str, node: str, broker: Broker) -> None:
        self.group = group
        self.node = node
        self.online = True
        self.machines: dict[str, NodeMachine] = {}
        self.rebirths = 0
        """Requests for a rebirth that were heard."""
        self._broker = broker
        self._seq = -1
        self._bd_seq = 0
        self._aliases = 0

    def machine(self, config: MqttDevice) -> NodeMachine:
        """Return the device (or the node itself) of a configuration, made on first use."""
        if config.device not in self.machines:
            self.machines[config.device] = NodeMachine(self, config.device)
        return self.machines[config.device]

    def hear(self, topic: str, payload: bytes) -> None:
        """Obey a command."""
        if topic != f"spBv1.0/{self.group}/NCMD/{self.node}" or not self.online:
            return
        if any(metric.name == "Node Control/Rebirth" and metric.raw == 1 for metric in decode(payload).metrics):
            self.rebirths += 1
            self.birth()

    def birth(self) -> None:
        """Publish all births."""
        self.online, self._seq = True, -1
        control = metric("Node Control/Rebirth", None, Kind.BOOLEAN, False)
        bd_seq = metric("bdSeq", None, Kind.INT64, self._bd_seq)
        own = self.machines.get("")
        self.send("NBIRTH", "", bd_seq + control + (own.metrics() if own else b""))
        for name, machine in self.machines.items():
            if name and machine.online:
                self.send("DBIRTH", name, machine.metrics())

    def die(self) -> None:
        """Go offline: what the broker publishes as the node's last will."""
        self.online = False
        payload = varint(1, now()) + metric("bdSeq", None, Kind.INT64, self._bd_seq)
        self._broker.publish(f"spBv1.0/{self.group}/NDEATH/{self.node}", payload, qos=1)
        self._bd_seq = (self._bd_seq + 1) % 256

    def skip(self) -> None:
        """Lose a message."""
        self._seq += 1

    def send(self, kind: str, device: str, metrics: bytes) -> None:
        """Publish a message with the next number."""
        self._seq = (self._seq + 1) % 256
        topic = f"spBv1.0/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")
        self._broker.publish(topic, varint(1, now()) + metrics + varint(3, self._seq), qos=0)

    def alias(self) -> int:
        """Return the next alias: they are unique in the whole node."""
        self._aliases += 1
        return self._aliases


class NodeMachine:
    """A device behind an edge node, or the node's own metrics."""

    def __init__(self, node: SimulatedNode, name: str) -> None:
        self.node = node
        self.name = name
        self.online = True
        self.silent = False
        """True: publishes nothing."""
        self._tags: dict[str, tuple[int, Kind]] = {}
        self._values: dict[str, Value | None] = {}

    def set(self, tag: MqttTag, value: Value) -> None:
        """Set an engineering value, and publish it. Raises ValueError for one that cannot be."""
        kind = Kind(_KINDS[tag.type])
        raw = raw_value(tag, value)
        name = tag.address.metric
        metric(name, 1, kind, raw)
        new = name not in self._tags
        if new:
            self._tags[name] = (self.node.alias(), kind)
        self._values[name] = raw
        if self.silent or not self.node.online:
            return
        if new:
            self.node.birth()
        else:
            self.send(metric("", self._tags[name][0], None, raw, of=kind))

    def refuse(self, tag: MqttTag) -> None:
        """Have no value for a tag any more."""
        name = tag.address.metric
        alias, kind = self._tags.setdefault(name, (self.node.alias(), Kind(_KINDS[tag.type])))
        self._values[name] = None
        self.send(metric("", alias, None, None, of=kind))

    def die(self) -> None:
        """Go offline, as the node sees it."""
        self.online = False
        self.node.send("DDEATH", self.name, b"")

    def send(self, metrics: bytes) -> None:
        """Publish data."""
        self.node.send("DDATA" if self.name else "NDATA", self.name, metrics)

    def metrics(self) -> bytes:
        """Return all metrics as a birth tells them."""
        return b"".join(metric(name, alias, kind, self._values[name]) for name, (alias, kind) in self._tags.items())


def now() -> int:
    """Return ms since the epoch."""
    return int(datetime.now(UTC).timestamp() * 1000)


def varint(number: int, value: int) -> bytes:
    """Encode a field that is a varint."""
    return variable(number << 3) + variable(value)


def lump(number: int, data: bytes) -> bytes:
    """Encode a field that is bytes."""
    return variable(number << 3 | 2) + variable(len(data)) + data


def metric(
    name: str,
    alias: int | None,
    kind: Kind | None,
    value: Value | None,
    *,
    of: Kind | None = None,
    time: int = 0,
    historical: bool = False,
) -> bytes:
    """Encode a metric as field 2 of a payload; ``of``: its type where the message leaves it out. Raises ValueError."""
    body = lump(1, name.encode()) if name else b""
    body += varint(2, alias) if alias is not None else b""
    body += varint(3, time or now())
    body += varint(4, kind) if kind is not None else b""
    body += varint(5, 1) if historical else b""
    body += varint(7, 1) if value is None else _value(kind or of or Kind.STRING, value)
    return lump(2, body)


def _value(kind: Kind, value: Value) -> bytes:
    if kind is Kind.BOOLEAN:
        return varint(14, int(bool(value)))
    if isinstance(value, str):
        return lump(15, value.encode())
    if isinstance(value, bytes):
        return lump(16, value)
    if kind is Kind.FLOAT:
        return bytes((12 << 3 | 5,)) + struct.pack("<f", value)
    if kind is Kind.DOUBLE:
        return bytes((13 << 3 | 1,)) + struct.pack("<d", value)
    whole = int(value)
    if kind in (Kind.INT64, Kind.UINT64, Kind.DATETIME):
        return varint(11, whole % (1 << 64))
    return varint(10, whole % (1 << 32))
