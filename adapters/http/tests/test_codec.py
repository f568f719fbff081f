"""Addresses, documents, times and answers: there and back, and bytes of any kind, however they are split."""

import math
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.address import Address, DocumentFormat
from adapters.http.codec import Exchange, retry_after, status_fault
from adapters.http.documents import ABSENT, decode, find, judge, members
from adapters.http.posts import Refused, parse, request_framing
from adapters.http.simulator import Simulator
from adapters.http.times import read_time
from gateway.model.types import DataType
from gateway.sdk import Fault, ProtocolFault, Quality
from gateway.sdk.source_time import TimeFormat
from gateway.wire.framing import Frames

NAMES = st.text(min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(NAMES | st.integers(0, 999_999), max_size=8))
def test_json_paths_there_and_back(steps):
    address = Address(tuple(steps))
    assert Address.parse(str(address)) == address


@given(st.text(max_size=30) | st.from_regex(r"\A[a-c /@$.\[\]=0-9-]{1,12}\Z"))
def test_any_text_is_an_address_that_comes_back_or_is_refused(text):
    with suppress(ValueError):
        address = Address.parse(text)
        assert Address.parse(str(address)) == address


@given(JSON)
def test_what_a_document_holds_is_found_at_its_address(document):
    import json

    decoded = decode(DocumentFormat.JSON, json.dumps(document).encode())
    for address, value in members(decoded, DocumentFormat.JSON):
        assert find(decoded, Address.parse(str(address))) == value


TABLE = b"\xef\xbb\xbfid, temp ,n\r\np1,1.5,3\r\n\r\np2,,4\r\np1,2.5\r\n"


@pytest.mark.parametrize(
    ("address", "kind", "found"),
    [
        ("temp", "float64", 2.5), ("temp[0]", "float64", 1.5), ("temp[-3]", "float64", 1.5), ("n[id=p2]", "int8", 4),
        ("temp[id=p1]", "float64", 2.5), ("temp[1]", "float64", Quality.NOT_AVAILABLE), ("id[1]", "string", "p2"),
        ("temp[3]", "float64", Quality.ADDRESS_REFUSED), ("temp[id=p3]", "float64", Quality.ADDRESS_REFUSED),
        ("temp[no=p3]", "float64", Quality.ADDRESS_REFUSED), ("gone", "float64", Quality.ADDRESS_REFUSED),
        ("id", "int8", Quality.UNDECODABLE),
    ],
)  # fmt: skip
def test_cells(address, kind, found):
    value, quality = judge(
        find(decode(DocumentFormat.CSV, TABLE), Address.parse(address)), DataType(kind), DocumentFormat.CSV
    )
    assert (quality if value is None else value) == found


@pytest.mark.parametrize(
    ("kind", "found", "value"),
    [
        ("int8", 127.0, 127), ("int8", 128, None), ("int8", 1.5, None), ("int8", "1", None), ("int8", True, None),
        ("uint8", -1, None), ("bool", 1, True), ("bool", 2, None), ("bool", "true", None), ("string", 1, None),
        ("float64", 1, 1.0), ("float64", 10**400, None), ("float64", "1", None), ("float64", [], None),
    ],
)  # fmt: skip
def test_nothing_is_bent_until_it_fits(kind, found, value):
    got, quality = judge(found, DataType(kind), DocumentFormat.JSON)
    assert got == value
    assert type(got) is type(value)
    assert quality is (Quality.UNDECODABLE if value is None else Quality.GOOD)


def test_what_is_absent_and_what_is_null():
    assert judge(ABSENT, DataType.INT8, DocumentFormat.JSON) == (None, Quality.ADDRESS_REFUSED)
    assert judge(None, DataType.INT8, DocumentFormat.JSON) == (None, Quality.NOT_AVAILABLE)


