"""Settings of the MQTT sink, and finding sinks by their id."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.model.faults import ConfigFault
from gateway.sdk.sink import Topics
from gateway.sinks import make_sink, sink_ids, sink_model
from gateway.sinks.mqtt import MqttSinkConfig, model

HOST = {"host": "broker"}


def test_defaults():
    config = MqttSinkConfig.model_validate(HOST)
    assert config.effective_port == 1883
    assert MqttSinkConfig.model_validate(HOST | {"tls": {}}).effective_port == 8883
    assert MqttSinkConfig.model_validate(HOST | {"port": 99}).effective_port == 99
    assert config.topics.topics() == Topics()
    assert MqttSinkConfig.model_validate(HOST | {"tls": {}}).tls.verify is True


def test_topics():
    given = {"data": "雷/{gateway}/d", "schema": "s/{schema}", "device_status": "x/{device}/{gateway}"}
    topics = MqttSinkConfig.model_validate(HOST | {"topics": given}).topics.topics()
    assert topics == Topics("雷/{gateway}/d", "s/{schema}", Topics().status, "x/{device}/{gateway}")


def test_the_password_is_never_shown():
    config = MqttSinkConfig.model_validate(HOST | {"username": "u", "password": "hunter2"})
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Field required"),
        ({"host": "a b"}, "pattern"),
        (HOST | {"port": 0}, "greater than"),
        (HOST | {"protocol": "4"}, "'5' or '3.1.1'"),
        (HOST | {"qos": 2}, "Extra inputs"),
        (HOST | {"username": "u", "password": "p" * 9000}, "at most 8192"),
        (HOST | {"keepalive": 30}, "a duration with its unit"),
        (HOST | {"keepalive": "0s"}, "greater than"),
        (HOST | {"max_packet": "10B"}, "greater than"),
        (HOST | {"tls": {"cert": "a"}}, "belong together"),
        (HOST | {"protocol": "3.1.1", "password": "x"}, "without username"),
        (HOST | {"topics": {"data": "a/#"}}, "without"),
        (HOST | {"topics": {"data": "a b"}}, "without"),
        (HOST | {"topics": {"data": "$SYS/a"}}, "without"),
        (HOST | {"topics": {"data": "{device}"}}, r"data: \{device\} is not known"),
        (HOST | {"topics": {"schema": "{gateway}/s"}}, r"schema: must contain \{schema\}"),
        (
            HOST | {"topics": {"device_status": "{tag}/{device}"}},
            r"\{tag\} is not known; there is \{gateway\}, \{device\}",
        ),
    ],
)
def test_wrong_settings(given, words):
    with pytest.raises(ValidationError, match=words):
        MqttSinkConfig.model_validate(given)


def test_sinks_are_found_by_id():
    assert sink_ids() == ["mqtt"]
    assert sink_model("mqtt") is model is MqttSinkConfig
    target = make_sink("mqtt", MqttSinkConfig.model_validate(HOST), "gw", "cloud", folder=Path())
    assert (target.in_flight, target.topics) == (100, Topics())
    for unknown in ("kafka", "mqtt.session", "../mqtt", ""):
        with pytest.raises(ConfigFault, match="there is: mqtt") as caught:
            sink_model(unknown)
        assert (caught.value.code, caught.value.known) == ("sink_unknown", ("mqtt",))
