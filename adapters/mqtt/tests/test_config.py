"""What a file may say: what is complete, what is refused, what is secret."""

import pytest
from pydantic import ValidationError

from adapters.mqtt import models

GOOD = {"adapter": "mqtt", "host": "h", "client_id": "c"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""}, {"client_id": ""}, {"client_id": "a\nb"}, {"protocol": "4"}, {"qos": 3}, {"keepalive": "0s"},
        {"receive_maximum": 0}, {"max_payload": "1GB"}, {"announce": ["a#"]}, {"password": "p", "protocol": "3.1.1"},
        {"port": 0}, {"session": "200y"}, {"topic": "x"}, {"tls": {"cert": "x"}}, {"browse_for": "1h"},
    ],
)  # fmt: skip
def test_connections_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        models.connection.model_validate(GOOD | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"topic": "a#"}, {"topic": ["a", "b/#/c"]}, {"format": "sparkplug"}, {"format": "sparkplug", "group": "g"},
        {"format": "sparkplug", "group": "g", "node": "n", "topic": "t"}, {"topic": "t", "group": "g"},
        {"topic": "t", "format": "text", "batch": "$"}, {"topic": "t", "batch": "Metric"},
        {"topic": "t", "time": {"path": "ts"}}, {"topic": "t", "time": {"path": "$.ts", "zone": "Nowhere"}},
        {"topic": "t", "time": {"path": "$.ts", "format": "min"}}, {"topic": "t", "retained": "maybe"},
        {"format": "sparkplug", "group": "g/h", "node": "n"}, {"topic": "t", "format": "text", "time": {"path": "$.ts"}},
    ],
)  # fmt: skip
def test_devices_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        models.device.model_validate({"connection": "c"} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "$.a["},
        {"access": "write"},
        {"topic": "/a"},
        {"topic": "$SYS"},
        {"topic": "a#"},
        {"type": "bytes", "address": "$.a"},
    ],
)
def test_tags_that_cannot_be(wrong):
    with pytest.raises(ValidationError):
        models.tag.model_validate({"name": "t", "type": "int16", "address": "$.t"} | wrong)


def test_defaults_and_what_follows_from_them():
    plain = models.connection.model_validate(GOOD)
    assert (plain.effective_port, plain.level, plain.timeout) == (1883, 5, 5.0)
    assert plain.endpoint == "mqtt://h:1883/c"
    assert models.connection.model_validate(GOOD | {"tls": {}}).effective_port == 8883
    other = models.connection.model_validate(GOOD | {"client_id": "d"})
    assert other.endpoint != plain.endpoint, "a broker may have several sessions of one gateway"


def test_one_topic_or_several():
    one = models.device.model_validate({"connection": "c", "topic": "a/+"})
    assert one.topics == ("a/+",)
    assert models.device.model_validate({"connection": "c", "topic": ["a", "b"]}).topics == ("a", "b")
    assert models.device.model_validate(one.model_dump()).topics == ("a/+",)


def test_secrets_stay_secret(kit):
    connection = models.connection.model_validate(GOOD | {"username": "u", "password": "canary"})
    assert "canary" not in repr(connection)
    from adapters.mqtt.codec import Connect

    assert "canary" not in repr(Connect("c", password="canary"))
