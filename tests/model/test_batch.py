"""Bodies of batches: any decoder can read them; damage and attacks are refused."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.batch import Batch, Gap, decode_body, encode_body
from gateway.model.frame import Frame

FRAMES = st.builds(
    Frame,
    schema=st.binary(min_size=8, max_size=8),
    time=st.integers(0, 2**63 - 1),
    columns=st.lists(st.binary(max_size=20) | st.lists(st.none() | st.text(max_size=5), max_size=4), max_size=4),
    index=st.none() | st.binary(max_size=8),
    quality=st.none() | st.binary(max_size=8),
    flags=st.integers(0, 15),
)
GAPS = st.builds(
    Gap,
    reason=st.sampled_from(["outage", "overflow"]),
    since=st.integers(0, 2**63 - 1),
    until=st.integers(0, 2**63 - 1),
    device=st.text(max_size=5),
    count=st.integers(0, 2**40),
)


@given(st.lists(FRAMES, max_size=5), st.lists(GAPS, max_size=3))
def test_bodies_survive(frames: list[Frame], gaps: list[Gap]) -> None:
    body = decode_body(encode_body(frames, gaps))
    assert (body.frames, body.gaps) == (frames, gaps)


def test_an_independent_decoder_reads_it() -> None:
    frame = Frame(b"12345678", 99, [b"\x01\x00", ["x", None]], index=b"\x00\x00", quality=b"\x00", flags=1)
    body = encode_body([frame], [Gap("outage", 1, 2, device="d", count=3)])
    assert msgpack.unpackb(zstandard.ZstdDecompressor().decompress(body)) == [
        [[b"12345678", 99, [b"\x01\x00", ["x", None]], b"\x00\x00", b"\x00", None, 1]],
        [{"reason": "outage", "since": 1, "until": 2, "device": "d", "count": 3}],
    ]


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_body(data)


@given(st.data())
def test_a_damaged_body_is_a_value_error_or_a_body(data: st.DataObject) -> None:
    body = bytearray(encode_body([Frame(b"12345678", 1, [bytes(50)])]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ValueError):
        decode_body(bytes(body))


def test_a_decompression_bomb_is_refused_before_it_unpacks() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(300 * 1024 * 1024))
    with pytest.raises(ValueError, match="at most"):
        decode_body(bomb)


def test_a_body_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="list of frames"):
        decode_body(zstandard.ZstdCompressor().compress(msgpack.packb({"a": 1})))


def test_size_is_that_of_the_body() -> None:
    assert Batch(1, 1, b"abc", 0, 0, 0, 0, ()).size == 3
