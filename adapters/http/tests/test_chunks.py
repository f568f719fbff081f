"""Where requests end: chunks by the vectors of RFC 9112, hostile ones, and any request however its bytes are split."""

import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.http import chunks, posts
from adapters.http.chunks import BESIDE, LINE_MOST, Chunks
from adapters.http.posts import Post, parse, request_framing
from adapters.http.refused import Refused
from gateway.sdk import ProtocolFault
from gateway.wire.framing import Frames

MOST = 200
TOKEN = b"Bearer s3cret"
HEAD = b"POST /m HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
KNOWN, STRANGER, ANYBODY = HEAD, HEAD.replace(b"s3cret", b"other"), HEAD[:26]


def unchunked(data, largest=MOST):
    body = bytearray()
    chunked = Chunks(0, largest)
    return (bytes(body), data[chunked.at :]) if chunked.whole(data, body) else None


def outcome(pieces, authorization=TOKEN):
    """What becomes of bytes until the connection ends: requests, and how the last was refused."""
    found, frames = [], []
    receiver = Frames(request_framing(MOST, authorization), frames.append)
    fault = False
    try:
        for piece in pieces:
            receiver.feed(piece)
    except ProtocolFault:
        fault = True
    for frame in frames:
        try:
            post = parse(frame, MOST)
        except Refused as no:
            return [*found, (no.status, no.code, str(no))]
        found.append(post)
        if not post.keeps and not post.waits:
            return found
    return [*found, fault]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"4\r\nWiki\r\n7\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\n\r\n", b"Wikipedia in \r\nchunks."),
        (b'5;a=b;c="d e"\r\nhello\r\n000\r\nExpires: never\r\nX: y\r\n\r\n', b"hello"),  # RFC 9112, 7.1.1, 7.1.2
        (b"2 \t;x\r\n{}\r\n0;last\r\n\r\n", b"{}"), (b"0\r\n\r\n", b""), (b"00000001\r\nx\r\n0\r\n\r\n", b"x"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    ],
)  # fmt: skip
def test_bodies(data, body):
    assert unchunked(data + b"POST") == (body, b"POST")
    for length in range(len(data)):
        assert unchunked(data[:length]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1 1\r\n", b" 1\r\nx\r\n", b"1\nx\r\n", b"1\r\nxy\r\n", b"1_0\r\n",
        b"1\r\nx\n\n", b"000000001\r\nx\r\n", b"1;\x00\r\nx\r\n", b"1;a\nb\r\nx\r\n", b"\xd9\xa1\r\n", b"2\r\n{}0\r\n\r\n",
        b"0\r\nno field\r\n\r\n", b"0\r\n folded: x\r\n\r\n", b"0\r\na: \x00\r\n\r\n", b"1;" + b"x" * LINE_MOST, b"x" * LINE_MOST,
        b"0\r\na: " + b"x" * LINE_MOST,
    ],
)  # fmt: skip
def test_what_is_no_chunk(data):
    with pytest.raises(Refused) as caught:
        unchunked(data)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")


