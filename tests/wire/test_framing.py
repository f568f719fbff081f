"""Framers: the same frames however the bytes are split, and bounded memory for a peer that means no good."""

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.faults import ProtocolFault
from gateway.wire.framing import Frames, delimited, length_prefixed

lines = st.lists(st.binary(max_size=20).filter(lambda line: b"\r" not in line and b"\n" not in line), max_size=10)
bodies = st.lists(st.binary(max_size=40), max_size=10)


def split(data, places):
    cuts = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(cuts)]


def gathered(framing, pieces):
    found = []
    frames = Frames(framing, found.append)
    for piece in pieces:
        assert not frames.feed(piece), "a receiver with a function is never complete"
    return found


@given(lines, st.lists(st.integers(0, 10_000), max_size=10))
def test_lines_however_split(texts, places):
    stream = b"".join(text + b"\r\n" for text in texts)
    assert gathered(delimited(b"\r\n", 20), split(stream, places)) == texts


@given(bodies, st.sampled_from(["big", "little"]), st.lists(st.integers(0, 10_000), max_size=10))
def test_lengths_however_split(texts, order, places):
    whole = [b"\x05" + len(text).to_bytes(2, order) + text for text in texts]
    framing = length_prefixed(1, 2, order=order, beside=3, longest=43)
    assert gathered(framing, split(b"".join(whole), places)) == whole


@given(st.lists(st.binary(max_size=50), max_size=30), st.booleans())
def test_any_bytes_end_as_frames_or_as_a_fault(pieces, by_length):
    framing = length_prefixed(0, 1, beside=1, longest=40) if by_length else delimited(b"\n", 40)
    frames = Frames(framing, lambda frame: None)
    with suppress(ProtocolFault):
        for piece in pieces:
            frames.feed(piece)
            assert len(frames._rest) <= 41


def test_a_delimiter_that_comes_in_two_parts_is_seen():
    assert gathered(delimited(b"\r\n"), [b"a\r", b"\nb", b"\r", b"\n"]) == [b"a", b"b"]


def test_a_frame_that_never_ends():
    frames = Frames(delimited(b"\n", 10))
    frames.begin()
    frames.feed(b"0123456789")
    with pytest.raises(ProtocolFault, match="more than 10 bytes"):
        frames.feed(b"0")
    with pytest.raises(ProtocolFault, match="more than 10 bytes"):
        Frames(delimited(b"\n", 10), print).feed(b"01234567890\n")


@pytest.mark.parametrize("size", [0, 1, 12])
def test_a_length_that_cannot_be(size):
    with pytest.raises(ProtocolFault, match="where 2 to 11 can be"):
        Frames(length_prefixed(0, 2, longest=11), print).feed(bytes((0, size)))


def test_complete_when_as_many_have_come_as_were_asked_for():
    frames = Frames(delimited(b"\n"))
    frames.begin(2)
    assert not frames.feed(b"a\nb")
    assert frames.answered == 1
    assert frames.feed(b"\n")
    assert frames.found == [b"a", b"b"]
    frames.begin()
    assert frames.feed(b"c\n")
    assert frames.found == [b"c"]
    with pytest.raises(ValueError, match="0 frames"):
        frames.begin(0)


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\nb", b"a\n\n"])
def test_more_than_was_asked_for(data):
    frames = Frames(delimited(b"\n"))
    frames.begin()
    with pytest.raises(ProtocolFault, match="nobody asked for"):
        frames.feed(data)


@pytest.mark.parametrize("data", [b"late", b"late\n"])
def test_what_comes_while_nothing_is_asked(data):
    frames = Frames(delimited(b"\n"))
    with pytest.raises(ProtocolFault, match="nobody asked for"):
        frames.feed(data)


def test_a_part_that_was_left_belongs_to_no_new_answer():
    frames = Frames(delimited(b"\n"))
    frames.begin()
    frames.feed(b"half")
    with pytest.raises(ProtocolFault, match="nobody asked for"):
        frames.begin()
