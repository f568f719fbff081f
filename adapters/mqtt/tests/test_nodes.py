"""Sparkplug nodes: what is believed and what is not, from birth to death; gaps, rebirths, history."""

import pytest

from adapters.mqtt.nodes import EdgeNode
from adapters.mqtt.payload import Delivery
from adapters.mqtt.simulated_node import Kind, lump, metric, varint
from adapters.mqtt.sparkplug import decode

TIME = 1_764_072_000_000
NS = TIME * 10**6


def payload(*metrics, seq=None, time=TIME):
    return varint(1, time) + b"".join(metrics) + (b"" if seq is None else varint(3, seq))


def bd_seq(number):
    return metric("bdSeq", None, Kind.INT64, number, time=TIME)


class World:
    def __init__(self, kit, **node):
        self.own = kit.feed(kit.device(group="g", node="n", **node), kit.tag("up", "int64", address="Up"), name="n")
        device = kit.device(group="g", node="n", device="d", **node)
        self.feed = kit.feed(
            device, kit.tag("speed", address="Out/Speed"), kit.tag("count", "int32", address="Count"), name="d"
        )
        self.feeds = kit.feeds(self.own, self.feed)
        self.asked = []
        self.node = EdgeNode(
            "g", "n", self.feeds, Delivery(self.feeds, lambda: None), lambda *parts: self.asked.append(parts)
        )

    def take(self, kind, data, device="", retained=False):
        before = len(self.feed.samples), len(self.own.samples)
        self.node.take(kind, device, data, retained)
        return (self.feed if device else self.own).samples[before[0] if device else before[1] :]

    def born(self):
        self.take("NBIRTH", payload(bd_seq(3), metric("Up", 1, Kind.INT64, 5, time=TIME), seq=0))
        speed = metric("Out/Speed", 2, Kind.DOUBLE, 1.5, time=TIME)
        return self.take("DBIRTH", payload(speed, metric("Count", 3, Kind.INT32, -7, time=TIME), seq=1), "d")


@pytest.fixture
def world(kit):
    return World(kit)


def speed(value, **more):
    return metric("", 2, None, value, of=Kind.DOUBLE, **({"time": TIME} | more))


def test_from_birth_to_data(world):
    assert world.born() == [({"speed": 1.5, "count": -7}, {}, NS, False)]
    assert world.own.last == {"up": 5}
    assert world.take("DDATA", payload(speed(2.5), seq=2), "d") == [({"speed": 2.5}, {}, NS, False)]
    assert world.take("NDATA", payload(metric("Up", None, Kind.INT64, 6, time=TIME), seq=3)) == [
        ({"up": 6}, {}, NS, False)
    ]
    assert world.take("DDATA", payload(seq=4), "d") == []
    assert world.feed.signs == 1
    assert world.asked == []


def test_nothing_is_believed_before_a_birth(world):
    for number in range(9):
        assert world.take("DDATA", payload(speed(2.5), seq=number), "d") == []
    topics = [topic for topic, _ in world.asked]
    assert topics == ["spBv1.0/g/NCMD/n"] * 4, "asked at the 1st, 2nd, 4th and 8th"
    (command,) = decode(world.asked[-1][1]).metrics
    assert (command.name, command.value(Kind.BOOLEAN)) == ("Node Control/Rebirth", True)
    assert decode(world.asked[-1][1]).timestamp == TIME, "stamped with the newest time of the node"


def test_who_may_not_ask_does_not(kit):
    world = World(kit, rebirth=False)
    world.take("DDATA", payload(speed(2.5), seq=0), "d")
    world.node.ask()
    assert world.asked == []


def test_a_gap_in_the_numbers_ends_belief_until_the_rebirth(world):
    world.born()
    assert world.take("DDATA", payload(speed(9.0), seq=3), "d") == []
    assert [fault.code for fault in (*world.feed.faults, *world.own.faults)] == ["sequence_gap"] * 2
    assert len(world.asked) == 1
    assert world.take("DDATA", payload(speed(9.0), seq=4), "d") == []
    assert world.born() == [({"speed": 1.5, "count": -7}, {}, NS, False)]