@pytest.mark.parametrize(
    "data",
    [
        b"c9\r\n",
        b"ffffffff\r\n",
        b"c8\r\n" + b"x" * 200 + b"\r\n1\r\n",  # told before it is there
        (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * (BESIDE // 1000 + 1),
        b"0\r\n" + (b"a: " + b"x" * 1000 + b"\r\n") * (BESIDE // 1000 + 1),
    ],
)
def test_what_is_too_large(data):
    with pytest.raises(Refused) as caught:
        unchunked(data)
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_chunks_of_one_byte_are_taken_as_long_as_they_are_few():
    assert unchunked(b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n", 3000) == (b"x" * 3000, b"")
    with pytest.raises(Refused, match="too small"):
        unchunked(b"1\r\nx\r\n" * 20_000, 100_000)


def test_each_chunk_is_looked_at_once(monkeypatch):
    looks = 0

    class Counting:
        def fullmatch(self, *arguments, real=re.compile(chunks._SIZE.pattern)):
            nonlocal looks
            looks += 1
            return real.fullmatch(*arguments)

    monkeypatch.setattr(chunks, "_SIZE", Counting())
    data = CHUNKED + b"\r\n" + (b"40\r\n" + b"x" * 64 + b"\r\n") * 5000 + b"0\r\n\r\n"
    frames = []
    receiver = Frames(request_framing(1_000_000), frames.append)
    for at in range(0, len(data), 1000):
        receiver.feed(data[at : at + 1000])
    assert len(frames) == 1
    assert looks <= 5001 + len(data) // 1000 + 1, "the chunk that is under way may be looked at once for each piece"
    assert len(parse(frames[0], 1_000_000).body) == 320_000


REQUESTS = {
    "plain": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "none": HEAD + b"\r\n",
    "chunked": CHUNKED + b"\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\nA: b\r\n\r\n",
    "expects": HEAD + b"Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n{}",
    "expects chunks": CHUNKED + b"Expect: 100-continue\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "expects for nothing": HEAD + b"Expect: 100-continue\r\n\r\n",
    "expects something else": HEAD + b"Content-Length: 2\r\nExpect: more\r\n\r\n{}",
    "closes": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "1.0": HEAD.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "stranger": STRANGER + b"Content-Length: 2\r\n\r\n{}",
    "stranger in chunks": STRANGER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "stranger with much": STRANGER + b"Content-Length: 60\r\n\r\n" + b"x" * 60,
    "stranger with many chunks": STRANGER
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"a\r\n0123456789\r\n" * 8
    + b"0\r\n\r\n",
    "both": CHUNKED + b"Content-Length: 2\r\n\r\n{}\r\n",
    "both the other way": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n{}",
    "chunked twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of 1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n",
    "no chunk": CHUNKED + b"\r\nzz\r\n",
    "too much": CHUNKED + b"\r\n64\r\n" + b"x" * 100 + b"\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
    "too long": HEAD + b"Content-Length: 201\r\n\r\n" + b"x" * 201,
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "no length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "far too long": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "folded": HEAD + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n{}",
    "blank before colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
}
PLAIN = ("plain", "none", "chunked", "expects", "expects chunks", "expects for nothing", "expects something else")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("both", 400), ("both the other way", 400), ("gzip", 501), ("identity", 501), ("chunked twice", 400),
        ("chunks of 1.0", 400), ("no chunk", 400), ("too much", 413), ("too long", 413), ("two lengths", 400), ("no length", 400),
        ("far too long", 413), ("folded", 400), ("blank before colon", 400),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(name, status):
    (refused,) = outcome([REQUESTS[name] + REQUESTS["plain"]])
    assert refused[0] == status
    assert outcome([REQUESTS[name], REQUESTS["plain"]]) == [refused]
    if name not in ("no chunk", "too much", "chunks of 1.0"):
        head = REQUESTS[name].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        assert outcome([head]) == [refused], "at once: its body is not awaited"


def test_a_client_of_1_0_is_not_told_to_go_on():
    post, more = outcome([REQUESTS["1.0"].replace(b"Expect", b"Connection: keep-alive\r\nExpect")])
    assert (post.waits, post.body, post.keeps, more) == (False, b"{}", True, False)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_taken(name):
    found = outcome([REQUESTS[name] * 2])
    assert found.pop() is False
    bodies = [post.body for post in found if not post.waits]
    assert bodies == [b"" if name in ("none", "expects for nothing") else b"{}"] * 2
    assert [post.waits for post in found] == (
        [True, False] * 2 if name in ("expects", "expects chunks") else [False] * 2
    )
    assert all(post.keeps or post.waits for post in found)


def test_one_of_whom_nothing_is_known_is_asked_for_no_long_body(monkeypatch):
    monkeypatch.setattr(posts, "UNKNOWN_MOST", 50)
    for name in ("stranger with much", "stranger with many chunks"):
        frames = []
        receiver = Frames(request_framing(MOST, TOKEN), frames.append)
        receiver.feed(REQUESTS[name][:-5])
        head, _, rest = frames[0].partition(b"\r\n\r\n")
        assert (head in REQUESTS[name], rest) == (True, b"")
        receiver.feed(b"x" * 100_000)
        assert not receiver._rest, "dropped, not kept"
        assert parse(frames[0], MOST).keeps is False
    assert outcome([REQUESTS["stranger with much"]], None)[0].body == b"x" * 60


@given(
    st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=4),
    st.lists(st.integers(0, 1500), max_size=8),
    st.sampled_from([TOKEN, None]),
)
@example(["expects chunks", "both"], list(range(400)), TOKEN)
@example(["stranger with many chunks", "plain"], list(range(400)), TOKEN)
def test_requests_are_the_same_however_they_are_split(names, cuts, authorization):
    data = b"".join(map(REQUESTS.__getitem__, names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posts, "UNKNOWN_MOST", 50)
        assert outcome(split(data, cuts), authorization) == outcome([data], authorization)


LINES = st.sampled_from(
    [b"Transfer-Encoding: chunked", b"transfer-encoding:chunked ", b"Transfer-Encoding: x", b"Content-Length: 5",
     b"Content-Length: 0", b"Content-Length:", b"Expect: 100-continue", b"Connection: close", b"no field", b"a: b\x00"]
)  # fmt: skip
BODIES = st.lists(
    st.sampled_from([b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b"\r\n", b"A", b"1;x\r\n", b"ff\r\n", b"\n", b"\r"]) | st.binary(max_size=6),
    max_size=8,
).map(b"".join)  # fmt: skip


@given(
    st.sampled_from([KNOWN, STRANGER, ANYBODY, b"GET / HTTP/1.0\r\n"]),
    st.lists(LINES, max_size=4),
    BODIES,
    st.lists(st.integers(0, 400), max_size=8),
)
def test_any_bytes_are_the_same_however_they_are_split(head, lines, body, cuts):
    data = head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body
    assert outcome(split(data, cuts)) == outcome([data])
    for found in outcome([data]):
        assert isinstance(found, Post | tuple | bool)


def split(data, cuts):
    places = [0, *sorted(place for place in cuts if place < len(data)), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


def test_blanks_within_a_field_cost_no_time_worth_mentioning():
    """Quadratic time, as a pattern takes that tries each blank as the last, would be half a second for each of these."""
    import time

    began = time.process_time()
    for name in (b"a", b"Authorization", b"Expect", b"Content-Length"):
        data = b"POST / HTTP/1.1\r\n" + name + b": x" + b" " * 15_000 + b"x\r\n\r\n"
        frames = []
        Frames(request_framing(MOST, TOKEN), frames.append).feed(data)
        with suppress(Refused):
            parse(frames[0], MOST)
    assert time.process_time() - began < 0.5
