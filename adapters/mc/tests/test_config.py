"""What a file may say, and how it is told what it may not."""

import pytest
from pydantic import ValidationError

from adapters.mc import models
from adapters.mc.codec import Route
from adapters.mc.series import Series


def connection(**more):
    return models.connection.model_validate({"adapter": "mc", "host": "10.0.0.5", "port": 5007} | more)


def device(**more):
    return models.device.model_validate({"connection": "entry"} | more)


def tag(address, kind, **more):
    return models.tag.model_validate({"name": "t", "address": address, "type": kind} | more)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": ""}, "at least 1 character"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"transport": "serial"}, "'tcp' or 'udp'"),
        ({"frame": "1e"}, "'3e' or '4e'"),
        ({"code": "octal"}, "'binary', 'ascii' or 'ascii_octal'"),
        ({"source_port": 5000}, "belongs to transport udp"),
        ({"source_port": 5000, "transport": "udp"}, "needs frame 4e"),
        ({"monitoring": "5h"}, "at most 16383s"),
        ({"gap": 5}, "duration with its unit"),
        ({"speed": 5}, "not permitted"),
    ],
)
def test_connections_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        connection(**settings)


def test_endpoints_and_the_monitoring_timer():
    assert connection().endpoint == "tcp://10.0.0.5:5007"
    assert connection(transport="udp", frame="4e", source_port=5010).endpoint == "udp://10.0.0.5:5007"
    assert connection(timeout="3s").timer == 11
    assert connection(timeout="3s", monitoring="1s").timer == 4
    assert connection(monitoring="0s").timer == 0, "for as long as it likes"
    assert connection(timeout="50ms").timer == 1, "0 would be no limit"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"series": "a"}, "'q', 'l', 'iq-r' or 'iq-f'"),
        ({"series": "q", "wide": True}, "belongs to series iq-r"),
        ({"pc": 256}, "less than or equal to 255"),
        ({"max_words": 961}, "less than or equal to 960"),
    ],
)
def test_devices_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        device(**settings)


def test_a_series_by_its_other_names():
    assert {device(series=name).series for name in ("fx5u", "FX5UC", "iqf", "F", "iQ-F")} == {Series.IQ_F}
    assert device(series="iQR").series is Series.IQ_R
    assert device(series="fx5u").octal
    assert not device().octal
    assert device(network=1, pc=3, io=0x3E0, station=2).route == Route(1, 3, 0x3E0, 2)


@pytest.mark.parametrize(
    ("address", "kind", "more", "words"),
    [
        ("D1", "bool", {}, "needs its bit, such as D100.0"),
        ("D1.1", "int16", {}, "is of type bool"),
        ("D1", "int8", {}, "no single bytes"),
        ("LZ1", "float32", {}, "int32 or uint32"),
        ("D1", "string", {}, "needs its length"),
        ("D1", "uint16", {"length": 2}, "has no length"),
        ("D1", "int16", {"encoding": "bcd"}, "bcd with uint16"),
        ("D1", "string", {"length": 4, "encoding": "ebcdik"}, "encoding"),
        ("D1.F", "bool", {"access": "write"}, "cannot be written without its 15 neighbours"),
        ("S1", "bool", {"access": "write"}, "S can only be read"),
        ("T1", "uint16", {}, "write TS"),
        ("X1G", "bool", {}, "no device"),
    ],
)
def test_tags_that_cannot_be(address, kind, more, words):
    with pytest.raises(ValidationError, match=words):
        tag(address, kind, **more)
