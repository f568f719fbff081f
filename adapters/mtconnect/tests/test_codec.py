"""The codec: vectors that cite their clause, every type there and back, and bytes of any kind."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mtconnect.address import Address
from adapters.mtconnect.codec import (
    ERRORS,
    LINES,
    Answer,
    ask_read,
    ask_subscribe,
    format_value,
    parse_answer,
    parse_identity,
    value_of,
)
from adapters.mtconnect.config import MtconnectTag
from gateway.model.types import DataType
from gateway.sdk import Fault, ProtocolFault, TagFault
from gateway.wire.framing import Frames


def tag(kind):
    return MtconnectTag(name="speed", address="speed", type=kind)


def test_vectors():
    assert ask_read("speed") == b"READ speed\r\n"  # line protocol, 2.2
    assert ask_subscribe("speed") == b"SUB speed\r\n"  # line protocol, 2.3
    assert parse_answer(b"speed=1450") == Answer("speed", "1450")  # line protocol, 2.2
    assert parse_answer(b".") == Answer("", "")  # line protocol, 2.3
    assert parse_answer(b"ERR 2 speed") == Answer("speed", "", 2)  # line protocol, 3.2
    assert parse_identity(b"WHO Acme M-7 1.2") == (("vendor", "Acme"), ("model", "M-7"), ("version", "1.2"))  # 2.4


@pytest.mark.parametrize(
    "line", [b"", b"speed", b"ERR", b"ERR 2", b"ERR x speed", b"ERR 99 speed", b"\xff=1", b"=1", b"a b=1"]
)
def test_what_is_no_answer(line):
    with pytest.raises(ProtocolFault):
        parse_answer(line)


@pytest.mark.parametrize("line", [b"", b"WHO", b"WHO a b", b"speed=1"])
def test_what_is_no_identity(line):
    with pytest.raises(ProtocolFault):
        parse_identity(line)


@pytest.mark.parametrize("number", ERRORS)
def test_every_error_number_is_a_fault(number):
    with pytest.raises(Fault, match="speed"):
        value_of(Answer("speed", "", number), tag("int16"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int16", "1.5"), ("int16", ""), ("float64", "1e999"), ("float32", "warm"), ("bool", "2"), ("bytes", "0g")],
)
def test_a_text_that_is_no_such_value(kind, text):
    with pytest.raises(TagFault, match="is no"):
        value_of(Answer("speed", text), tag(kind))


def test_the_answer_to_another_question():
    assert parse_answer(b"speed=1", "speed").text == "1"
    for line in (b"parts=1", b"ERR 2 parts"):
        with pytest.raises(ProtocolFault, match="asked for speed"):
            parse_answer(line, "speed")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", True), ("bool", False), ("int8", -128), ("uint16", 65_535), ("int64", -(2**63)), ("uint64", 2**64 - 1),
        ("float32", -1.5), ("float64", 1e-300), ("float64", math.inf), ("string", "压力 = 5"), ("string", ""),
        ("bytes", b"\x00\xff"),
    ],
)  # fmt: skip
def test_every_type_there_and_back(kind, value):
    text = format_value(DataType(kind), value)
    assert value_of(parse_answer(f"speed={text}".encode()), tag(kind)) == value


def test_what_fits_no_line():
    for value in ("a\r\nb", "x" * 2000):
        with pytest.raises(ValueError, match="one line"):
            format_value(DataType.STRING, value)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_lines_or_a_fault(pieces):
    lines = []
    frames = Frames(LINES, lines.append)
    with suppress(ProtocolFault):
        for piece in pieces:
            frames.feed(piece)
    for line in lines:
        with suppress(Fault):
            value_of(parse_answer(line), tag("float64"))


@given(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.]{0,63}\Z"))
def test_addresses_there_and_back(text):
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1a", "a b", "a\r\nb", "x" * 65, "é"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="a name such as"):
        Address.parse(text)
