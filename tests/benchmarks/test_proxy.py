"""The proxy of the fault campaign tells MQTT packets apart, however their bytes are split."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.campaign.proxy import Packets


def packet(kind, body):
    """MQTT 5, 2.1: first byte, remaining length, body."""
    length, encoded = len(body), bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (128 if length else 0))
        if not length:
            return bytes([kind]) + bytes(encoded) + body


def publish(number, topic, payload):
    return packet(0x32, len(topic).to_bytes(2) + topic + number.to_bytes(2) + b"\0" + payload)


PUBLISH = st.builds(publish, st.integers(1, 0xFFFF), st.binary(min_size=1, max_size=300), st.binary(max_size=40_000))
OTHER = st.builds(packet, st.sampled_from([0x10, 0xC0, 0xE0]), st.binary(max_size=300))


def cut(data, places):
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[first:last] for first, last in pairwise(ends)]


@given(st.lists(PUBLISH | OTHER, max_size=8), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_everything_passes_unchanged(packets, places):
    known, passed = Packets(), b""
    for part in cut(b"".join(packets), places):
        whole, answers = known.feed(part, refuse=False)
        assert answers == []
        passed += whole
    assert passed == b"".join(packets)


@given(st.lists(PUBLISH | OTHER, max_size=8), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_every_publish_is_refused_by_its_number(packets, places):
    known, passed, refusals = Packets(), b"", []
    for part in cut(b"".join(packets), places):
        whole, answers = known.feed(part, refuse=True)
        passed += whole
        refusals += answers
    assert passed == b"".join(one for one in packets if one[0] != 0x32)
    assert len(refusals) == sum(one[0] == 0x32 for one in packets)
    assert all(len(one) == 5 and one[:2] == b"\x40\x03" and one[4] == 0x97 for one in refusals)


def test_the_number_is_that_of_the_publish():
    _, (answer,) = Packets().feed(publish(0x1234, b"a/topic", b"x" * 200), refuse=True)
    assert answer == b"\x40\x03\x12\x34\x97"
