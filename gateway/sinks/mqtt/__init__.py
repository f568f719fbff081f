"""MQTT 5 and 3.1.1, QoS 1, over TCP or TLS."""

from __future__ import annotations

from pathlib import Path

from gateway.sdk.sink import Sink
from gateway.sinks.mqtt.config import MqttSinkConfig
from gateway.sinks.mqtt.session import MqttSink

model = MqttSinkConfig


def sink(config: MqttSinkConfig, gateway: str, lane: str, *, folder: Path = Path()) -> Sink:
    """Make the sink of a lane; its client id is made of both names unless the settings give one."""
    return MqttSink(config, f"xingsha-{gateway}-{lane}", folder)


__all__ = ["MqttSinkConfig", "model", "sink"]
