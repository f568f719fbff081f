"""What messages say: JSON and text, whole and in part, wrong and malformed; what has no room waits."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.payload import Delivery, find, read_text
from adapters.mqtt.routes import Routes
from gateway.model.types import DataType
from gateway.sdk import ConfigFault


class Desk:
    """A device at work: messages in, samples out."""

    def __init__(self, kit, device, *tags, connection=None):
        self.feed = kit.feed(device, *tags)
        self.feeds = kit.feeds(self.feed)
        self.held = 0
        self.delivery = Delivery(self.feeds, self._hold)
        self.routes = Routes(connection or kit.connection(), self.delivery, lambda *_: None)

    def _hold(self):
        self.held += 1

    def take(self, payload, topic="m/1", *, retained=False):
        before = len(self.feed.samples)
        self.routes.deliver(topic.encode(), payload.encode() if isinstance(payload, str) else payload, retained)
        return self.feed.samples[before:]


@pytest.fixture
def desk(kit):
    def make(*tags, **device):
        return Desk(kit, kit.device(**device), *tags)

    return make


def test_one_bad_member_leaves_its_neighbours_alone(kit, desk):
    at = desk(kit.tag("a"), kit.tag("b", "int16"), kit.tag("c", "bool"), kit.tag("d", "string"))
    assert at.take('{"a": 1.5, "b": 2, "c": true, "d": "x"}') == [
        ({"a": 1.5, "b": 2, "c": True, "d": "x"}, {}, 0, False)
    ]
    assert at.take('{"a": "1.5", "b": 2}') == [({"b": 2}, {"a": "undecodable"}, 0, False)]
    assert at.take('{"a": true, "b": 2.0, "c": 1, "d": 5}') == [
        ({"b": 2, "c": 1}, {"a": "undecodable", "d": "undecodable"}, 0, False)
    ]
    assert at.take('{"a": null, "b": 2.5}') == [({}, {"a": "not_available", "b": "undecodable"}, 0, False)]
    assert at.take('{"a": {"b": 1}, "c": []}') == [({}, {"a": "undecodable", "c": "undecodable"}, 0, False)]


def test_what_a_message_does_not_have_says_nothing(kit, desk):
    at = desk(kit.tag("a"), kit.tag("b"))
    assert at.take('{"b": 7}') == [({"b": 7}, {}, 0, False)]
    assert at.take('{"other": 7}') == []
    assert at.take("[1, 2]") == []
    assert at.take("5") == []
    assert at.feed.signs == 3, "a sign of life it was"


def test_numbers_that_json_does_not_have(kit, desk):
    at = desk(kit.tag("a"), kit.tag("b"))
    assert at.take('{"a": NaN, "b": 1}') == [({"b": 1}, {"a": "not_available"}, 0, False)]
    assert at.take('{"a": -Infinity, "b": 1e999}') == [({}, {"a": "not_available", "b": "not_available"}, 0, False)]
    assert at.take('{"a": "NaN", "b": 1}') == [({"b": 1}, {"a": "undecodable"}, 0, False)]


@pytest.mark.parametrize(
    "payload",
    ["", "{", "x", '{"a": 1', b"\xff\xfe", '{"a": 1}}', "[" * 100_000, b'{"a": "\xff"}', "9" * 5000 + "x", None],
)
def test_what_is_no_json_is_bad_and_ends_nothing(kit, desk, payload):
    at = desk(kit.tag("a"), kit.tag("b"))
    assert at.take(payload) == [({}, {"a": "undecodable", "b": "undecodable"}, 0, False)]
    assert at.take('{"a": 1}') == [({"a": 1}, {}, 0, False)]


def test_deep_paths_and_whole_documents(kit, desk):
    at = desk(kit.tag("a", address="$.x.y[1].z"), kit.tag("b", "int32", address="$[0]"), kit.tag("c", address="$"))
    assert at.take('{"x": {"y": [0, {"z": 2.5}]}}') == [({"a": 2.5}, {"c": "undecodable"}, 0, False)]
    assert at.take("[4]") == [({"b": 4}, {"c": "undecodable"}, 0, False)]
    assert at.take("21.5") == [({"c": 21.5}, {}, 0, False)]
    assert at.take('{"x": {"y": [0]}}') == [({}, {"c": "undecodable"}, 0, False)]


def test_the_machines_own_time(kit, desk):
    at = desk(kit.tag("a"), time={"path": "$.ts", "format": "s"})
    assert at.take('{"a": 1, "ts": 1764072000}') == [({"a": 1}, {}, 1_764_072_000 * 10**9, False)]
    assert at.take('{"a": 1, "ts": 12}')[0][2] == 0, "a clock that was never set says nothing"
    assert at.take('{"a": 1}')[0][2] == 0
    at = desk(kit.tag("a", address="$.v.a"), time={"path": "$.head.at", "format": "iso8601", "zone": "Asia/Shanghai"})
    assert at.take('{"v": {"a": 1}, "head": {"at": "2025-11-25T20:00:00"}}')[0][2] == 1_764_072_000 * 10**9


def test_a_batch_goes_in_oldest_first(kit, desk):
    at = desk(kit.tag("a"), batch="$.samples", time={"path": "$.ts", "format": "s"})
    samples = [{"a": number, "ts": 1_764_072_000 - number} for number in range(3)]
    assert [sample[0] for sample in at.take(json.dumps({"samples": samples}))] == [{"a": 2}, {"a": 1}, {"a": 0}]
    del samples[1]["ts"]
    assert [sample[0]["a"] for sample in at.take(json.dumps({"samples": samples}))] == [0, 1, 2], "no order to go by"
    assert at.take('{"samples": [{"a": "x"}, {}, 5, {"a": 1}]}') == [
        ({}, {"a": "undecodable"}, 0, False),
        ({"a": 1}, {}, 0, False),
    ]
    assert at.take('{"samples": 5}') == [({}, {"a": "undecodable"}, 0, False)]
    assert at.take('{"other": 5}') == []
    at = desk(kit.tag("a", address="$"), batch="$")
    assert [sample[0]["a"] for sample in at.take("[1, 2, 3]")] == [1, 2, 3]


def test_old_messages_are_taken_only_where_that_is_meant(kit, desk):
    at = desk(kit.tag("a"))
    assert at.take('{"a": 1}', retained=True) == []
    assert at.take('{"a": 1}', retained=False) != []
    assert desk(kit.tag("a"), retained="use").take('{"a": 1}', retained=True) == [({"a": 1}, {}, 0, False)]
    assert desk(kit.tag("a", address="$"), format="text").take("1", retained=True) == []


def test_tags_with_topics_of_their_own(kit, desk):
    at = desk(
        kit.tag("a", address="$", topic="temp/a"), kit.tag("b", address="$", topic="+/b"), format="text", topic="m"
    )
    assert [subscription.topic_filter for subscription, _ in at.routes.asked] == ["m/temp/a", "m/+/b"]
    assert at.take("1.5", "m/temp/a") == [({"a": 1.5}, {}, 0, False)]
    assert at.take(" 2 ", "m/x/b") == [({"b": 2}, {}, 0, False)]
    assert at.take("2", "m/x/c") == []
    assert at.take("two", "m/x/b") == [({}, {"b": "undecodable"}, 0, False)]
    assert at.take(None, "m/x/b") == [({}, {"b": "undecodable"}, 0, False)]


def test_a_filter_within_another_is_not_asked_for_twice(kit, desk):
    at = desk(kit.tag("a"), kit.tag("b", topic="sub"), topic=["m/#", "n/+", "$share/g/k/#"])
    assert [one.topic_filter for one, _ in at.routes.asked] == ["m/#", "n/+", "$share/g/k/#", "n/+/sub"]


def test_devices_that_nobody_configured_are_announced(kit):
    at = Desk(kit, kit.device(), kit.tag("a"), connection=kit.connection(announce=["m/+", "$share/g/line/#"]))
    at.take("{}", "m/1")
    at.take("{}", "m/2")
    at.take("{}", "m/2")
    at.take("{}", "line/x/y")
    at.take("{}", "elsewhere")
    assert at.feeds.strangers == ["m/2", "line/x/y"]


def test_topics_are_remembered_within_bounds(kit, desk, monkeypatch):
    monkeypatch.setattr("adapters.mqtt.routes.CACHE_BYTES", 1000)
    at = desk(kit.tag("a"), topic="m/+")
    for number in range(100):
        assert at.take('{"a": 1}', f"m/{number}") == [({"a": 1}, {}, 0, False)]
        assert len(at.routes._known) <= 4
    assert len(at.routes._takers) == 1


def test_what_has_no_room_waits_in_order(kit, desk):
    at = desk(kit.tag("a", address="$"), batch="$")
    at.feeds.full = True
    assert at.take("[1, 2]") == []
    at.feeds.full = False
    assert at.take("[3]") == [], "not before its elders"
    assert at.held == 3
    assert at.delivery.drain()
    assert [sample[0]["a"] for sample in at.feed.samples] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("float64", "21.5", 21.5), ("float64", "-1e3", -1000.0), ("float64", ".5", 0.5), ("float64", "nan", None),
        ("float64", "inf", None), ("float64", "1,5", None), ("float64", "", None), ("float64", "1_0", None),
        ("int32", "+7", 7), ("int32", " 7\n", 7), ("int32", "7.0", 7), ("int32", "7.5", None), ("int32", "0x7", None),
        ("int32", "1e400", None), ("bool", "ON", True), ("bool", "false", False), ("bool", "2", None),
        ("string", " as it is ", " as it is "), ("float32", "٣", None),
    ],
)  # fmt: skip
def test_text(kind, text, value):
    found = read_text(DataType(kind), text.encode())
    assert found == value
    assert type(found) is type(value)


def test_bytes_are_bytes():
    assert read_text(DataType.BYTES, b"\xff\0") == b"\xff\0"
    assert read_text(DataType.STRING, b"\xff") is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8)  # fmt: skip


@settings(deadline=None)
@given(JSON)
def test_whatever_comes_a_value_is_what_its_tag_takes(document):
    from adapters.mqtt.tests.conftest import Kit

    tags = (
        Kit.tag("a"),
        Kit.tag("b", "int64"),
        Kit.tag("c", "bool", address="$.c.d"),
        Kit.tag("d", "string", address="$[0]"),
    )
    at = Desk(Kit, Kit.device(), *tags)
    takes = {"a": (int, float), "b": (int,), "c": (bool, int), "d": (str,)}
    for values, bad, _, _ in at.take(json.dumps(document)):
        assert not values.keys() & bad.keys()
        for name, value in values.items():
            assert type(value) in takes[name]
            steps = next(tag.address.steps for tag in tags if tag.name == name)
            assert (
                math.isclose(find(document, steps), value)
                if isinstance(value, float)
                else find(document, steps) == value
            )


def test_tags_that_a_format_cannot_have(kit):
    cases = [
        (kit.device(), kit.tag("a", address="Metric/Name")),
        (kit.device(), kit.tag("a", "bytes", address="$")),
        (kit.device(format="text"), kit.tag("a", address="$.a")),
        (kit.device(group="g", node="n"), kit.tag("a")),
        (kit.device(group="g", node="n"), kit.tag("a", address="Name", topic="x")),
    ]
    for device, tag in cases:
        with pytest.raises(ConfigFault, match="tag a: "):
            kit.feed(device, tag)


@settings(deadline=None)
@given(
    st.sampled_from(["json", "text", "batch", "sparkplug"]),
    st.binary(max_size=60) | JSON.map(lambda document: json.dumps(document).encode()),
)
def test_hostile_payloads_end_nothing(form, payload):
    from adapters.mqtt.tests.conftest import Kit

    node = {"group": "g", "node": "n"}
    device = Kit.device(
        **{"json": {"time": {"path": "$.t"}}, "text": {"format": "text"}, "batch": {"batch": "$"}, "sparkplug": node}[
            form
        ]
    )
    address = {"json": "$.a", "text": "$", "batch": "$.a", "sparkplug": "A"}[form]
    at = Desk(Kit, device, Kit.tag("a", "int32", address=address))
    for topic in ("spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDATA/n", "spBv1.0/g/NDEATH/n") if form == "sparkplug" else ("m/1",):
        at.take(payload, topic)
    for values, *_ in at.feed.samples:
        assert all(type(value) in (int, bool) for value in values.values())
