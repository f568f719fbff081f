"""What is wanted of a poll group: which topics, checked against the format; and how such a source behaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag, PayloadFormat
from adapters.mqtt.topics import below, check_filter
from gateway.model.types import DataType
from gateway.sdk import ConfigFault, Plan, Push


def make_plan(device: MqttDevice, tags: Sequence[MqttTag]) -> Plan:
    """Return the plan of tags that are pushed. Raises ConfigFault for a tag that the device's format cannot have."""
    for tag in tags:
        why = _misplaced(device, tag)
        if why:
            raise ConfigFault(f"tag {tag.name}: {why}")
    sparkplug = device.format is PayloadFormat.SPARKPLUG
    return Plan((), push=Push(silence=device.silence, on_change=device.on_change or sparkplug))


def kept_for_us(connection: MqttConnection, device: MqttDevice) -> bool:
    """Tell whether a broker that keeps our session keeps the messages of a device: Sparkplug's data have QoS 0, and
    those of a shared subscription go to the others of its group."""
    shared = any(topic.startswith("$share/") for topic in device.topics)
    return connection.qos > 0 and device.format is not PayloadFormat.SPARKPLUG and not shared


def _misplaced(device: MqttDevice, tag: MqttTag) -> str:
    if device.format is PayloadFormat.SPARKPLUG:
        if not tag.address.metric:
            return f"{tag.address} is a path; with format sparkplug the address is the name of a metric"
        return "topic does not go with format sparkplug" if tag.topic is not None else ""
    if tag.address.metric:
        return f"{tag.address} is no path; with format {device.format} a path begins with $, such as $.{tag.name}"
    if device.format is PayloadFormat.TEXT:
        return f"{tag.address}: with format text a message is one value, which has no path" if tag.address.steps else ""
    return "JSON holds no bytes" if tag.type is DataType.BYTES else ""


def filters(device: MqttDevice, tag: MqttTag) -> Iterator[str]:
    """Topic filters, ``$share/GROUP/`` in front of shared ones, of the messages that may bring a tag. Pure."""
    for topic in device.topics:
        yield check_filter(topic if tag.topic is None else below(topic, tag.topic))
