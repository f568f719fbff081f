"""What a file may say, and how it is told what it may not."""

import pytest
from pydantic import ValidationError

from adapters.modbus import models
from adapters.modbus.config import Tls
from gateway.config.base import Model


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"transport": "rtu"}, "needs serial_port"),
        ({"transport": "tcp", "host": ""}, "transport tcp needs host"),
        ({"transport": "rtu_over_tcp", "host": ""}, "transport rtu_over_tcp needs host"),
        ({"serial_port": "/dev/ttyS1"}, "serial_port belongs to transport rtu, not to tcp"),
        ({"transport": "rtu_over_tcp", "pipeline": 2}, "pipeline must be 1"),
        ({"transport": "tcp_listen", "tls": {}}, "tls belongs to transport tcp"),
        ({"pipeline": 17}, "less than or equal to 16"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"parity": "X"}, "pattern"),
        ({"host": "a b"}, "pattern"),
        ({"speed": 5}, "not permitted"),
        ({"gap": 5}, "duration with its unit"),
    ],
)
def test_connections_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        models.connection.model_validate({"adapter": "modbus", "host": "10.0.0.5"} | settings)


def test_endpoints():
    made = models.connection.model_validate
    assert made({"adapter": "modbus", "host": "10.0.0.5"}).endpoint == "tcp://10.0.0.5:502"
    serial = {"adapter": "modbus", "transport": "rtu", "serial_port": "/dev/ttyS1"}
    assert made(serial).endpoint == "serial:/dev/ttyS1"
    assert made({"adapter": "modbus", "transport": "rtu_listen", "port": 5020}).endpoint == "listen://127.0.0.1:5020"
    assert made({"adapter": "modbus", "transport": "tcp_listen", "host": "::"}).endpoint == "listen://:::502"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"address": "co:1", "type": "uint16"}, "are of type bool"),
        ({"address": "hr:1", "type": "bool"}, "needs its bit, such as hr:100.0"),
        ({"address": "hr:1.1", "type": "int16"}, "one bit of a register is of type bool"),
        ({"address": "hr:1", "type": "int8"}, "need hi or lo"),
        ({"address": "hr:1.hi", "type": "int16"}, "need hi or lo"),
        ({"address": "hr:1", "type": "string"}, "needs its length"),
        ({"address": "hr:1", "type": "uint16", "length": 2}, "has no length"),
        ({"address": "hr:1", "type": "string", "length": 251}, "less than or equal to 250"),
        ({"address": "hr:1", "type": "int16", "encoding": "bcd"}, "bcd with an unsigned integer"),
        ({"address": "hr:1", "type": "float32", "encoding": "bcd"}, "bcd with an unsigned integer"),
        ({"address": "hr:1", "type": "string", "length": 4, "encoding": "ebcdik"}, "no text encoding"),
        ({"address": "hr:1", "type": "string", "length": 4, "encoding": "hex"}, "no text encoding"),
        ({"address": "ir:1", "type": "int16", "access": "write"}, "only coils and holding registers"),
        ({"address": "hr:1", "type": "int16", "order": "ACBD"}, "ABCD"),
        ({"address": "hr:1", "type": "int16", "order": 5}, "ABCD"),
        ({"address": "x:1", "type": "int16"}, "no area"),
    ],
)
def test_tags_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        models.tag.model_validate({"name": "t"} | settings)


def test_orders_have_two_names():
    for name, letters in (("big", "ABCD"), ("LITTLE", "DCBA"), ("big_swapped", "BADC"), ("cdab", "CDAB")):
        assert models.tag(name="t", address="hr:1", type="float32", order=name).order == letters
        assert models.device(connection="c", order=letters).order == letters


@pytest.mark.parametrize("model", [models.connection, models.device, models.tag, Tls])
def test_every_field_says_what_it_is_for(model):
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]
    for name in model.model_fields.keys() - Model.model_fields.keys():
        for base in model.__mro__:
            if name in getattr(base, "__annotations__", {}):
                break
        if base.__module__.startswith("adapters."):
            assert len(model.model_fields[name].description or "") > 15, name


def test_models_make_a_json_schema():
    for model in (models.connection, models.device, models.tag):
        assert model.model_json_schema()["properties"]
