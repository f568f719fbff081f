"""Machines that publish, and the broker they publish to: JSON, text and Sparkplug B, on a real socket.

    async with Simulator.of(connection) as plant:
        plant.device(config).set(tag, 21.5)      # publishes, as the machine would

A gateway that subscribes anew hears everything once: machines repeat themselves.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from adapters.mqtt.address import Step
from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag, PayloadFormat
from adapters.mqtt.plan import filters
from adapters.mqtt.simulated import Broker, Counters, Faults
from adapters.mqtt.simulated_node import SimulatedNode
from adapters.mqtt.topics import unshared
from gateway.model.types import Value
from gateway.sdk import ConfigFault
from gateway.sdk.simulator import raw_value
from gateway.sdk.source_time import FACTORS, TimeFormat

__all__ = ["Counters", "Faults", "Machine", "Simulator"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEVELS: Final = {"+": "sim", "#": "sim"}
"""What stands for the wildcards of a filter."""


class Machine:
    """One machine that publishes JSON or text."""

    def __init__(self, config: MqttDevice, broker: Broker) -> None:
        self.config = config
        self.qos = 1
        self.time: datetime | None = None
        """What the machine's clock shows; None: the time."""
        self.silent = False
        """True: publishes nothing."""
        self._broker = broker
        self._tags: dict[str, MqttTag] = {}
        self._values: dict[str, Value | None] = {}

    def set(self, tag: MqttTag, value: Value) -> None:
        """Set an engineering value, and publish the message it stands in. Raises ValueError for one that cannot be."""
        raw = raw_value(tag, value)
        if self.config.format is PayloadFormat.JSON:
            json.dumps(raw, allow_nan=False)
        self._tags[tag.name] = tag
        self._values[tag.name] = raw
        self.publish(self._topic(tag))

    def refuse(self, tag: MqttTag) -> None:
        """Have no value for a tag any more: null in JSON, nothing in text."""
        self._tags[tag.name] = tag
        self._values[tag.name] = None
        self.publish(self._topic(tag))

    def publish(self, only: str = "") -> None:
        """Publish all messages anew, or those of one topic."""
        if self.silent:
            return
        topics: dict[str, list[MqttTag]] = {}
        for tag in self._tags.values():
            topics.setdefault(self._topic(tag), []).append(tag)
        for topic, tags in topics.items():
            if not only or topic == only:
                self._broker.publish(topic, self._payload(tags), qos=self.qos)

    def _topic(self, tag: MqttTag) -> str:
        first = unshared(next(filters(self.config, tag)))
        return "/".join(_LEVELS.get(level, level) for level in first.split("/"))

    def _payload(self, tags: list[MqttTag]) -> bytes:
        if self.config.format is PayloadFormat.TEXT:
            value = self._values[tags[-1].name]
            return value if isinstance(value, bytes) else b"" if value is None else _written(value).encode()
        document: Any = None
        for tag in tags:
            document = put(document, tag.address.steps, self._values[tag.name])
        if self.config.time is not None:
            document = put(document, self.config.time.path.steps, self._time(self.config.time.format))
        if self.config.batch is not None:
            document = put(None, self.config.batch.steps, [document])
        return json.dumps(document, allow_nan=False).encode()

    def _time(self, form: TimeFormat) -> int | str:
        now = self.time or datetime.now(UTC)
        if form is TimeFormat.ISO8601:
            return now.isoformat()
        return (now - _EPOCH) // timedelta(microseconds=1) * 1000 // FACTORS[form]


class Simulator:
    """See the module."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.broker = Broker(host, port)
        self.broker.subscribed = self._subscribed
        self.broker.hear = self._heard
        self._machines: dict[int, tuple[MqttDevice, Machine]] = {}
        self._nodes: dict[tuple[str, str], SimulatedNode] = {}

    @classmethod
    def of(cls, connection: MqttConnection) -> Self:
        """Make the simulator that listens where a gateway with this connection looks for its broker."""
        if connection.tls is not None:
            raise ConfigFault("the simulator of MQTT does not do TLS", code="no_simulator")
        return cls(host=connection.host, port=connection.effective_port)

    @property
    def port(self) -> int:
        """Port on which the broker listens."""
        return self.broker.port

    @property
    def counters(self) -> Counters:
        """What the broker saw."""
        return self.broker.counters

    @property
    def faults(self) -> Faults:
        """How the broker misbehaves."""
        return self.broker.faults

    def device(self, config: MqttDevice) -> Any:
        """Return the machine of a configuration, made on first use."""
        if config.format is PayloadFormat.SPARKPLUG:
            key = (config.group, config.node)
            if key not in self._nodes:
                self._nodes[key] = SimulatedNode(config.group, config.node, self.broker)
            return self._nodes[key].machine(config)
        if id(config) not in self._machines:
            self._machines[id(config)] = (config, Machine(config, self.broker))
        return self._machines[id(config)][1]

    def hang_up(self) -> None:
        """Close all connections, as a broker that restarts."""
        self.broker.hang_up()

    async def __aenter__(self) -> Self:
        await self.broker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.broker.stop()

    def _subscribed(self, topic_filter: str) -> None:
        """Machines repeat themselves from time to time; here as soon as somebody listens."""
        for config, machine in self._machines.values():
            if topic_filter in config.topics or topic_filter not in self._of_devices():
                machine.publish()

    def _of_devices(self) -> set[str]:
        return {topic for config, _ in self._machines.values() for topic in config.topics}

    def _heard(self, topic: str, payload: bytes) -> None:
        for node in self._nodes.values():
            node.hear(topic, payload)


def put(document: Any, steps: tuple[Step, ...], value: Any) -> Any:
    """Return a document with a value at a path, which is made where it is missing."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str):
        document = document if isinstance(document, dict) else {}
        document[step] = put(document.get(step), tuple(rest), value)
        return document
    document = document if isinstance(document, list) else []
    document += [None] * (step + 1 - len(document))
    document[step] = put(document[step], tuple(rest), value)
    return document


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