@given(st.sampled_from(DocumentFormat), st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_fault(form, body):
    with suppress(ProtocolFault):
        decode(form, body)


def test_deep_documents_are_refused():
    for form, body in ((DocumentFormat.JSON, b"[" * 100_000), (DocumentFormat.XML, b"<a>" * 1000)):
        with pytest.raises(ProtocolFault):
            decode(form, body)


@pytest.mark.parametrize(
    ("value", "form", "time"),
    [
        (1_764_000_000, "s", 1_764_000_000 * 10**9), (1_764_000_000.25, "s", 1_764_000_000_250_000_000),
        ("1764000000000", "ms", 1_764_000_000 * 10**9), ("2025-11-25T00:00:00+08:00", "iso8601", 1_764_000_000 * 10**9),
        ("2025-11-24T16:00:00", "iso8601", 1_764_000_000 * 10**9), ("1970-01-01T00:00:00Z", "iso8601", 0),
        (0, "s", 0), (True, "s", 0), (None, "s", 0), ("x", "s", 0), ("x", "iso8601", 0), (math.inf, "s", 0),
        (math.nan, "s", 0), ("9" * 41, "ns", 0), (5, "iso8601", 0),
    ],
)  # fmt: skip
def test_times(value, form, time):
    assert read_time(value, TimeFormat(form)) == time


def answer_of(pieces):
    exchange = Exchange("a server", 1000)
    exchange.get("/", "a")
    for piece in pieces:
        if exchange.feed(piece):
            return exchange.answer
    return None


ANSWER = b"HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{} \r\n4\r\n    \r\n0\r\n\r\n"


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=8))
def test_an_answer_is_the_same_however_it_is_split(cuts):
    places = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[begin:end] for begin, end in pairwise(places) if begin < end]
    found = answer_of(pieces)
    assert (found.status, found.body, found.fields["etag"]) == (200, b"{}     ", "x")


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_are_an_answer_or_a_fault(pieces, headed):
    with suppress(Fault):
        answer_of([*([b"HTTP/1.1 200 OK\r\n"] if headed else []), *pieces])


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_are_requests_or_a_fault(pieces, headed):
    frames = []
    receiver = Frames(request_framing(1000), frames.append)
    with suppress(ProtocolFault):
        for piece in [*([b"POST / HTTP/1.1\r\n"] if headed else []), *pieces]:
            receiver.feed(piece)
    for frame in frames:
        with suppress(Refused):
            parse(frame, 1000)


def test_patience():
    assert retry_after({"retry-after": "120"}) == 120.0  # RFC 9110, 10.2.3
    dates = {"date": "Fri, 31 Dec 1999 23:59:00 GMT", "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}
    assert retry_after(dates) == 59.0
    assert retry_after({"retry-after": "soon"}) == 5.0
    assert retry_after({"retry-after": "99999999"}) == 3600.0


def test_a_status_that_is_none():
    assert isinstance(status_fault("a", 999, {}), ProtocolFault)


def test_the_simulator_writes_what_it_holds(kit):
    device = kit.device(format="csv", delimiter=";")
    plant = Simulator().device(device)
    wanted = {"t": 1, "t[0]": 2, "t[m=p 1]": 3, "u[1]": 4}
    for address, value in wanted.items():
        plant.set(kit.tag("t", "int8", address=address), value)
    table = decode(DocumentFormat.CSV, plant.document("/m"), ";")
    assert {address: int(find(table, Address.parse(address))) for address in wanted} == wanted


@pytest.mark.parametrize(
    "answer",
    [
        b"H\xfe", b"HTTX/1.1 200 OK\r\n", b"HTTP/8.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nnoise", b"HTTP/1.1 103 -\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_found_out_however_it_arrives(answer):
    for size in (1, 2, 5, len(answer)):
        exchange = Exchange("a server", 1000)
        exchange.get("/", "a server")
        pieces = (answer[at : at + size] for at in range(0, len(answer), size))
        with pytest.raises(ProtocolFault):
            any(exchange.feed(piece) for piece in pieces)
