"""Sparkplug payloads: written by an independent implementation, read by ours, and the other way; hostile ones as well."""

import json
import math
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.simulated_node import lump, metric, varint
from adapters.mqtt.sparkplug import TYPES, Kind, Payload, decode, rebirth
from adapters.mqtt.tests.fuzz import PAYLOAD, mutate
from gateway.model.faults import ProtocolFault
from gateway.model.quality import Quality
from gateway.model.types import DataType

PEERS = Path(__file__).parent / "peers"
TIME = 1_764_072_000_123

foreign = pytest.mark.skipif(
    shutil.which("node") is None or not (PEERS / "node_modules").is_dir(), reason="npm ci in tests/peers was not run"
)


def peer(*lines):
    """What the npm package sparkplug-payload makes of each line."""
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(
        ["node", PEERS / "encode.mjs"], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


VALUES = [
    ("Int8", -128), ("Int8", 127), ("Int16", -32_768), ("Int16", 5), ("Int32", -7), ("Int32", 2**31 - 1),
    ("Int64", -7), ("Int64", -(2**53)), ("Int64", 2**53), ("UInt8", 255), ("UInt16", 65_535), ("UInt32", 4_294_967_295),
    ("UInt64", 2**53), ("Float", 1.5), ("Float", -0.25), ("Double", math.pi), ("Boolean", True), ("Boolean", False),
    ("String", "温度"), ("String", ""), ("DateTime", TIME), ("Text", "long"), ("UUID", "a-b"),
]  # fmt: skip


@foreign
def test_values_written_by_another_implementation():
    sent = {
        "timestamp": TIME,
        "seq": 200,
        "metrics": [
            {"name": f"m{number}", "alias": 300 + number, "type": kind, "value": value, "timestamp": TIME + number}
            for number, (kind, value) in enumerate(VALUES)
        ],
    }
    (line,) = peer(json.dumps(sent))
    found = decode(bytes.fromhex(line))
    assert (found.timestamp, found.seq, len(found.metrics)) == (TIME, 200, len(VALUES))
    for number, (one, (kind, value)) in enumerate(zip(found.metrics, VALUES, strict=True)):
        assert (one.name, one.alias, one.timestamp) == (f"m{number}", 300 + number, TIME + number)
        assert Kind(one.datatype).name == kind.upper()
        assert one.value(one.datatype) == value, kind


@foreign
def test_flags_written_by_another_implementation():
    sent = {
        "timestamp": TIME,
        "seq": 0,
        "metrics": [
            {"name": "old", "type": "Int32", "value": 3, "isHistorical": True},
            {"name": "none", "type": "Int32", "value": None},
            {"name": "stale", "type": "Double", "value": 1, "properties": {"Quality": {"type": "Int32", "value": 500}}},
            {"name": "doubtful", "type": "Double", "value": 1, "properties": {"x": {"type": "String", "value": "y"}, "Quality": {"type": "Int32", "value": 7}}},
            {"name": "well", "type": "Double", "value": 1, "properties": {"Quality": {"type": "Int32", "value": 192}}},
        ],
    }  # fmt: skip
    (line,) = peer(json.dumps(sent))
    old, none, stale, doubtful, well = decode(bytes.fromhex(line)).metrics
    assert old.historical
    assert none.null
    assert none.value(none.datatype) is None
    assert [one.quality for one in (stale, doubtful, well)] == [
        Quality.NOT_CONNECTED, Quality.SENSOR_UNCERTAIN, Quality.GOOD
    ]  # fmt: skip


@foreign
def test_another_implementation_reads_what_is_sent():
    mine = (
        varint(1, TIME)
        + metric("a/b", 7, Kind.INT16, -5, time=TIME)
        + metric("s", None, Kind.STRING, "温")
        + varint(3, 9)
    )
    request, machine = (json.loads(line) for line in peer(rebirth(TIME).hex(), mine.hex()))
    (command,) = request["metrics"]
    assert (command["name"], command["type"], command["value"]) == ("Node Control/Rebirth", "Boolean", True)
    assert [(one["name"], one["type"]) for one in machine["metrics"]] == [("a/b", "Int16"), ("s", "String")]
    assert machine["metrics"][1]["value"] == "温"


# vectors by hand, from the table of fields in clause 6.4 and the encoding rules of protocol buffers

VECTORS = {
    "timestamp and seq (6.4.5)": ("08 01 18 ff01", Payload(1, 255)),
    "no seq, as in NDEATH (6.4.22)": ("08 01", Payload(1)),
    "fields that are not looked at: uuid, body": ("22 01 61 2a 02 0102 18 03", Payload(0, 3)),
    "nothing": ("", Payload()),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name):
    data, expected = VECTORS[name]
    assert decode(bytes.fromhex(data)) == expected


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Kind.INT8, varint(10, 0xFF), -1),  # cut to its size
        (Kind.INT8, varint(10, 0xFFFFFFFF), -1),  # extended to that of the field
        (Kind.INT8, varint(11, 2**64 - 1), -1),
        (Kind.INT8, varint(10, 200), -56),
        (Kind.INT8, varint(10, 300), None),
        (Kind.INT16, varint(10, 0xFFFF8000), -32_768),
        (Kind.INT16, varint(10, 0xFFFF7FFF), None),
        (Kind.INT32, varint(11, 5), 5),
        (Kind.UINT32, varint(11, 4_294_967_295), 4_294_967_295),
        (Kind.UINT8, varint(10, 256), None),
        (Kind.INT32, lump(15, b"5"), None),
        (Kind.DOUBLE, varint(10, 5), None),
        (Kind.FLOAT, bytes((13 << 3 | 1,)) + bytes(8), 0.0),
        (Kind.BOOLEAN, varint(10, 1), None),
        (Kind.STRING, lump(16, b"a"), None),
        (Kind.STRING, lump(15, b"\xff"), None),
        (Kind.BYTES, lump(16, b"\x01"), b"\x01"),
        (Kind.BYTES, varint(10, 1), None),
        (16, lump(17, b""), None),  # a data set
        (19, lump(18, b""), None),  # a template
        (0, varint(10, 1), None),
    ],
)
def test_values_as_they_lie_on_the_wire(kind, field, value):
    (one,) = decode(lump(2, field)).metrics
    assert one.value(kind) == value


