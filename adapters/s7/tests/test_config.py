"""What a file can say, and what it cannot."""

import pytest
from pydantic import ValidationError

from adapters.s7 import models
from adapters.s7.config import TYPES, Cpu, Encoding


@pytest.mark.parametrize(
    ("settings", "local", "remote", "pdu"),
    [
        ({}, "0100", "0301", 960),
        ({"cpu": "s7-300"}, "0100", "0302", 240),
        ({"cpu": "s7-400"}, "0100", "0303", 480),
        ({"cpu": "s7-400", "rack": 1, "slot": 4, "connection_type": "pg"}, "0100", "0124", 480),
        ({"cpu": "s7-1200", "slot": 0, "connection_type": "op"}, "0100", "0200", 240),
        ({"cpu": "s7-200smart", "local_tsap": "02.00", "remote_tsap": "02.01"}, "0200", "0201", 240),
        ({"cpu": "logo", "local_tsap": "01.00", "remote_tsap": "02.0a"}, "0100", "020A", 240),
        ({"pdu": 400}, "0100", "0301", 400),
    ],
)
def test_where_a_connection_goes(kit, settings, local, remote, pdu):
    connection = kit.connection(**settings)
    assert tuple(tsap.hex().upper() for tsap in connection.tsaps()) == (local, remote)
    assert connection.expected_pdu == pdu
    assert connection.endpoint == f"tcp://127.0.0.1:102/{remote.lower()}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"remote_tsap": 3.01}, "write it in quotes"),
        ({"remote_tsap": "3.1"}, "two hexadecimal bytes"),
        ({"local_tsap": None}, "two hexadecimal bytes"),
        ({"cpu": "s5"}, "s7-1500"),
        ({"pdu": 50}, "112"),
        ({"pipeline": 9}, "8"),
        ({"host": ""}, "at least 1"),
        ({"slots": 1}, "not permitted"),
    ],
)
def test_connections_that_are_refused(kit, settings, words):
    with pytest.raises(ValidationError, match=words):
        kit.connection(**settings)


def test_charsets(kit):
    assert kit.device(charset="GBK").charset == "gbk"
    for name, words in (("klingon", "no text encoding"), ("utf-16", "wstring"), ("hex", "no text encoding")):
        with pytest.raises(ValidationError, match=words):
            kit.device(charset=name)


GOOD = [
    ("DB1.DBX0.0", "bool", {}, 1),
    ("DB1.DBB0", "int8", {}, 1),
    ("DB1.DBW0", "int16", {}, 2),
    ("DB1.DBB0", "float32", {}, 4),
    ("DB1.DBL0", "float64", {}, 8),
    ("DB1.DBL65528", "uint64", {}, 8),
    ("T5", "float32", {}, 2),
    ("C5", "uint32", {}, 2),
    ("T5", "uint16", {"encoding": "bcd"}, 2),
    ("MW0", "uint32", {"encoding": "s5time"}, 2),
    ("MW0", "string", {"encoding": "date"}, 2),
    ("MD0", "int32", {"encoding": "time"}, 4),
    ("MD0", "string", {"encoding": "tod"}, 4),
    ("ML0", "int64", {"encoding": "date_and_time"}, 8),
    ("ML0", "string", {"encoding": "ldt"}, 8),
    ("DB1.DBB0", "string", {"encoding": "dtl"}, 12),
    ("DB1.DBB0", "string", {"length": 254}, 256),
    ("DB1.DBB0", "string", {"length": 10, "encoding": "wstring"}, 24),
    ("DB1.DBB0", "string", {"length": 10, "encoding": "char", "charset": "gbk"}, 10),
    ("DB1.DBB0", "bytes", {"length": 4096}, 4096),
    ("MW0", "uint16", {"encoding": "bcd"}, 2),
    ("T65535", "uint32", {}, 2),
]


@pytest.mark.parametrize(("address", "kind", "more", "size"), GOOD)
def test_tags(kit, address, kind, more, size):
    assert kit.tag(address, kind, **more).size == size


@pytest.mark.parametrize(
    ("address", "kind", "more", "words"),
    [
        ("DB1.DBX0.0", "uint8", {}, "a bit is of type bool"),
        ("DB1.DBB0", "bool", {}, "a bool needs a bit"),
        ("T5", "bool", {}, "a bool needs a bit"),
        ("DB1.DBW0", "float32", {}, "W is 2 bytes and the value has 4"),
        ("DB1.DBD0", "int16", {}, "D is 4 bytes and the value has 2"),
        ("DB1.DBW0", "string", {"length": 10}, "W is 2 bytes and the value has 12"),
        ("DB1.DBB0", "string", {}, "needs its length, 1 to 254"),
        ("DB1.DBB0", "string", {"length": 255}, "needs its length, 1 to 254"),
        ("DB1.DBB0", "bytes", {}, "needs its length"),
        ("DB1.DBW0", "uint16", {"length": 2}, "has no length"),
        ("DB1.DBB0", "string", {"encoding": "dtl", "length": 12}, "has no length"),
        ("DB1.DBW0", "int16", {"encoding": "bcd"}, "with encoding bcd the type is uint8"),
        ("DB1.DBD0", "float32", {"encoding": "dtl"}, "with encoding dtl the type is string, int64"),
        ("DB1.DBW0", "uint16", {"charset": "gbk"}, "charset belongs to strings"),
        ("T5", "uint8", {}, "at least 16 bits|with encoding s5time"),
        ("C5", "uint8", {}, "at least 16 bits"),
        ("T5", "string", {"length": 3}, "at least 16 bits"),
        ("C5", "int32", {"encoding": "time"}, "a timer has the encoding s5time"),
        ("DB1.DBL65530", "uint64", {}, "past the last byte"),
        ("IW0", "uint16", {"access": "read/write"}, "only Q, M, DB and V can be written"),
        ("T1", "uint32", {"access": "write"}, "only Q, M, DB and V can be written"),
        ("DB1.DBW0", "uint16", {"encoding": "ebcdic"}, "s7string"),
    ],
)
def test_tags_that_cannot_be(kit, address, kind, more, words):
    with pytest.raises(ValidationError, match=words):
        kit.tag(address, kind, **more)


def test_every_encoding_has_its_types():
    assert set(TYPES) == set(Encoding)
    assert {cpu.pdu for cpu in Cpu} == {240, 480, 960}


def test_models_are_frozen(kit):
    for model in (kit.connection(), kit.device(), kit.tag("MW0")):
        with pytest.raises(ValidationError, match="frozen"):
            model.description = "x"
    assert models.tag is type(kit.tag("MW0"))
