"""Documents: what the standard's structure tells, what is refused, and what the texts in them mean."""

from contextlib import suppress
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mtconnect.conformance import DEVICES, ERROR, ITEM, STREAMS
from adapters.mtconnect.document import DEEPEST, ERRORS, Document, Observation, error_fault, parse
from adapters.mtconnect.values import Conditions, time_of, value_of
from gateway.model.types import DataType
from gateway.sdk import Fault, ProtocolFault, TagFault


def wrap(inner, header=b'<Header instanceId="1" nextSequence="2"/>'):
    return b"<MTConnectStreams>" + header + b"<Streams>" + inner + b"</Streams></MTConnectStreams>"


def test_what_the_standard_tells():
    assert parse(DEVICES).items == [ITEM]  # Part 2
    found = parse(STREAMS)  # Part 3
    assert (found.kind, found.header[:3]) == ("MTConnectStreams", (7, 1, 10))
    assert [one.id for one in found.observations] == ["Xact", "sys"]
    assert found.fault("a") is None
    assert parse(ERROR).errors == [("OUT_OF_RANGE", "too old")]  # Part 1
    assert "OUT_OF_RANGE: too old" in str(parse(ERROR).fault("a"))
    assert isinstance(Document("MTConnectError").fault("a"), ProtocolFault)


def test_prefixes_and_members():
    data = wrap(
        b'<Events><m:Var xmlns:m="urn:x" dataItemId="v" sequence="1" timestamp="t"><Entry key="a">1</Entry></m:Var>'
        b'<m:P xmlns:m="urn:x" dataItemId="p" sequence="2" timestamp="t">a &amp; b</m:P></Events>'
    )
    assert parse(data).observations == [Observation("v", 1, "t", None), Observation("p", 2, "t", "a & b")]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<html>", b"<html/>", b"no xml", wrap(b"")[:-1], b"<MTConnectStreams/><x/>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><MTConnectStreams>&a;</MTConnectStreams>',
        b"<!DOCTYPE MTConnectStreams><MTConnectStreams/>",
        wrap(b"", b'<Header instanceId="x"/>'), wrap(b"", b'<Header instanceId="' + b"1" * 30 + b'"/>'),
        wrap(b'<Samples><P dataItemId="x"/></Samples>'), wrap(b"<x>" * DEEPEST + b"</x>" * DEEPEST),
        b'<?xml version="1.0" encoding="no-such"?><MTConnectStreams/>',
    ],
)  # fmt: skip
def test_what_is_refused(data):
    with pytest.raises(ProtocolFault):
        parse(data)


@given(st.binary(max_size=60), st.integers(0, len(STREAMS)))
def test_any_bytes_are_a_document_or_a_fault(noise, at):
    with suppress(ProtocolFault):
        parse(STREAMS[:at] + noise + STREAMS[at + len(noise) // 2 :])


def test_an_error_that_wraps_up_another():
    """As cppagent 1 ends a stream."""
    whole = '<MTConnectError><Errors><Error errorCode="%s">%s</Error></Errors></MTConnectError>'
    inner = '<?xml version="1.0" encoding="UTF-8"?>' + whole % ("OUT_OF_RANGE", "'count' must be less than 129")
    fault = parse((whole % ("BAD_REQUEST", escape(inner))).encode()).fault("agent")
    assert str(fault) == "agent: the agent says OUT_OF_RANGE: 'count' must be less than 129"
    broken = parse((whole % ("BAD_REQUEST", escape(inner[:-4]))).encode()).fault("agent")
    assert "the agent says BAD_REQUEST: <?xml" in str(broken)


@pytest.mark.parametrize("code", [*ERRORS, "NEW_ONE", ""])
def test_every_error_code_is_a_fault(code):
    assert isinstance(error_fault("agent", code), Fault)


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2024-03-31T01:00:00Z", 1_711_846_800 * 10**9),
        ("2024-03-31T01:00:00.123456789123Z", 1_711_846_800_123_456_789),
        ("2024-03-31T01:00:00.5", 1_711_846_800_500_000_000),
        ("2024-03-31T09:00:00+08:00", 1_711_846_800 * 10**9),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * 10**9),
        ("2024-03-31T01:00:00Z@12.5", 1_711_846_800 * 10**9),
        ("1970-01-01T00:00:00Z", 0), ("2024-13-31T01:00:00Z", 0), ("yesterday", 0), ("", 0),
    ],
)  # fmt: skip
def test_times(stamp, time):
    assert time_of(stamp) == time


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("float64", " 1.5e3 ", 1500.0), ("int16", "7", 7), ("int16", " -7 ", -7), ("int64", "9223372036854775807", 2**63 - 1),
        ("int32", "12.0", 12), ("bool", "ON", True), ("bool", "inactive", False), ("string", " A ", " A "),
        ("string", "1 2 3", "1 2 3"), ("float64", "inf", float("inf")),
    ],
)  # fmt: skip
def test_texts(kind, text, value):
    assert value_of(DataType(kind), Observation("x", 1, "", text)) == value


@pytest.mark.parametrize(
    ("kind", "text", "label"),
    [
        ("float64", "UNAVAILABLE", "not_available"), ("string", " UNAVAILABLE ", "not_available"),
        ("float64", "warm", "undecodable"), ("float64", "1_0", "undecodable"), ("float64", "1e999", "undecodable"),
        ("int16", "1.5", "undecodable"), ("int16", "1e300", "undecodable"), ("int16", "nan", "undecodable"),
        ("bool", "2", "undecodable"), ("string", None, "undecodable"),
    ],
)  # fmt: skip
def test_texts_that_are_no_value(kind, text, label):
    with pytest.raises(TagFault) as caught:
        value_of(DataType(kind), Observation("x", 1, "", text))
    assert caught.value.quality.label == label


@pytest.mark.parametrize(
    ("kind", "level", "value"),
    [("string", "Warning", "WARNING"), ("uint8", "Fault", 2), ("float32", "Normal", 0), ("bool", "Fault", True),
     ("bool", "Warning", False)],
)  # fmt: skip
def test_levels(kind, level, value):
    assert value_of(DataType(kind), Observation("x", 1, "", "", level)) == value


@pytest.mark.parametrize(("level", "label"), [("Unavailable", "not_available"), ("Odd", "undecodable")])
def test_levels_that_are_none(level, label):
    with pytest.raises(TagFault) as caught:
        value_of(DataType.STRING, Observation("x", 1, "", "", level))
    assert caught.value.quality.label == label


def test_the_worst_of_several_faults():
    conditions = Conditions()

    def now(level, native="", identity="x"):
        return conditions.settle(Observation(identity, 1, "", "", level, native)).level

    assert [now("Warning", "1"), now("Fault", "2"), now("Warning", "3"), now("Normal", "2")] == [
        "Warning", "Fault", "Fault", "Warning",
    ]  # fmt: skip
    assert now("Normal", identity="y") == "Normal"
    assert [now("Normal"), now("Fault", "1"), now("Unavailable"), now("Normal", "1")] == [
        "Normal", "Fault", "Unavailable", "Normal",
    ]  # fmt: skip
    now("Fault", "1")
    conditions.forget()
    assert now("Warning", "2") == "Warning"
    assert conditions.settle(Observation("z", 1, "", "1.5")).text == "1.5"