RANGES = {
    kind: st.integers(*((-(2 ** (8 * data.width - 1)), 2 ** (8 * data.width - 1) - 1) if data.value.startswith("i") else (0, 2 ** (8 * data.width) - 1)))
    for kind, data in TYPES.items()
    if data.packed and data.value.lstrip("u").startswith("int") and kind is not Kind.DATETIME
} | {
    Kind.DOUBLE: st.floats(allow_nan=False),
    Kind.FLOAT: st.floats(width=32, allow_nan=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: st.text(),
    Kind.BYTES: st.binary(),
}  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_every_type_survives(data):
    kind = data.draw(st.sampled_from(list(RANGES)))
    value = data.draw(RANGES[kind])
    (one,) = decode(metric("n", 1, kind, value)).metrics
    assert one.value(kind) == value
    assert TYPES[kind] in DataType


@pytest.mark.parametrize(
    "data",
    [
        "08", "08 80", "08 ffffffffffffffffffff01", "00 01", "12 05 01", "0b 01", "0a 01 61", "10 01", "12 02 08 01",
        "12 03 0a 01 ff", "12 02 20", "15 01", "19 01", "12 03 4a 01 08",
    ],
)  # fmt: skip
def test_payloads_that_are_none(data):
    with pytest.raises(ProtocolFault):
        decode(bytes.fromhex(data))


def test_quality_without_a_value():
    props = lump(1, b"Quality")
    assert decode(lump(2, lump(9, props))).metrics[0].quality is Quality.GOOD
    assert decode(lump(2, lump(9, props + lump(2, varint(1, 3))))).metrics[0].quality is Quality.GOOD


def test_hostile_payloads():
    chance = random.Random(2)
    decoded = 0
    for _ in range(20_000):
        data = mutate(chance, PAYLOAD)
        try:
            found = decode(data)
        except ProtocolFault:
            continue
        decoded += 1
        assert len(found.metrics) <= len(data)
        for one in found.metrics:
            for kind in range(40):
                one.value(kind)
    assert decoded > 1000


@foreign
@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto is not installed")
def test_an_edge_node_of_others_through_a_broker_of_others(run, kit, tmp_path):
    """Payloads of the npm package, sent by mosquitto_pub through Mosquitto."""
    from adapters.mqtt.tests.conftest import until
    from tests.mosquitto import Mosquitto

    def message(seq, *metrics):
        return {"timestamp": TIME, "seq": seq, "metrics": list(metrics)}

    speed = {"name": "Axes/Speed", "alias": 7, "type": "Double", "value": 1.5, "timestamp": TIME}
    count = {"name": "Count", "alias": 8, "type": "Int32", "value": -7, "timestamp": TIME}
    later = {"alias": 7, "type": "Double", "value": 2.5, "timestamp": TIME + 1}
    bd_seq = {"name": "bdSeq", "type": "UInt64", "value": 4}
    told = [
        ("NBIRTH", "", message(0, bd_seq)),
        ("DBIRTH", "/d", message(1, speed, count)),
        ("DDATA", "/d", message(2, later)),
        ("NDEATH", "", {"timestamp": TIME, "metrics": [bd_seq]}),
    ]
    encoded = peer(*(json.dumps(payload) for _, _, payload in told))

    async def work():
        with Mosquitto(tmp_path / "broker", "allow_anonymous true", "log_type all") as broker:
            tags = (kit.tag("speed", address="Axes/Speed"), kit.tag("count", "int32", address="Count"))
            feed = kit.feed(kit.device(group="g", node="n", device="d"), *tags)
            async with kit.subscribed(kit.connection(broker.port), kit.feeds(feed)):
                await until(lambda: "Sending SUBACK" in (broker.folder / "mosquitto.log").read_text())
                for (kind, device, _), data in zip(told, encoded, strict=True):
                    command = ["mosquitto_pub", "-p", str(broker.port), "-t", f"spBv1.0/g/{kind}/n{device}", "-s"]
                    subprocess.run(command, input=bytes.fromhex(data), check=True, timeout=20)
                await until(lambda: feed.faults)
            assert feed.samples == [
                ({"speed": 1.5, "count": -7}, {}, TIME * 10**6, False),
                ({"speed": 2.5}, {}, (TIME + 1) * 10**6, False),
            ]
            assert [fault.code for fault in feed.faults] == ["declared_offline"]

    run(work)
