"""Normalisation against a plain per-point model of what report by exception promises."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.collect.normalise import Normaliser
from gateway.config.base import Report, TagConfig
from gateway.model.batch import decode_body, encode_body
from gateway.model.frame import Frame, FrameFlag
from gateway.model.quality import Quality
from gateway.model.schema import Schema
from gateway.model.types import DTYPES, DataType
from gateway.sdk.adapter import Plan, Readings, Request
from gateway.wire.registers import Field, RegisterTable

SECOND = 1_000_000_000


def tag(name: str, type: str = "int16", **more: object) -> TagConfig:
    return TagConfig.model_validate({"name": name, "type": type, **more})


def by_values(tags: list[TagConfig], report: Report = Report.CHANGE, heartbeat: float = 0) -> Normaliser:
    """A normaliser for an adapter that hands over Python values."""
    return Normaliser("d", "1s", tags, Plan([Request(tuple(range(len(tags))))]), report, heartbeat)


def poll(norm: Normaliser, values: list[object], clock: int, time: int | None = None, **fail: Quality) -> list[Frame]:
    readings = Readings(len(values), None)
    names = {name: place for place, name in enumerate(fail.pop("names", []))}  # type: ignore[arg-type]
    for place, value in enumerate(values):
        readings.set(place, value)  # type: ignore[arg-type]
    for name, quality in fail.items():
        readings.fail(Request((names[name],)), quality)
    return [frame for frame, _ in norm.frames(readings, time if time is not None else clock, clock)]


def decode(schema: Schema, frame: Frame) -> dict[str, tuple[object, int]]:
    """Tag → (raw value, quality), by struct and nothing of the product."""
    names = schema.names()
    if frame.index is None:
        places = list(range(len(names)))
    else:
        places = list(struct.unpack(f"<{len(frame.index) // 2}H", frame.index))
    flat: list[object] = []
    for column, data in zip(schema.columns, frame.columns, strict=True):
        if isinstance(data, list):
            flat += data
        else:
            code = {"bool": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
                    "int64": "q", "uint64": "Q", "float32": "f", "float64": "d"}[column.type]  # fmt: skip
            flat += struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
    assert len(flat) == len(places)
    quality = frame.quality or bytes(len(places))
    return {names[place]: (value, code) for place, value, code in zip(places, flat, quality, strict=True)}


def test_first_poll_reports_everything_and_an_equal_one_nothing() -> None:
    norm = by_values([tag("a"), tag("b", "string"), tag("c", "float64")])
    (frame,) = poll(norm, [7, "x", 2.5], 1)
    assert frame.index is None
    assert frame.quality is None
    assert decode(norm.schema, frame) == {"a": (7, 0), "b": ("x", 0), "c": (2.5, 0)}
    assert poll(norm, [7, "x", 2.5], 2) == []
    (frame,) = poll(norm, [7, "y", 2.5], 3)
    assert decode(norm.schema, frame) == {"b": ("y", 0)}


def test_register_image_that_did_not_change_is_not_decoded() -> None:
    table = RegisterTable(4, [Field(DataType.UINT16, (1, 0)), Field(DataType.UINT16, (3, 2))])
    plan = Plan([Request((0, 1))], table)
    norm = Normaliser("d", "1s", [tag("a", "uint16"), tag("b", "uint16")], plan, Report.CHANGE, 0)
    readings = Readings(2, table)
    readings.image[:4] = b"\x00\x01\x00\x02"  # type: ignore[index]
    ((frame, points),) = norm.frames(readings, 10, 10)
    assert points == 2
    assert decode(norm.schema, frame) == {"a": (1, 0), "b": (2, 0)}
    assert norm.frames(readings, 20, 20) == []
    assert norm.snapshot().time == 20, "a view sees the time of the confirming read"  # type: ignore[union-attr]
    readings.image[3] = 9  # type: ignore[index]
    ((frame, points),) = norm.frames(readings, 30, 30)
    assert (points, frame.time) == (1, 30)
    assert decode(norm.schema, frame) == {"b": (9, 0)}


def test_scale_is_kept_beside_the_raw_value_and_exact_for_decimals() -> None:
    norm = by_values([tag("t", "int16", scale=0.1, offset=-40, unit="°C")])
    (column,) = norm.schema.columns
    assert (column.multiply, column.divide, column.add, column.units) == (None, (10.0,), (-40.0,), ("°C",))
    assert 3 / column.divide[0] == 0.3  # type: ignore[index]


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("int64", [-(2**63), 2**63 - 1, 2**53 + 1]),
        ("uint64", [2**64 - 1, 0, 2**53 + 1]),
        ("float64", [math.inf, -math.inf, 5e-324]),
        ("float32", [math.inf, -0.0, 1.5]),
        ("string", ["", "星沙", "007"]),
        ("bool", [True, False, True]),
        ("bytes", [b"\0\xff", b"", b"x"]),
    ],
)
def test_extremes_survive(type: str, values: list[object]) -> None:
    norm = by_values([tag("v", type)])
    for clock, value in enumerate(values):
        (frame,) = poll(norm, [value], clock + 1)
        assert decode(norm.schema, frame)["v"] == (value, 0)


def test_nan_is_a_value_and_equal_to_itself() -> None:
    for extra in ({}, {"deadband": 0.5}, {"deadband": "1%"}):
        norm = by_values([tag("v", "float64", **extra)])
        (frame,) = poll(norm, [math.nan], 1)
        assert math.isnan(decode(norm.schema, frame)["v"][0])  # type: ignore[arg-type]
        assert poll(norm, [math.nan], 2) == []
        assert len(poll(norm, [1.0], 3)) == 1, "leaving NaN is a change, whatever the deadband"
        assert len(poll(norm, [math.nan], 4)) == 1


def test_values_that_do_not_fit_are_bad_and_never_invented() -> None:
    norm = by_values([tag("a", "int8"), tag("b", "int16"), tag("c", "float32"), tag("d", "bool"), tag("e", "string")])
    (frame,) = poll(norm, [300, 1.5, 1e300, 7, 5], 1)
    assert decode(norm.schema, frame) == {
        "a": (0, Quality.UNDECODABLE), "b": (0, Quality.UNDECODABLE), "c": (0.0, Quality.UNDECODABLE),
        "d": (0, Quality.UNDECODABLE), "e": (None, Quality.UNDECODABLE),
    }  # fmt: skip
    (frame,) = poll(norm, [None, 1, 1.0, 1, "x"], 2)
    assert decode(norm.schema, frame) == {"b": (1, 0), "c": (1.0, 0), "d": (1, 0), "e": ("x", 0)}


@pytest.mark.parametrize("text", ["\ud800", "half \udc00 a pair", "x" * 1000 + "\udfff"])
def test_text_that_cannot_be_written_is_bad_and_its_batch_goes_on(text: str) -> None:
    norm = by_values([tag("a", "string"), tag("b", "string"), tag("c", "bytes")])
    (frame,) = poll(norm, [text, "压力 \N{GRINNING FACE}\0", b"\xff\xfe"], 1)
    again = decode_body(encode_body([frame])).frames[0]
    assert decode(norm.schema, again) == {
        "a": (None, Quality.UNDECODABLE), "b": ("压力 \N{GRINNING FACE}\0", 0), "c": (b"\xff\xfe", 0),
    }  # fmt: skip


@pytest.mark.parametrize("far", [1 << 63, 1 << 80, -(1 << 80), -(1 << 64) - 1])
def test_a_time_of_another_age_is_not_taken(far: int) -> None:
    norm = by_values([tag("a"), tag("b")])
    readings = Readings(2, None)
    readings.set(0, 1, time=far + (1000 if far > 0 else -1000))
    readings.set(1, 2, time=900)
    ((frame, _),) = norm.frames(readings, 1000, 1)
    assert struct.unpack("<2q", frame.offsets or b"") == (0, -100)


def test_a_failed_tag_is_bad_and_its_neighbours_arrive() -> None:
    norm = by_values([tag("a"), tag("b")])
    names = ["a", "b"]
    (frame,) = poll(norm, [1, 2], 1, names=names, b=Quality.ADDRESS_REFUSED)  # type: ignore[arg-type]
    assert decode(norm.schema, frame) == {"a": (1, 0), "b": (0, Quality.ADDRESS_REFUSED)}
    assert poll(norm, [1, 5], 2, names=names, b=Quality.ADDRESS_REFUSED) == [], "still bad is not news"  # type: ignore[arg-type]
    (frame,) = poll(norm, [1, 5], 3)
    assert decode(norm.schema, frame) == {"b": (5, 0)}


def test_lost_is_said_once_and_recovery_reports_everything() -> None:
    norm = by_values([tag("a"), tag("b", "string")])
    poll(norm, [1, "x"], 1)
    frame = norm.lost(Quality.NOT_CONNECTED, 2)
    assert frame is not None
    assert decode(norm.schema, frame) == {"a": (0, 0x80), "b": (None, 0x80)}
    assert norm.lost(Quality.NOT_CONNECTED, 3) is None
    (frame,) = poll(norm, [1, "x"], 4)
    assert decode(norm.schema, frame) == {"a": (1, 0), "b": ("x", 0)}


def test_range_is_uncertain_and_clamp_limits() -> None:
    tags = [tag("r", "int16", scale=0.1, range=(0, 10)), tag("c", "int16", scale=-0.1, clamp=(-5, 5))]
    norm = by_values(tags)
    (frame,) = poll(norm, [101, 70], 1)
    assert decode(norm.schema, frame) == {"r": (101, Quality.OUT_OF_RANGE), "c": (50, Quality.CLAMPED)}
    (frame,) = poll(norm, [100, -50], 2)
    assert decode(norm.schema, frame) == {"r": (100, 0), "c": (-50, 0)}
    wide = by_values([tag("w", "uint16", range=(-1e9, 1e9)), tag("f", "float32", clamp=(0, 1))])
    (frame,) = poll(wide, [65535, math.nan], 1)
    assert decode(wide.schema, frame)["w"] == (65535, 0)


def test_min_interval_holds_a_change_back_and_lets_it_go_even_if_the_image_rests() -> None:
    table = RegisterTable(2, [Field(DataType.UINT16, (1, 0))])
    plan = Plan([Request((0,))], table)
    norm = Normaliser("d", "1s", [tag("a", "uint16", min_interval="10s")], plan, Report.CHANGE, 0)
    readings = Readings(1, table)
    assert len(norm.frames(readings, 0, 0)) == 1
    readings.image[1] = 5  # type: ignore[index]
    assert norm.frames(readings, 1, 1 * SECOND) == []
    assert norm.frames(readings, 2, 9 * SECOND) == []
    ((frame, _),) = norm.frames(readings, 3, 10 * SECOND)
    assert decode(norm.schema, frame) == {"a": (5, 0)}


def test_max_interval_repeats_the_value_as_read_with_a_fresh_time() -> None:
    norm = by_values([tag("a", max_interval="5s"), tag("b")])
    assert len(poll(norm, [1, 1], 0)) == 1
    assert poll(norm, [1, 1], 4 * SECOND) == []
    (frame,) = poll(norm, [1, 1], 5 * SECOND, time=77)
    assert (decode(norm.schema, frame), frame.time) == ({"a": (1, 0)}, 77)


def test_always_sends_every_read_beside_tags_on_change() -> None:
    norm = by_values([tag("a", report="always"), tag("b")])
    poll(norm, [1, 1], 0)
    (frame,) = poll(norm, [1, 1], 1)
    assert decode(norm.schema, frame) == {"a": (1, 0)}
    norm = by_values([tag("a"), tag("b")], Report.ALWAYS)
    assert all(poll(norm, [1, 1], clock)[0].index is None for clock in range(3))


def test_heartbeat_confirms_what_was_read_and_not_reported() -> None:
    norm = by_values([tag("a"), tag("b"), tag("c")], heartbeat=10)
    names = ["a", "b", "c"]
    poll(norm, [1, 1, 1], SECOND, names=names, c=Quality.BUSY)  # type: ignore[arg-type]
    poll(norm, [2, 1, 1], 5 * SECOND, names=names, c=Quality.BUSY)  # type: ignore[arg-type]
    assert poll(norm, [2, 1, 1], 12 * SECOND, names=names, c=Quality.BUSY) == []  # type: ignore[arg-type]
    (frame,) = poll(norm, [2, 1, 1], 22 * SECOND, time=9, names=names, c=Quality.BUSY)  # type: ignore[arg-type]
    assert frame.flags == FrameFlag.CONFIRMED
    assert (frame.time, frame.index) == (9, struct.pack("<2H", 0, 1)), "a bad tag is not confirmed"
    assert frame.columns == [b""]


def test_source_times_travel_as_offsets() -> None:
    norm = by_values([tag("a"), tag("b")])
    readings = Readings(2, None)
    readings.set(0, 1, time=900)
    readings.set(1, 2)
    ((frame, _),) = norm.frames(readings, 1000, 1)
    assert struct.unpack("<2q", frame.offsets or b"") == (-100, 0)
    assert frame.flags == FrameFlag.SOURCE_TIME


NUMBERS = {
    DataType.INT16: st.integers(-(2**15), 2**15 - 1),
    DataType.UINT64: st.integers(0, 2**64 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.FLOAT64: st.floats(allow_nan=True),
    DataType.STRING: st.text(max_size=4),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_receiver_is_never_further_off_than_the_deadband(data: st.DataObject) -> None:
    """Whatever the machine does, what the receiver holds differs from the truth by no more than the deadband allows."""
    kinds = data.draw(st.lists(st.sampled_from(list(NUMBERS)), min_size=1, max_size=6))
    bands = [
        data.draw(st.sampled_from([0, 0.5, 10, "1%", "50%"])) if kind is not DataType.STRING else 0 for kind in kinds
    ]
    tags = [tag(f"t{place}", kind, deadband=band) for place, (kind, band) in enumerate(zip(kinds, bands, strict=True))]
    norm = by_values(tags)
    held: dict[str, object] = {}
    row = [data.draw(NUMBERS[kind]) for kind in kinds]
    for clock in range(1, data.draw(st.integers(2, 8))):
        place = data.draw(st.integers(0, len(kinds) - 1))
        row[place] = data.draw(NUMBERS[kinds[place]])
        for frame in poll(norm, list(row), clock):
            for name, (value, quality) in decode(norm.schema, frame).items():
                assert quality == 0
                held[name] = value
        for one, truth in zip(tags, row, strict=True):
            assert _close(held[one.name], truth, one)


def _close(held: object, truth: object, one: TagConfig) -> bool:
    if isinstance(truth, str) or not (one.deadband.absolute or one.deadband.percent):
        return held == truth or (held != held and truth != truth)
    a, b = float(held), float(truth)  # type: ignore[arg-type]
    if a == b or (math.isnan(a) and math.isnan(b)):
        return True
    return abs(a - b) <= one.deadband.absolute + one.deadband.percent / 100 * abs(a)


def test_reporting_many_columns_in_part() -> None:
    """Partial frames over several types, checked against numpy's own selection."""
    kinds = [DataType.BOOL, DataType.INT16, DataType.UINT32, DataType.FLOAT32, DataType.STRING] * 7
    tags = [tag(f"t{place}", kind) for place, kind in enumerate(kinds)]
    norm = by_values(tags)
    random = np.random.default_rng(5)
    known: dict[str, object] = {}
    row: list[object] = [_any(kind, random) for kind in kinds]
    for clock in range(1, 40):
        for place in random.integers(0, len(kinds), 3):
            row[place] = _any(kinds[place], random)
        for frame in poll(norm, row, clock):
            known.update({name: value for name, (value, _) in decode(norm.schema, frame).items()})
        assert known == {one.name: value for one, value in zip(tags, row, strict=True)}


def _any(kind: DataType, random: np.random.Generator) -> object:
    if kind is DataType.STRING:
        return str(random.integers(0, 3))
    return DTYPES[kind].type(random.integers(0, 2)).item()
