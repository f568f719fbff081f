"""HTTP as agents speak it: every framing, however it is split, and whatever is none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mtconnect.address import Address
from adapters.mtconnect.codec import HEAD, STATUSES, Response, Unasked, request, status_fault
from gateway.sdk import Fault, ProtocolFault

OK = b"HTTP/1.1 200 OK\r\n"
PART = b"--b0\r\nContent-type: text/xml\r\nContent-length: %d\r\n\r\n%s\r\n"
STREAM = OK + b'Content-Type: multipart/x-mixed-replace;boundary="b0"\r\n'


def chunk(data):
    return b"%x;x=1\r\n%s\r\n" % (len(data), data)


def fed(data, *, step=None, parts=False, longest=1000):
    found = []
    answer = Response(longest, found.append if parts else None)
    for at in range(0, len(data), step or len(data)):
        answer.feed(data[at : at + (step or len(data))])
    return found if parts else bytes(answer.body) if answer.complete else None


@pytest.mark.parametrize("step", [None, 1, 3])
def test_every_framing_however_split(step):
    whole = OK + b"content-length: 5\r\n\r\nhello"  # RFC 9112, 6.2
    assert fed(whole, step=step) == b"hello"
    assert fed(whole[:-1], step=step) is None
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n"  # RFC 9112, 7.1
    assert fed(chunked, step=step) == b"hello"
    parts = PART % (1, b"a") + PART % (12, b"two\r\n--b0\r\nx")  # RFC 2046, 5.1
    assert fed(STREAM + b"\r\n" + parts, step=step, parts=True) == [b"a", b"two\r\n--b0\r\nx"]
    chunks = chunk(parts[:7]) + chunk(parts[7:]) + chunk(b"--b0--\r\n") + b"0\r\n\r\n"
    assert len(fed(STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, step=step, parts=True)) == 2


def test_a_stream_as_the_reference_agent_frames_it():
    """cppagent 2: multipart/mixed, a boundary without quotes, one chunk for each part, an end after an error."""
    head = OK + b"Connection: close\r\nContent-Type: multipart/mixed;boundary=3fa85f64-5717-4562-b3fc-2c963f66afa6\r\n"
    part = b"--3fa85f64-5717-4562-b3fc-2c963f66afa6\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>\r\n"
    data = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(part) + chunk(part) + b"0\r\n\r\n"
    assert fed(data, parts=True) == fed(data, step=1, parts=True) == [b"<a/>", b"<a/>"]


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\n", False), (b"HTTP/1.1 200\r\nConnection: close\r\n", True), (b"HTTP/1.0 200 OK\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", False),
    ],
)  # fmt: skip
def test_who_closes(head, closes):
    answer = Response(10)
    assert answer.feed(head + b"Content-Length: 0\r\n\r\n")
    assert answer.closes is closes


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xffHTTP/1.1 200 OK\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n",
        OK + b"\r\n", OK + b"Content-Length: -1\r\n\r\n", OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"no header\r\n\r\n", OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Transfer-Encoding: gzip\r\n\r\n", OK + b"Content-Length: 1\r\n\r\nxy",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 300,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\ntrailer: 1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 600) * 2,
        b"HTTP/1.1 200 " + b"x" * HEAD + b"\r\n\r\n",
        STREAM + b"\r\nnoise", STREAM + b"\r\n--b0x\r\nContent-Length: 1\r\n\r\n", STREAM + b"\r\n--b0\r\n\r\n",
        STREAM + b"\r\n--b0\r\nx: " + b"x" * HEAD + b"\r\n\r\n", STREAM + b"\r\n--b0\r\nContent-Length: 1001\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer(data):
    for step in (None, 1):
        with pytest.raises(ProtocolFault):
            fed(data, step=step, parts=True)


def test_bytes_that_nobody_asked_for():
    with pytest.raises(ProtocolFault):
        Unasked().feed(b"x")


def test_requests():
    host = b"Host: a:5000\r\nAccept: text/xml, application/xml\r\n\r\n"
    assert request("a:5000", "/x/probe") == b"GET /x/probe HTTP/1.1\r\n" + host
    assert request("a:5000", "/sample", {"from": 7}) == b"GET /sample?from=7 HTTP/1.1\r\n" + host
    assert b"\r\n" not in request("a", "/a b\r\nx").partition(b" HTTP")[0]


@pytest.mark.parametrize("status", [*STATUSES, 404, 500])
def test_every_status_is_a_fault(status):
    assert isinstance(status_fault("agent", status), Fault)
    assert str(status) in str(status_fault("agent", status))


@given(
    st.lists(st.binary(max_size=40), max_size=10),
    st.sampled_from([b"", OK, STREAM + b"\r\n", STREAM + b"\r\n--b0\r\n"]),
)
def test_any_bytes_are_an_answer_or_a_fault(pieces, begin):
    answer = Response(500, lambda part: None)
    with suppress(ProtocolFault):
        for piece in (begin, *pieces):
            answer.feed(piece)


@given(st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}\Z"))
def test_addresses_there_and_back(text):
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "-a", "a b", "a\r\nb", "x" * 256, "a/b", "a?b"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="id or name"):
        Address.parse(text)
