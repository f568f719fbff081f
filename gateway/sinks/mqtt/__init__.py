"""MQTT 5 and 3.1.1, QoS 1, over TCP or TLS."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from gateway.sdk.sink import Sink
from gateway.sinks.mqtt.config import MqttSinkConfig

_PROXIES = "urllib.request"
_absent = _PROXIES not in sys.modules
if _absent:
    sys.modules[_PROXIES] = ModuleType(_PROXIES)  # paho looks for proxies with it, and with it loads a client of HTTP
from gateway.sinks.mqtt.session import MqttSink  # noqa: E402

if _absent:
    del sys.modules[_PROXIES]

model = MqttSinkConfig


def sink(config: MqttSinkConfig, gateway: str, lane: str, *, folder: Path = Path()) -> Sink:
    """Make the sink of a lane; its client id is made of both names unless the settings give one."""
    return MqttSink(config, f"xingsha-{gateway}-{lane}", folder)


__all__ = ["MqttSinkConfig", "model", "sink"]
