"""Batches that are too large: cut into parts that hold together exactly what they held; what cannot be cut is named."""

from __future__ import annotations

import json
import random
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forward.columnar import Columnar
from gateway.forward.json_payload import JsonPayload, iso_time
from gateway.model.batch import Batch, Gap, encode_body
from gateway.model.frame import Frame, FrameFlag
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from gateway.reader import Declared, Frames, Reader

WIDE = Schema(
    "wide", "g", (Column(DataType.INT64, tuple(f"t{n}" for n in range(400))), Column(DataType.STRING, ("text",)))
)
WIDE_ID = schema_id(WIDE.encode())
SCHEMAS = {WIDE_ID: WIDE.encode()}


def frame(seed: int, text: str = "") -> Frame:
    noise = random.Random(seed)
    return Frame(WIDE_ID, seed, [struct.pack("<400q", *(noise.randrange(-(2**62), 2**62) for _ in range(400))), [text]])


def batch(frames: list[Frame], gaps: list[Gap] = []) -> Batch:
    return Batch(1, 7, encode_body(frames, gaps), len(frames), 401 * len(frames), 0, 0, (WIDE_ID,))


def noise(size: int) -> str:
    return random.Random(1).randbytes(size // 2).hex()


def read(parts: list[bytes], schema: bytes, malformed: int = 0) -> tuple[list, list]:
    reader = Reader()
    reader.feed("", schema)
    events = [event for part in parts for event in reader.feed("t", part)]
    assert reader.report().malformed == malformed
    rows = [row for event in events if isinstance(event, Frames) for row in event.rows()]
    return rows, [event.gap for event in events if isinstance(event, Declared)]


def values(rows) -> list:
    return [(row.tag, row.value) for row in rows]


def whole(frames: list[Frame]) -> list:
    names = WIDE.names()
    return [
        pair
        for one in frames
        for pair in zip(names, [*struct.unpack("<400q", one.columns[0]), *one.columns[1]], strict=True)
    ]


@given(st.integers(1, 6), st.integers(0, 4), st.integers(300, 20_000))
@settings(max_examples=40, deadline=None)
def test_columnar_parts_hold_all_and_none_is_too_large(count, gap_count, limit):
    frames = [frame(n) for n in range(count)]
    gaps = [Gap("outage", n, n + 1, count=n + 1) for n in range(gap_count)]
    encoded = Columnar("gw").encode(batch(frames, gaps), limit, SCHEMAS)
    assert encoded.poison == []
    assert all(len(part) <= limit for part in encoded.parts)
    rows, found = read(encoded.parts, WIDE.encode())
    assert values(rows) == whole(frames)
    assert sorted(found, key=lambda gap: gap.since) == gaps


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1500, 40_000))
@settings(max_examples=25, deadline=None)
def test_json_parts_hold_all_and_none_is_too_large(count, gap_count, limit):
    frames = [frame(n) for n in range(count)]
    gaps = [Gap("outage", n, n + 1, count=n + 1) for n in range(gap_count)]
    encoded = JsonPayload("gw").encode(batch(frames, gaps), limit, SCHEMAS)
    assert encoded.poison == []
    assert all(len(part) <= limit for part in encoded.parts)
    rows, found = read(encoded.parts, WIDE.encode())
    assert values(rows) == whole(frames)
    assert [gap.count for gap in found] == [gap.count for gap in gaps]


def test_what_fits_is_sent_untouched():
    given_batch = batch([frame(1)])
    payload = Columnar("gw")
    message = payload.direct(given_batch, 10_000)
    assert message is not None
    assert message.endswith(given_batch.body)
    assert payload.encode(given_batch, 10_000, {}).parts == [message]
    assert payload.direct(given_batch, len(message) - 1) is None
    assert payload.schema(b"as it is") == b"as it is"


@pytest.mark.parametrize("payload", [Columnar("gw"), JsonPayload("gw")])
def test_a_single_value_too_large_is_poison_and_the_rest_goes_on(payload):
    frames = [frame(1), frame(2, noise(9000)), frame(3)]
    encoded = payload.encode(batch(frames), 4000, SCHEMAS)
    assert [(one.code, one.points) for one in encoded.poison] == [("value_too_large", 1)]
    assert encoded.poison[0].frame.index == struct.pack("<H", 400)
    rows, _ = read(encoded.parts, WIDE.encode())
    assert [row for row in rows if row.tag == "text" and len(row.value) > 10] == []
    assert len(rows) == 3 * 401 - 1


