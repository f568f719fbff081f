"""Configuration: what is refused says why; what is written in several ways means the same."""

import pytest
from pydantic import ValidationError

from adapters.mc import models
from adapters.mc.codec import Route


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source_port": 5000}, "belongs to transport udp"),
        ({"source_port": 5000, "transport": "udp"}, "needs frame 4e"),
        ({"monitoring": "5h"}, "at most 16383s"),
        ({"frame": "1e"}, "3e"),
        ({"code": "hex"}, "binary"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_connections_that_cannot_be(kit, settings, says):
    with pytest.raises(ValidationError, match=says):
        kit.connection(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"series": "s7"}, "iq-f"),
        ({"series": 5}, "iq-f"),
        ({"series": "fx5", "wide": True}, "wide belongs to series iq-r"),
        ({"network": 256}, "255"),
        ({"max_words": 1}, "greater than or equal to 2"),
    ],
)
def test_devices_that_cannot_be(kit, settings, says):
    with pytest.raises(ValidationError, match=says):
        kit.device(**settings)


@pytest.mark.parametrize(
    ("address", "kind", "more", "says"),
    [
        ("D5", "bool", {}, "needs its bit, such as D100.0"),
        ("LTN5", "bool", {}, "needs its bit"),
        ("D5.1", "uint16", {}, "one bit of a word is of type bool"),
        ("D5", "uint8", {}, "no single bytes"),
        ("LTN5", "uint16", {}, "LTN is of type int32 or uint32"),
        ("D5", "string", {}, "needs its length"),
        ("D5", "uint16", {"length": 4}, "has no length"),
        ("D5", "int16", {"encoding": "bcd"}, "encoding is bcd with"),
        ("D5", "float32", {"encoding": "gbk"}, "encoding is bcd with"),
        ("D5", "string", {"length": 4, "encoding": "klingon"}, "no text encoding"),
        ("D5.1", "bool", {"access": "write"}, "cannot be written without its 15 neighbours"),
        ("S5", "bool", {"access": "write"}, "S can only be read"),
        ("D5", "string", {"length": 5, "access": "read/write"}, "even length"),
        ("T5", "uint16", {}, "TN"),
        (True, "uint16", {}, "a text"),
    ],
)
def test_tags_that_cannot_be(kit, address, kind, more, says):
    with pytest.raises(ValidationError, match=says):
        kit.tag(address, kind, **more)


def test_what_may_be_written_in_several_ways(kit):
    assert {kit.device(text).series for text in ("fx5", "FX5U", "iq-f", "IQF")} == {"iq-f"}
    assert {kit.device(text).series for text in ("r", "iQ-R")} == {"iq-r"}
    assert str(kit.tag("x0ff", "bool").address) == "X0FF"


def test_endpoints_and_routes(kit):
    assert kit.connection().endpoint == "tcp://127.0.0.1:5007"
    assert kit.connection(transport="udp").endpoint == "udp://127.0.0.1:5007"
    assert kit.device().route == Route(0, 0xFF, 0x3FF, 0)
    assert kit.device(network=1, pc=2, io=0x3E1, station=3).route == Route(1, 2, 0x3E1, 3)


def test_addresses_have_a_schema():
    schema = models.tag.model_json_schema()
    assert schema["properties"]["address"]["examples"][0] == "D100"
