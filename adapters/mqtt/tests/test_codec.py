"""Packets against the standard's own rules and examples, however the bytes are split; hostile ones as well."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.mqtt import codec
from adapters.mqtt.codec import V5, V311, Answer, Connect, Inbox, Kind, Property, Subscription
from adapters.mqtt.codes import (
    CONNACK,
    CONNACK_311,
    DISCONNECT,
    SUBACK,
    connect_fault,
    disconnect_fault,
    subscribe_fault,
)
from adapters.mqtt.tests.fuzz import mutants
from gateway.model.faults import AuthFault, ConfigFault, LinkLost, ProtocolFault
from gateway.model.reasons import REASONS

# Source of each: the clause of MQTT 5.0, or of 3.1.1 where the level is 4, whose figure or rule it spells out.
REQUESTS = {
    "CONNECT 3.1.1, clean, 30 s (3.1)": (
        Connect("gw", level=V311).encode(),
        "10 0e 0004 4d515454 04 02 001e 0002 6777",
    ),
    "CONNECT 3.1.1, session kept, user and password (3.1.2.3, 3.1.3.5)": (
        Connect("gw", level=V311, clean=False, username="u", password="p", session_expiry=9).encode(),
        "10 14 0004 4d515454 04 c0 001e 0002 6777 0001 75 0001 70",
    ),
    "CONNECT 5.0, session expiry, receive maximum (3.1.2.11)": (
        Connect("gw", clean=False, session_expiry=3600, receive_maximum=10).encode(),
        "10 17 0004 4d515454 05 00 001e 08 11 00000e10 21 000a 0002 6777",
    ),
    "SUBSCRIBE 3.1.1 to a/b with QoS 1 and c/d with QoS 2 (3.8.3, figure 3.23)": (
        codec.subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)], V311),
        "82 0e 000a 0003 612f62 01 0003 632f64 02",
    ),
    "SUBSCRIBE 5.0: no retained messages, no own ones (3.8.3.1)": (
        codec.subscribe(10, [Subscription("a/b", 1, own=False)], V5),
        "82 09 000a 00 0003 612f62 25",
    ),
    "SUBSCRIBE 5.0: retained messages (3.8.3.1)": (
        codec.subscribe(10, [Subscription("a/b", 2, retained=True)], V5),
        "82 09 000a 00 0003 612f62 02",
    ),
    "PUBLISH 3.1.1 of QoS 1 (3.3, figure 3.11)": (codec.publish("a/b", b"!", V311, qos=1, identity=10), "32 08 0003 612f62 000a 21"),
    "PUBLISH 5.0 of QoS 0 (3.3)": (codec.publish("a/b", b"!", V5), "30 07 0003 612f62 00 21"),
    "DISCONNECT (3.14)": (codec.disconnect(V5), "e0 00"),
    "DISCONNECT 5.0 with a reason (3.14.2.1)": (codec.disconnect(V5, 0x93), "e0 01 93"),
    "PINGREQ (3.12)": (codec.PINGREQ, "c0 00"),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    made, expected = REQUESTS[name]
    assert made == bytes.fromhex(expected)


ANSWERS = {
    "CONNACK 3.1.1: session present (3.2)": (V311, "20 02 01 00", Answer(Kind.CONNACK, present=True)),
    "CONNACK 3.1.1: refused, not authorised (3.2.2.3)": (V311, "20 02 00 05", Answer(Kind.CONNACK, reasons=(5,))),
    "CONNACK 5.0: server keep alive, reason string (3.2.2.3)": (
        V5, "20 0c 00 87 09 13 000a 1f 0003 6e6f21", Answer(Kind.CONNACK, reasons=(0x87,), told={0x13: 10, 0x1F: b"no!"}),
    ),
    "SUBACK 3.1.1 (3.9.3)": (V311, "90 05 000a 00 02 80", Answer(Kind.SUBACK, 10, reasons=(0, 2, 0x80))),
    "SUBACK 5.0, user property (3.9)": (
        V5, "90 0d 000a 07 26 0001 61 0001 62 01 87 a2", Answer(Kind.SUBACK, 10, reasons=(1, 0x87, 0xA2)),
    ),
    "DISCONNECT 5.0: session taken over (3.14)": (V5, "e0 01 8e", Answer(Kind.DISCONNECT, reasons=(0x8E,))),
    "DISCONNECT 5.0 without a reason (3.14.2.1)": (V5, "e0 00", Answer(Kind.DISCONNECT)),
}  # fmt: skip


def taken(level, data, *, largest=1 << 20, split=None):
    """Everything an inbox hands over: publishes and others; data arrives in pieces that end at ``split``."""
    found = []
    inbox = Inbox(level, largest, lambda *parts: found.append(parts), lambda *parts: found.append(parts))
    ends = sorted({*(split or ()), len(data)})
    for begin, end in zip([0, *ends], ends, strict=False):
        if end > begin:
            inbox.feed(data[begin:end])
    return found


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name):
    level, data, expected = ANSWERS[name]
    ((first, body),) = taken(level, bytes.fromhex(data))
    assert codec.answer(first >> 4, body, level) == expected


def test_words_of_a_broker():
    found = Answer(Kind.CONNACK, told={int(Property.REASON): b"no\x1b[31m entry\xff"})
    assert found.words == " (no[31m entry\ufffd)"
    assert Answer(Kind.CONNACK).words == ""


PUBLISHES = st.tuples(
    st.sampled_from(["a", "a/b", "machines/7/data", "温度"]),
    st.binary(max_size=300),
    st.integers(0, 2),
    st.integers(1, 65_535),
    st.sampled_from([0, 1, 8, 9]),
)


@settings(deadline=None)
@given(st.sampled_from([V311, V5]), st.lists(PUBLISHES, max_size=6), st.data())
def test_however_the_bytes_are_split(level, messages, data):
    packets, expected = [], []
    for topic, payload, qos, identity, flags in messages:
        made = codec.publish(topic, payload, level, qos=qos, identity=identity, flags=flags)
        packets.append(made)
        told = payload if codec.read_variable(made, 1)[0] <= 200 else None
        expected.append((0x30 | qos << 1 | flags, topic.encode(), identity.to_bytes(2, "big") if qos else b"", told))
    stream = b"".join(packets)
    split = data.draw(st.lists(st.integers(0, len(stream))))
    assert taken(level, stream, largest=200, split=split) == expected


def test_properties_of_a_message_are_passed_over():
    props = bytes.fromhex("01 01 02 0000003c 03 0001 74 08 0001 72 09 0002 0102 0b 8001 26 0001 61 0001 62")
    body = codec.text("a") + bytes((len(props),)) + props + b"21.5"
    assert taken(V5, codec.packet(0x30, body)) == [(0x30, b"a", b"", b"21.5")]


@pytest.mark.parametrize(
    ("level", "data", "why"),
    [
        (V5, "30 05 0000 00 2121", "a topic alias that nobody allowed"),
        (V311, "30 03 0005 61", "a topic longer than its packet"),
        (V311, "30 01 00", "no topic"),
        (V311, "32 03 0001 61", "no packet id"),
        (V5, "30 05 0001 61 07 21", "properties longer than the packet"),
        (V5, "30 03 0001 61", "no properties"),
        (V311, "30 ffffffff 7f", "a length that is none"),
        (V311, "30 8000", "a length longer than needed"),
        (V311, "90 808080 01", "an answer that is larger than any"),
        (V311, "30 8040 ffff", "an oversized message without the room for its topic"),
    ],
)
def test_what_breaks_the_protocol(level, data, why):
    with pytest.raises(ProtocolFault):
        taken(level, bytes.fromhex(data) + bytes(70_000), largest=4096)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.CONNACK, "00"), (Kind.CONNACK, "02 00"), (Kind.CONNACK, "00 00 05 13 000a"), (Kind.CONNACK, "00 00 01 13"),
        (Kind.CONNACK, "00 00 02 44 00"), (Kind.CONNACK, "00 00 03 1f 0005"), (Kind.CONNACK, "00 00 02 1f 00"),
        (Kind.CONNACK, "00 00 03 26 0001"), (Kind.CONNACK, "00 00 03 0b ff ff"), (Kind.CONNACK, "00 00 80"),
        (Kind.SUBACK, "000a"), (Kind.SUBACK, "000a 05"), (Kind.DISCONNECT, "8e 09"),
    ],
)  # fmt: skip
def test_answers_that_break_the_protocol(kind, body):
    with pytest.raises(ProtocolFault):
        codec.answer(kind, bytes.fromhex(body), V5)


def test_bytes_are_bounded_while_a_message_that_is_too_large_goes_by():
    found = []
    inbox = Inbox(V5, 1000, lambda *parts: found.append(parts), lambda *_: None)
    size = 50_000_000
    inbox.feed(b"\x32" + codec.variable(size) + codec.text("a") + b"\0\1\0")
    left = size - len(codec.text("a") + b"\0\1\0")
    assert found == [(0x32, b"a", b"\0\1", None)]
    piece = bytes(1 << 16)
    while left:
        inbox.feed(piece[: min(left, len(piece))])
        left -= min(left, len(piece))
        assert len(inbox._rest) == 0
    inbox.feed(codec.publish("b", b"1", V5))
    assert found[1:] == [(0x30, b"b", b"", b"1")]


def test_a_held_inbox_keeps_what_comes():
    found = []
    inbox = Inbox(V5, 1000, lambda *parts: found.append(parts), lambda *_: None)
    one = codec.publish("a", b"1", V5)
    inbox.feed(one + one[:3])
    inbox.held = True
    inbox.feed(one[3:] + one)
    assert len(found) == 1
    inbox.resume()
    assert len(found) == 3


@settings(deadline=None)
@given(st.integers(0, 268_435_455))
@example(127)
@example(128)
@example(16_383)
@example(16_384)
@example(2_097_151)
@example(268_435_455)
def test_lengths(number):
    data = codec.variable(number)
    assert codec.read_variable(data, 0) == (number, len(data))
    assert len(data) <= 4
    assert codec.read_variable(data[:-1], 0)[1] == -1


def test_hostile_bytes():
    chance = random.Random(1)
    for level, data in mutants(chance, 20_000):
        whole = outcome(level, data, None)
        split = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
        assert outcome(level, data, split) == whole


def outcome(level, data, split):
    """What was handed over before the end, or before a fault; a fault takes with it what its piece brought."""
    found = []
    inbox = Inbox(level, 500, lambda *parts: found.append(parts), lambda *parts: found.append(parts))
    ends = sorted({*(split or ()), len(data)})
    try:
        for begin, end in zip([0, *ends], ends, strict=False):
            if end > begin:
                inbox.feed(data[begin:end])
        return found, False
    except ProtocolFault:
        return found, True


# reason codes: every code of the standard's tables has its fault

SPEC = {
    "CONNACK": (CONNACK, {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F}),
    "CONNACK 3.1.1": (CONNACK_311, {1, 2, 3, 4, 5}),
    "SUBACK": (SUBACK, {0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}),
    "DISCONNECT": (DISCONNECT, {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPEC)
def test_every_reason_has_its_fault(name):
    table, reasons = SPEC[name]
    assert set(table) == reasons
    assert all(code in REASONS and len(words) > 15 for _, code, words in table.values())


def test_faults_of_answers():
    assert connect_fault("b", Answer(Kind.CONNACK), V5) is None
    assert isinstance(connect_fault("b", Answer(Kind.CONNACK, reasons=(5,)), V311), AuthFault)
    assert isinstance(connect_fault("b", Answer(Kind.CONNACK, reasons=(0x84,)), V5), ConfigFault)
    assert isinstance(connect_fault("b", Answer(Kind.CONNACK, reasons=(0x42,)), V5), ProtocolFault)
    assert subscribe_fault("b", 1, Answer(Kind.SUBACK)) is None
    assert subscribe_fault("b", 0x87, Answer(Kind.SUBACK)).code == "subscription_refused"
    taken_over = disconnect_fault("b", Answer(Kind.DISCONNECT, reasons=(0x8E,)))
    assert (type(taken_over), taken_over.code) == (LinkLost, "client_id_taken")
