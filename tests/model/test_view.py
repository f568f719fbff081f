"""FrameView against a per-value model written without numpy, and against frames that do not fit their schema."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.frame import Frame, FrameFlag
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType
from gateway.model.view import FrameView, Row, SchemaLayout, slice_frame

FORMATS = {
    DataType.BOOL: "B",
    DataType.INT8: "b",
    DataType.UINT8: "B",
    DataType.INT16: "h",
    DataType.UINT16: "H",
    DataType.INT32: "i",
    DataType.UINT32: "I",
    DataType.INT64: "q",
    DataType.UINT64: "Q",
    DataType.FLOAT32: "f",
    DataType.FLOAT64: "d",
}


def raw_values(kind: DataType) -> st.SearchStrategy:
    if kind is DataType.BOOL:
        return st.integers(0, 1)
    if kind is DataType.STRING:
        return st.text(max_size=5)
    if kind is DataType.BYTES:
        return st.binary(max_size=5)
    if kind in {DataType.FLOAT32, DataType.FLOAT64}:
        return st.floats(width=32 if kind is DataType.FLOAT32 else 64)
    bits = 8 * kind.width
    return (
        st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind.startswith("int") else st.integers(0, 2**bits - 1)
    )


scales = st.tuples(
    st.sampled_from([1.0, 1.0, 3.0, -2.5]), st.sampled_from([1.0, 1.0, 10.0, 1000.0]), st.sampled_from([0.0, 0.0, 0.5])
)


@st.composite
def readings(draw):
    """A schema, a frame, and the rows it must give."""
    kinds = draw(st.lists(st.sampled_from(list(DataType)), min_size=1, max_size=4, unique=True))
    columns, packed, rows, index = [], [], [], []
    time = draw(st.integers(-(2**62), 2**62))
    whole = draw(st.booleans())
    position = 0
    for kind in kinds:
        count = draw(st.integers(1, 4))
        names = tuple(f"{kind}.{number}" for number in range(count))
        numeric = kind in FORMATS and kind is not DataType.BOOL
        scaled = numeric and draw(st.booleans())
        by_tag = [draw(scales) if scaled else (1.0, 1.0, 0.0) for _ in names]
        units = tuple(draw(st.sampled_from(["", "bar"])) for _ in names)
        columns.append(
            Column(
                kind,
                names,
                tuple(scale[0] for scale in by_tag) if scaled else None,
                tuple(scale[1] for scale in by_tag) if scaled else None,
                tuple(scale[2] for scale in by_tag) if scaled else None,
                units,
            )
        )
        present = [number for number in range(count) if whole or draw(st.booleans())]
        raws = [draw(raw_values(kind)) for _ in present]
        packed.append(struct.pack(f"<{len(raws)}{FORMATS[kind]}", *raws) if kind in FORMATS else raws)
        for number, raw in zip(present, raws, strict=True):
            multiply, divide, add = by_tag[number]
            value = bool(raw) if kind is DataType.BOOL else raw
            if (multiply, divide, add) != (1.0, 1.0, 0.0):
                value = float(raw) * multiply / divide + add
            rows.append([names[number], value, units[number]])
            index.append(position + number)
        position += count
    qualities = draw(
        st.none() | st.lists(st.sampled_from([0, 0x40, 0x81, 0xFF]), min_size=len(rows), max_size=len(rows))
    )
    offsets = draw(st.none() | st.lists(st.integers(-(2**40), 2**40), min_size=len(rows), max_size=len(rows)))
    frame = Frame(
        b"12345678",
        time,
        packed,
        None if whole else struct.pack(f"<{len(index)}H", *index),
        None if qualities is None else bytes(qualities),
        None if offsets is None else struct.pack(f"<{len(offsets)}q", *offsets),
        draw(st.sampled_from([0, FrameFlag.SOURCE_TIME])),
    )
    expected = []
    for number, (name, value, unit) in enumerate(rows):
        quality = qualities[number] if qualities else 0
        at = time + (offsets[number] if offsets else 0)
        expected.append(Row(name, None if quality >= 0x80 else value, quality, at, unit))
    return Schema("press", "fast", tuple(columns)), frame, expected


def same(left, right) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    return type(left) is type(right) and left == right


def assert_rows(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one._replace(value=0) == other._replace(value=0)
        assert same(one.value, other.value), (one, other)


@given(readings())
def test_rows_are_those_of_the_model(reading):
    schema, frame, expected = reading
    view = FrameView(schema, frame)
    assert_rows(list(view.rows()), expected)
    assert view.size == view.points == len(expected)
    assert (view.device, view.group, view.time) == ("press", "fast", frame.time)
    assert list(view.to_dict()) == view.tags == [row.tag for row in expected]
    flat = [
        value
        for column in view.columns
        for value in (column.values if isinstance(column.values, list) else column.values.tolist())
    ]
    for row, value in zip(expected, flat, strict=True):
        if row.value is not None:
            assert same(row.value, value) or float(row.value) == float(value)  # exact integers beside scaled ones
    for column in view.columns:
        assert column.type in DataType
        assert column.last - column.first == len(column.raw)


@given(readings(), st.data())
def test_slices_hold_together_what_the_frame_held(reading, data):
    schema, frame, expected = reading
    if not expected:
        return
    layout = SchemaLayout(schema)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(expected)), max_size=3)) | {len(expected)})
    rows, first = [], 0
    for last in cuts:
        part = slice_frame(layout, frame, first, last)
        assert part.flags == frame.flags
        rows += FrameView(layout, part).rows()
        first = last
    assert_rows(rows, expected)


def test_arrays_are_views_of_the_frame_and_cannot_be_written():
    schema = Schema("d", "g", (Column(DataType.INT16, ("a", "b")),))
    packed = struct.pack("<2h", 1, -2)
    view = FrameView(schema, Frame(b"", 0, [packed]))
    raw = view.columns[0].raw
    assert raw.base is not None
    assert not raw.flags.writeable
    assert view.columns[0].values is raw


def test_a_tag_without_scale_is_left_alone_by_its_neighbours():
    scale = {"multiply": (1.0, 2.0), "divide": (1.0, 1.0), "add": (0.0, 0.5)}
    columns = (Column(DataType.FLOAT64, ("a", "b"), **scale), Column(DataType.INT64, ("c", "d"), **scale))
    view = FrameView(
        Schema("d", "g", columns), Frame(b"", 0, [struct.pack("<2d", -0.0, 3), struct.pack("<2q", 2**63 - 1, 3)])
    )
    assert [repr(row.value) for row in view.rows()] == ["-0.0", "6.5", "9223372036854775807", "6.5"]
    assert math.copysign(1, view.columns[0].values[0]) == -1


def test_wide_schemas_have_a_wide_index():
    names = tuple(map(str, range(70_000)))
    layout = SchemaLayout(Schema("d", "g", (Column(DataType.UINT8, names),)))
    frame = Frame(b"", 5, [b"\x07\x08"], struct.pack("<2I", 0, 69_999))
    assert [(row.tag, row.value) for row in FrameView(layout, frame).rows()] == [("0", 7), ("69999", 8)]
    part = slice_frame(layout, frame, 1, 2)
    assert part.index == struct.pack("<I", 69_999)


def test_confirmation_has_tags_and_no_values():
    schema = Schema("d", "g", (Column(DataType.INT16, ("a", "b")), Column(DataType.STRING, ("c",))))
    frame = Frame(b"", 9, [b"", []], struct.pack("<2H", 0, 2), flags=FrameFlag.CONFIRMED)
    view = FrameView(schema, frame)
    assert view.confirmed
    assert view.tags == ["a", "c"]
    assert list(view.rows()) == []
    assert (view.points, view.size) == (0, 2)
    half = slice_frame(schema, frame, 1, 2)
    assert FrameView(schema, half).tags == ["c"]


TWO = Schema(
    "d", "g", (Column(DataType.INT16, ("a", "b")), Column(DataType.STRING, ("c",)), Column(DataType.BYTES, ("d",)))
)
GOOD = Frame(b"", 0, [b"1234", ["x"], [b"y"]])


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame(b"", 0, [b"1234", ["x"]]), "2 columns, its schema 3"),
        (Frame(b"", 0, [b"123", ["x"], [b"y"]]), "2 packed values of 2 bytes"),
        (Frame(b"", 0, [b"", ["x"], [b"y"]]), "2 packed values"),
        (Frame(b"", 0, [["a", "b"], ["x"], [b"y"]]), "2 packed values"),
        (Frame(b"", 0, [b"1234", b"x", [b"y"]]), "list of 1"),
        (Frame(b"", 0, [b"1234", ["x", "y"], [b"y"]]), "list of 1"),
        (Frame(b"", 0, [b"1234", [b"x"], [b"y"]]), "not str"),
        (Frame(b"", 0, [b"1234", ["x"], ["y"]]), "not bytes"),
        (Frame(b"", 0, [b"12", [], []], b"\x00"), "not a multiple of 2"),
        (Frame(b"", 0, [b"12", [], []], struct.pack("<H", 4)), "does not ascend"),
        (Frame(b"", 0, [b"1234", [], []], struct.pack("<2H", 1, 1)), "does not ascend"),
        (Frame(b"", 0, [b"1234", [], []], struct.pack("<2H", 1, 0)), "does not ascend"),
        (Frame(b"", 0, GOOD.columns, quality=b"\0"), "4 values and 1 quality"),
        (Frame(b"", 0, GOOD.columns, offsets=b"\0" * 8), "4 values and 8 bytes"),
        (Frame(b"", 2**63, GOOD.columns), "not a 64-bit"),
        (Frame(b"", 2**63 - 1, GOOD.columns, offsets=struct.pack("<4q", 0, 0, 0, 1)), "leaves the 64-bit"),
        (Frame(b"", -(2**63), GOOD.columns, offsets=struct.pack("<4q", 0, 0, -1, 0)), "leaves the 64-bit"),
        (Frame(b"", 0, GOOD.columns, flags=1), "carries values as well"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame, words):
    with pytest.raises(ValueError, match=words):
        FrameView(TWO, frame)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((Column(DataType.INT16, ("a", "a")),), "twice"),
        ((Column(DataType.INT16, ("a",)), Column(DataType.INT8, ("a",))), "twice"),
        ((Column(DataType.INT16, ("a",), multiply=(1.0, 2.0)),), "2 entries in multiply"),
        ((Column(DataType.INT16, ("a",), units=()),), "0 entries in units"),
        ((Column(DataType.INT16, ("a",), divide=(0.0,)),), "divides by 0"),
        ((Column(DataType.STRING, ("a",), add=(1.0,)),), "cannot be scaled"),
        ((Column(DataType.BOOL, ("a",), add=(1.0,)),), "cannot be scaled"),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(columns, words):
    with pytest.raises(ValueError, match=words):
        SchemaLayout(Schema("d", "g", columns))


@pytest.mark.parametrize("place", [(0, 0), (-1, 2), (0, 5), (3, 2)])
def test_slices_lie_within_the_frame(place):
    with pytest.raises(ValueError, match="of 4"):
        slice_frame(TWO, GOOD, *place)


@given(
    st.binary(max_size=40),
    st.none() | st.binary(max_size=8),
    st.none() | st.binary(max_size=4),
    st.none() | st.binary(max_size=32),
)
def test_hostile_frames_are_read_or_refused(packed, index, quality, offsets):
    try:
        view = FrameView(TWO, Frame(b"", 0, [packed, ["x"], []], index, quality, offsets))
    except ValueError:
        return
    assert len(list(view.rows())) == view.size
