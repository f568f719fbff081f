"""The reader: from messages, in whatever order and state, to events and an account."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.forward.columnar import Columnar
from gateway.forward.json_payload import JsonPayload
from gateway.model.batch import Batch, Gap, encode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from gateway.model.view import FrameView
from gateway.reader import (
    Declared,
    DeviceRow,
    Duplicate,
    Frames,
    JsonFrame,
    Malformed,
    Reader,
    Status,
    tracking,
)
from gateway.reader import (
    reader as module,
)

PRESS = Schema("press", "g", (Column(DataType.INT16, ("a", "b"), divide=(10.0, 1.0), units=("bar", "")),))
OVEN = Schema("oven", "g", (Column(DataType.FLOAT64, ("t",)),))
PRESS_ID, OVEN_ID = schema_id(PRESS.encode()), schema_id(OVEN.encode())
SCHEMAS = {PRESS_ID: PRESS.encode(), OVEN_ID: OVEN.encode()}


def press(time: int, *values: int) -> Frame:
    return Frame(PRESS_ID, time, [struct.pack("<2h", *values)])


def oven(time: int, value: float) -> Frame:
    return Frame(OVEN_ID, time, [struct.pack("<d", value)])


def batch(seq: int, frames: list[Frame], gaps: list[Gap] = [], epoch: int = 1) -> Batch:
    schemas = tuple({one.schema for one in frames})
    return Batch(epoch, seq, encode_body(frames, gaps), len(frames), 0, 0, 0, schemas)


def message(seq: int, frames: list[Frame], gaps: list[Gap] = [], *, epoch: int = 1, gateway: str = "gw") -> bytes:
    found = Columnar(gateway).direct(batch(seq, frames, gaps, epoch), 1 << 30)
    assert found is not None
    return found


def ready(**settings) -> Reader:
    reader = Reader(**settings)
    for encoded in SCHEMAS.values():
        assert reader.feed("schema", encoded) == []
    return reader


def test_rows_arrays_and_dicts():
    reader = ready()
    (event,) = reader.feed("data", message(1, [press(5, 12, -3), oven(6, 99.5)]))
    assert isinstance(event, Frames)
    assert list(event.rows()) == [
        DeviceRow("press", "a", 1.2, 0, 5, "bar"),
        DeviceRow("press", "b", -3, 0, 5, ""),
        DeviceRow("oven", "t", 99.5, 0, 6, ""),
    ]
    assert event.frames[0].to_dict() == {"a": 1.2, "b": -3}
    assert event.frames[1].columns[0].values.tolist() == [99.5]
    report = reader.report(from_start=True)
    assert (report.batches, report.points, report.lost, report.duplicates) == (1, 3, 0, 0)


def test_duplicates_come_once_and_are_counted():
    reader = ready()
    payload = message(1, [press(5, 1, 2)])
    assert isinstance(reader.feed("data", payload)[0], Frames)
    assert reader.feed("data", payload) == [Duplicate("gw", 1, 1, 0)]
    assert reader.report().duplicates == 1
    assert reader.report().points == 2
    other = reader.feed("data", message(1, [press(5, 1, 2)], gateway="other"))
    assert isinstance(other[0], Frames)
    assert isinstance(reader.feed("data", message(1, [press(5, 1, 2)], epoch=2))[0], Frames)


def test_missing_batches_and_those_that_are_declared():
    reader = ready()
    for seq in (1, 2, 6, 7):
        reader.feed("data", message(seq, []))
    assert reader.report().missing == {("gw", 1): [(3, 5)]}
    assert reader.report().lost == 3
    gap = Gap("overflow", 1, 2, first_seq=4, last_seq=5, epoch=1)
    assert reader.feed("data", message(8, [], [gap])) == [Declared("gw", gap)]
    assert reader.report().missing == {("gw", 1): [(3, 3)]}
    reader.feed("data", message(3, []))
    assert reader.report().lost == 0
    assert reader.report().gaps == 1


def test_a_late_batch_is_not_missing_within_the_window():
    reader = ready(window=2)
    for seq in (1, 3):
        reader.feed("data", message(seq, []))
    assert reader.report().lost == 0
    reader.feed("data", message(5, []))
    assert reader.report().missing == {("gw", 1): [(2, 2)]}


def test_frames_wait_for_their_schema():
    reader = Reader()
    reader.feed("schema", OVEN.encode())
    events = reader.feed("data", message(1, [press(5, 1, 2), oven(6, 1.0)]))
    assert [frame.device for event in events for frame in event.frames] == ["oven"]
    reader.feed("data", message(2, [press(7, 3, 4)]))
    assert reader.report().waiting == 2
    later = reader.feed("schema", PRESS.encode())
    assert [(event.seq, row.value) for event in later for row in event.rows()] == [(1, 0.1), (1, 2), (2, 0.3), (2, 4)]
    assert (reader.report().waiting, reader.report().points) == (0, 5)
    assert reader.feed("schema", PRESS.encode()) == []


def test_what_waits_is_bounded():
    reader = Reader(waiting=2, schemas=1)
    for seq in (1, 2, 3):
        reader.feed("data", message(seq, [press(seq, 1, 2)]))
    reader.feed("data", message(4, [oven(4, 1.0)]))
    assert (reader.report().waiting, reader.report().dropped) == (2, 2)
    (event,) = reader.feed("schema", PRESS.encode())
    assert event.seq == 3
    reader.feed("schema", OVEN.encode())  # pushes the other out
    assert reader.feed("data", message(5, [press(5, 1, 2)])) == []


def parts_of(seq: int, limit: int, payload=Columnar) -> list[bytes]:
    noise = random.Random(seq)
    frames = [press(n, noise.randrange(-9999, 9999), noise.randrange(-9999, 9999)) for n in range(200)]
    return payload("gw").encode(batch(seq, frames, [Gap("outage", 1, 2)]), limit, SCHEMAS).parts


@pytest.mark.parametrize("payload", [Columnar, JsonPayload])
def test_parts_come_together_in_any_order(payload):
    parts = parts_of(1, 900, payload)
    assert len(parts) > 1
    reader = ready()
    for part in parts[:0:-1]:
        assert reader.feed("data", part) == []
    assert reader.report().incomplete == 1
    assert reader.feed("data", parts[-1]) == [Duplicate("gw", 1, 1, len(parts) - 1)]
    events = reader.feed("data", parts[0])
    assert sum(event.points for event in events if isinstance(event, Frames)) == 400
    assert sum(isinstance(event, Declared) for event in events) == 1
    if payload is Columnar:
        assert [frame.time for event in events if isinstance(event, Frames) for frame in event.frames] == list(
            range(200)
        )
    assert reader.report().incomplete == 0
    assert reader.feed("data", parts[0])[0] == Duplicate("gw", 1, 1, 0)


def test_a_batch_cut_anew_replaces_what_came_of_the_old_cut():
    reader = ready()
    assert reader.feed("data", parts_of(1, 900)[0]) == []
    events = [event for part in parts_of(1, 500) for event in reader.feed("data", part)]
    assert sum(event.points for event in events if isinstance(event, Frames)) == 400
    assert sum(isinstance(event, Declared) for event in events) == 1


def test_a_batch_that_comes_whole_after_all_settles_its_parts():
    reader = ready()
    reader.feed("data", parts_of(1, 900)[0])
    reader.feed("data", message(1, []))
    assert reader.report().incomplete == 0


def test_batches_in_parts_are_bounded():
    reader = ready(cuts=2)
    for seq in (1, 2, 3):
        reader.feed("data", parts_of(seq, 900)[0])
    assert reader.report().incomplete == 2


def test_json_frames():
    reader = Reader()
    frame = Frame(PRESS_ID, 10**9, [struct.pack("<2h", 12, 7)], quality=bytes([0x40, 0x9C]))
    (part,) = JsonPayload("gw").encode(batch(1, [frame]), 1 << 20, SCHEMAS).parts
    (event,) = reader.feed("data", part)
    assert list(event.rows()) == [DeviceRow("press", "a", 1.2, 0x40, 0, ""), DeviceRow("press", "b", None, 0x9C, 0, "")]
    (json_frame,) = event.frames
    assert isinstance(json_frame, JsonFrame)
    assert json_frame.to_dict() == {"a": 1.2, "b": None}
    assert reader.feed("data", part) == [Duplicate("gw", 1, 1, 0)]
    assert reader.feed("schema", JsonPayload("gw").schema(PRESS.encode())) == []


def test_unknown_quality_labels_are_an_internal_fault():
    frame = JsonFrame("d", "g", "", {"a": 1}, {"a": "from_the_future"})
    assert [row.quality for row in Frames("gw", 1, 1, (frame,)).rows()] == [0x8C]


def test_status_and_cleared_topics():
    reader = Reader()
    assert reader.feed("s", b'{"gateway":"gw","online":true}') == [Status("s", {"gateway": "gw", "online": True})]
    assert reader.feed("s", b"") == []


def damaged_frame() -> bytes:
    return message(1, [Frame(PRESS_ID, 1, [b"123"]), press(1, 2, 3)])


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\x97\x01", "truncated"),
        (msgspec.msgpack.encode((2, "gw", 1, 1, 0, 1, b"")), "version 2"),
        (msgspec.msgpack.encode((1, "gw", 1, 1, 1, 1, b"")), "not possible"),
        (msgspec.msgpack.encode((1, "gw", 1, 0, 0, 1, b"")), "not possible"),
        (msgspec.msgpack.encode((1, "gw", 1, 2**63, 0, 1, b"")), "not possible"),
        (msgspec.msgpack.encode((1, "gw", 1, 1, 0, 10**9, b"")), "not possible"),
        (msgspec.msgpack.encode((1, "gw", 1, 1, 0, 1, b"zstd?")), "zstd"),
        (b'{"frames":[', "truncated"),
        (b'{"frames":[]}', "missing"),
        (b'{"frames":[{"device":1}],"gaps":[],"gateway":"g","epoch":1,"seq":1,"part":0,"parts":1}', "str"),
        (b'{"frames":' + b"[" * 100_000, "recursion"),
        (b"hello", "Expected"),
        (
            msgspec.msgpack.encode({"device": "d", "group": "g", "columns": [{"type": "complex", "names": []}]}),
            "Invalid enum",
        ),
        (Schema("d", "g", (Column(DataType.INT8, ("a", "a")),)).encode(), "twice"),
        (msgspec.msgpack.encode({"device": "d", "group": "g", "columns": [], "version": 9}), "version 9"),
    ],
)
def test_malformed_messages_are_events(payload, words):
    reader = Reader()
    (event,) = reader.feed("topic", payload)
    assert isinstance(event, Malformed)
    assert words in event.reason
    assert event.topic == "topic"
    assert reader.report().malformed == 1
    assert reader.report().batches == 0


def test_one_bad_frame_does_not_take_its_neighbours_along():
    reader = ready()
    frames, bad = reader.feed("data", damaged_frame())
    assert isinstance(frames, Frames)
    assert frames.points == 2
    assert isinstance(bad, Malformed)
    assert bad.reason.startswith("press: ")


def test_gateways_that_a_stranger_invents_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_JOURNALS", 3)
    reader = ready()
    for number in range(10):
        reader.feed("data", message(1, [], gateway=f"gw{number}"))
    assert len(reader.report().journals) == 3
    assert tracking.MAX_JOURNALS == 10_000


GOOD = [message(1, [press(5, 1, 2), oven(6, 1.0)], [Gap("outage", 1, 2)]), PRESS.encode(), *parts_of(2, 900)[:1],
        JsonPayload("gw").encode(batch(3, [press(1, 2, 3)]), 1 << 20, SCHEMAS).parts[0]]  # fmt: skip


@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_messages_never_raise(good, changes, cut):
    data = bytearray(good)
    for place, byte in changes:
        data[place % len(data)] = byte
    reader = ready()
    for event in reader.feed("t", bytes(data[: len(data) - cut] if cut < len(data) and cut % 3 == 0 else data)):
        if isinstance(event, Frames):
            assert len(list(event.rows())) >= 0
            for frame in event.frames:
                if isinstance(frame, FrameView):
                    assert len(frame.times) == frame.size