def test_numbers_go_round(world):
    world.born()
    for number in range(2, 600):
        assert world.take("DDATA", payload(speed(number), seq=number % 256), "d")
    assert world.feed.faults == []


def test_a_message_that_comes_twice_counts_once(world):
    world.born()
    message = payload(speed(2.5), seq=2)
    assert len(world.take("DDATA", message, "d")) == 1
    assert world.take("DDATA", message, "d") == []
    assert world.feed.faults == []


def test_aliases_mean_what_the_last_birth_says(world):
    world.born()
    count = metric("Count", 2, Kind.INT32, 1, time=TIME)
    world.take("NBIRTH", payload(bd_seq(3), seq=0))
    born = world.take("DBIRTH", payload(count, seq=1), "d")
    assert born[0] == ({"count": 1}, {}, NS, False)
    assert born[1][:2] == ({}, {"speed": "address_refused"}), "this birth has no such metric"
    four = metric("", 2, None, 4, of=Kind.INT32, time=TIME)
    assert world.take("DDATA", payload(four, seq=2), "d") == [({"count": 4}, {}, NS, False)]
    assert world.take("NDATA", payload(four, seq=3)) == [], "an alias of another device"


def test_deaths(world):
    world.born()
    world.take("DDEATH", payload(seq=2), "d")
    assert [fault.code for fault in world.feed.faults] == ["declared_offline"]
    assert world.own.faults == []
    assert world.take("DDATA", payload(speed(1.0), seq=3), "d") == [], "not born again yet"
    assert len(world.asked) == 1
    world.take("NDEATH", payload(bd_seq(2)))
    assert world.own.faults == [], "the death of an earlier session"
    world.take("NDEATH", payload(bd_seq(3)))
    assert [fault.code for fault in world.own.faults] == ["declared_offline"]


def test_history_is_marked_and_dated(world):
    world.born()
    old = [speed(number, time=TIME + number, historical=True) for number in range(2)]
    found = world.take("DDATA", payload(*old, speed(7, time=TIME + 9), speed(8, time=TIME + 9), seq=2), "d")
    assert found == [
        ({"speed": 0}, {}, NS, True),
        ({"speed": 1}, {}, NS + 10**6, True),
        ({"speed": 8}, {}, NS + 9 * 10**6, False),
    ]


def test_bad_metrics_and_their_neighbours(world):
    world.born()
    stale = lump(2, varint(2, 2) + lump(9, lump(1, b"Quality") + lump(2, varint(3, 500))) + varint(7, 1))
    doubtful = lump(2, varint(2, 3) + lump(9, lump(1, b"Quality") + lump(2, varint(3, 7))) + varint(10, 4))
    assert world.take("DDATA", payload(stale, doubtful, seq=2), "d") == [
        ({"count": 4}, {"speed": "not_connected", "count": "sensor_uncertain"}, NS, False)
    ]
    wrong = metric("", 3, None, "x", of=Kind.STRING, time=TIME)
    none = metric("", 2, None, None, time=TIME)
    assert world.take("DDATA", payload(wrong, none, seq=3), "d") == [
        ({}, {"count": "undecodable", "speed": "not_available"}, NS, False)
    ]


def test_a_clock_that_was_never_set(world):
    world.born()
    assert world.take("DDATA", payload(speed(1.0, time=5000), seq=2, time=5000), "d")[0][2] == 0


def test_what_cannot_be_read_raises_doubt(world):
    world.born()
    world.take("DDATA", b"\xff\xff", "d")
    assert [fault.code for fault in world.feed.faults] == ["sequence_gap"]
    world.born()
    world.take("DDATA", None, "d")
    assert len(world.feed.faults) == 2


def test_strangers_and_what_is_not_for_us(world):
    world.born()
    world.take("DBIRTH", payload(seq=2), "other")
    assert world.feeds.strangers == ["g/n/other"]
    world.take("DDATA", payload(speed(1.0), seq=3), "other")
    world.take("DDEATH", payload(seq=4), "other")
    world.take("NCMD", b"\xff")
    world.take("NBIRTH", payload(seq=0), retained=True)
    assert world.take("DDATA", payload(speed(1.0), seq=5), "d")
    assert world.feed.faults == []