@pytest.mark.parametrize("payload", [Columnar("gw"), JsonPayload("gw")])
def test_a_frame_that_cannot_be_read_is_poison(payload):
    broken = Frame(WIDE_ID, 5, [b"123", ["x"]])
    stranger = Frame(b"unknown!", 6, [[noise(9000)]])
    big = [frame(n) for n in range(3)]
    encoded = payload.encode(batch([big[0], broken, stranger, big[1], big[2]]), 2000, SCHEMAS)
    codes = {one.code for one in encoded.poison}
    assert codes == {"frame_unreadable"}
    opened = isinstance(payload, JsonPayload)  # columnar does not look into frames that are small enough
    assert len(encoded.poison) == (2 if opened else 1)
    rows, _ = read(encoded.parts, WIDE.encode(), malformed=0 if opened else 1)
    assert len(rows) == 3 * 401


@pytest.mark.parametrize("payload", [Columnar("gw"), JsonPayload("gw")])
def test_damage_and_absurd_limits_are_value_errors(payload):
    damaged = msgspec.structs.replace(batch([frame(1)]), body=b"nonsense" * 100)
    with pytest.raises(ValueError, match="zstd"):
        payload.encode(damaged, 500, SCHEMAS)
    with pytest.raises(ValueError, match="no room"):
        payload.encode(batch([], [Gap("outage", 1, 2, count=3)]), 50, SCHEMAS)


def test_a_gap_gives_up_its_detail_before_it_is_too_large():
    gap = Gap("outage", 1, 2, count=3, detail=noise(3000))
    encoded = Columnar("gw").encode(batch([], [gap]), 500, SCHEMAS)
    _, gaps = read(encoded.parts, WIDE.encode())
    assert gaps == [Gap("outage", 1, 2, count=3)]


def test_json_says_what_people_need():
    schema = Schema(
        "press",
        "slow",
        (
            Column(DataType.BOOL, ("on",)),
            Column(DataType.UINT64, ("big",)),
            Column(DataType.FLOAT32, ("f", "g", "h")),
            Column(
                DataType.FLOAT64, ("nan", "inf", "ninf", "x"), divide=(1.0, 1.0, 1.0, 10.0), units=("", "", "", "bar")
            ),
            Column(DataType.BYTES, ("raw",)),
        ),
    )
    identity = schema_id(schema.encode())
    columns = [b"\1", struct.pack("<Q", 2**64 - 1), struct.pack("<3f", 0.1, float("inf"), -7.25),
               struct.pack("<4d", float("nan"), float("inf"), float("-inf"), 3.0), [b"\0\1"]]  # fmt: skip
    confirmed = Frame(identity, 10**9, [], struct.pack("<H", 1), flags=FrameFlag.CONFIRMED | FrameFlag.REPLAYED)
    given_batch = Batch(
        3, 4, encode_body([Frame(identity, 0, columns), confirmed], [Gap("restart", 0, 1)]), 2, 10, 0, 0, ()
    )
    payload = JsonPayload("gw")
    (part,) = payload.encode(given_batch, 1 << 20, {identity: schema.encode()}).parts
    record = json.loads(part)
    first, second = record["frames"]
    assert first["values"] == {"on": True, "big": 2**64 - 1, "f": 0.1, "g": "Infinity", "h": -7.25, "nan": "NaN",
                               "inf": "Infinity", "ninf": "-Infinity", "x": 0.3, "raw": "AAE="}  # fmt: skip
    assert "quality" not in first
    assert (second["confirmed"], second["flags"], second["time"]) == (
        ["big"],
        ["confirmed", "replayed"],
        "1970-01-01T00:00:01.000000000Z",
    )
    assert record["gaps"] == [{"reason": "restart", "since": iso_time(0), "until": iso_time(1)}]
    published = json.loads(payload.schema(schema.encode()))
    assert published["schema"] == identity.hex()
    assert published["tags"][-2] == {"name": "x", "type": "float64", "unit": "bar", "divide": 10.0}
    assert published["tags"][0] == {"name": "on", "type": "bool"}


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_795_435_200_123_456_789, "2026-11-23T12:00:00.123456789Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00.000000000Z"),
        (-(2**70), str(-(2**70))),
        (2**80, str(2**80)),
    ],
)
def test_iso_time(time, text):
    assert iso_time(time) == text
