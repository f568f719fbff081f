"""MQTT as a source: machines publish to a broker, JSON, text or Sparkplug B. See README.md beside this file."""

from adapters.mqtt.adapter import MqttAdapter
from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag
from gateway.sdk import AdapterModels

models = AdapterModels(MqttConnection, MqttDevice, MqttTag)


def adapter(connection: MqttConnection) -> MqttAdapter:
    """Make the adapter of one connection."""
    return MqttAdapter(connection)


__all__ = ["adapter", "models"]
