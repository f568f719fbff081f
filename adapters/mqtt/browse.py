"""What can be found by listening: topics, members of their messages, metrics that Sparkplug births tell.

Sans-io. Bounded: what comes beyond the limits is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from adapters.mqtt.address import Address, Step
from adapters.mqtt.config import MqttDevice, PayloadFormat
from adapters.mqtt.nodes import NAMESPACE
from adapters.mqtt.sparkplug import TYPES, decode, rebirth
from gateway.model.faults import ProtocolFault
from gateway.model.types import DataType
from gateway.sdk import Node

MOST_TOPICS: Final = 10_000
MOST_MEMBERS: Final = 1_000
"""Per message."""
_TYPES: Final[dict[type, DataType]] = {
    bool: DataType.BOOL, int: DataType.INT64, float: DataType.FLOAT64, str: DataType.STRING
}  # fmt: skip


class Gathered(Protocol):
    """What was heard so far."""

    questions: Sequence[tuple[str, bytes]]
    """What to publish (topic, payload) so that there is something to hear."""

    def take(self, topic: bytes, payload: bytes | None, retained: bool) -> None:
        """Take a message."""

    def nodes(self) -> Iterator[Node]:
        """Tell what was found."""


class Topics:
    """Messages of a device: its topics, and where they are JSON the members."""

    questions: Sequence[tuple[str, bytes]] = ()

    def __init__(self, device: MqttDevice) -> None:
        self._device = device
        self._heard: dict[str, bytes] = {}

    def take(self, topic: bytes, payload: bytes | None, retained: bool) -> None:  # noqa: ARG002 - either tells
        """See Gathered."""
        if payload is not None and len(self._heard) < MOST_TOPICS:
            self._heard[topic.decode("utf-8", "replace")] = payload

    def nodes(self) -> Iterator[Node]:
        """See Gathered."""
        for topic, payload in sorted(self._heard.items()):
            if self._device.format is PayloadFormat.TEXT:
                yield Node(topic, "$", DataType.STRING, description=payload[:40].decode("utf-8", "replace"))
                continue
            yield Node(topic)
            try:
                found = members(msgspec.json.decode(payload))
                for _, (steps, value) in zip(range(MOST_MEMBERS), found, strict=False):
                    address = str(Address(steps))
                    yield Node(f"{topic}/{address}", address, _TYPES.get(type(value)), description=repr(value)[:40])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue


class Births:
    """The metrics of an edge node, or of a device behind one."""

    def __init__(self, device: MqttDevice) -> None:
        self._wanted = f"{NAMESPACE}/{device.group}/{'DBIRTH' if device.device else 'NBIRTH'}/{device.node}" + (
            f"/{device.device}" if device.device else ""
        )
        self._birth = b""
        command = f"{NAMESPACE}/{device.group}/NCMD/{device.node}"
        self.questions: Sequence[tuple[str, bytes]] = [(command, rebirth(0))] if device.rebirth else []

    def take(self, topic: bytes, payload: bytes | None, retained: bool) -> None:
        """See Gathered."""
        if topic == self._wanted.encode() and payload is not None and not retained:
            self._birth = payload

    def nodes(self) -> Iterator[Node]:
        """See Gathered."""
        try:
            found = decode(self._birth)
        except ProtocolFault:
            return
        for metric in found.metrics[:MOST_TOPICS]:
            if metric.name:
                kind = TYPES.get(metric.datatype)
                yield Node(metric.name, metric.name if kind else "", kind)


def members(document: object, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], object]]:
    """Values of a JSON document with their paths."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from members(value, (*steps, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from members(value, (*steps, index))
    else:
        yield steps, document
