"""From the types of OPC UA to those of tags, and back."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua.codec import EPOCH, FIXED, Reader
from adapters.opcua.columns import Column
from adapters.opcua.spread import kinds_of, spread
from adapters.opcua.values import BUILT_IN, fit, variant
from gateway.sdk import DataType, Quality


def column(kind, values, statuses=None):
    if kind in FIXED and not isinstance(values, list):
        values = np.asarray(values)
    codes = None if statuses is None else np.array(statuses, np.uint32)
    return Column(np.arange(len(values), dtype=np.uint32), kind, values, codes, None)


@pytest.mark.parametrize(
    ("wire", "values", "tag", "expected"),
    [
        (12, ["a", None], DataType.STRING, ["a", Quality.NOT_AVAILABLE]),
        (12, ["a"], DataType.BYTES, [b"a"]),
        (12, ["1.5"], DataType.FLOAT64, [Quality.UNDECODABLE]),
        (15, [b"ab", b"\xff"], DataType.STRING, ["ab", Quality.UNDECODABLE]),
        (15, [b"ab"], DataType.BYTES, [b"ab"]),
        (6, [[7]], DataType.INT32, [7]),
        (6, [[7, 8]], DataType.INT32, [Quality.UNDECODABLE]),
        (6, [[7, 8]], DataType.STRING, ["[7, 8]"]),
        (15, [[b"\1", b"\2"]], DataType.STRING, ['["01", "02"]']),
        (1, [[True]], DataType.STRING, ["true"]),
        (10, [[1.5], [2.5]], DataType.FLOAT32, [1.5, 2.5]),
        (6, [[-1], [2]], DataType.INT64, [-1, 2]),
        (9, [[2**64 - 1]], DataType.UINT64, [2**64 - 1]),
        (0, [None], DataType.FLOAT64, [Quality.NOT_AVAILABLE]),
        (22, [b"body"], DataType.BYTES, [b"body"]),
    ],
)  # fmt: skip
def test_values_that_come_one_by_one(wire, values, tag, expected):
    found, codes = fit(tag, column(wire, values))
    listed = found.tolist() if isinstance(found, np.ndarray) else found
    codes = [0] * len(listed) if codes is None else codes.tolist()
    shown = [value if code == 0 else Quality(code) for value, code in zip(listed, codes, strict=True)]
    assert shown == expected


def test_columns_of_numbers_stay_as_they_are():
    values = np.array([1.5, 2.5])
    assert fit(DataType.FLOAT32, column(11, values))[0] is values
    assert fit(DataType.STRING, column(11, values))[0] == ["1.5", "2.5"]
    assert fit(DataType.STRING, column(1, np.array([True])))[0] == ["true"]
    found, codes = fit(DataType.BYTES, column(11, values))
    assert (found, codes.tolist()) == ([None, None], [Quality.UNDECODABLE] * 2)


def test_times():
    moment = EPOCH + 16_000_000_000_000_000
    times = np.array([moment], np.int64)
    assert fit(DataType.INT64, column(13, times))[0].tolist() == [1_600_000_000 * 10**9]
    assert fit(DataType.FLOAT64, column(13, times))[0].tolist() == [1_600_000_000.0]
    assert fit(DataType.STRING, column(13, times))[0] == ["2020-09-13T12:26:40+00:00"]
    assert fit(DataType.BYTES, column(13, times))[0] == [None]


def test_a_bad_status_explains_the_missing_value():
    found, codes = fit(DataType.FLOAT64, column(0, [None, None], [0x808C0000, 0]))
    assert codes.tolist() == [Quality.SENSOR_FAILURE, Quality.NOT_AVAILABLE]
    assert len(found) == 2


class Taken:
    def __init__(self):
        self.calls = []

    def __call__(self, tags, values, *, quality=None, times=None):
        self.calls.append((tags.tolist(), values.tolist() if isinstance(values, np.ndarray) else values))


class Tag:
    def __init__(self, kind):
        self.type = kind


def test_tags_of_different_types_in_one_column():
    kinds = kinds_of([Tag(DataType.INT32), Tag(DataType.STRING), Tag(DataType.INT32)])
    taken = Taken()
    spread(column(6, np.array([5, 6, 7])), np.array([2, 1, 0]), kinds, taken)
    assert sorted(taken.calls) == [([1], ["6"]), ([2, 0], [5, 7])]


NUMBERS = {
    kind: st.integers(*((0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)))
    for kind in DataType
    if "int" in kind
    for bits in [8 * kind.width]
}


@given(st.sampled_from(sorted(NUMBERS)).flatmap(lambda kind: st.tuples(st.just(kind), NUMBERS[kind])))
def test_what_is_written_is_what_would_be_read(pair):
    kind, value = pair
    assert Reader(variant(BUILT_IN[DataType(kind)], value)).variant() == (BUILT_IN[DataType(kind)], value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (2, 128),
        (3, -1),
        (6, 1.5),
        (6, "1"),
        (10, 1e300),
        (12, b"x"),
        (15, "x"),
        (12, 1),
        (14, "x"),
        (22, b"x"),
        (5, 70_000),
    ],
)
def test_what_does_not_fit_is_not_written(kind, value):
    with pytest.raises(ValueError, match=r"fit|number|written"):
        variant(kind, value)


def test_writing_times_and_localized_texts():
    assert Reader(variant(13, 1_600_000_000 * 10**9)).variant() == (13, EPOCH + 16_000_000_000_000_000)
    assert Reader(variant(21, "水")).variant() == (21, "水")
    assert Reader(variant(1, 2)).variant() == (1, True)
    assert Reader(variant(6, 7.0)).variant() == (6, 7)
    assert variant(11, 1)[1:] == struct.pack("<d", 1.0)
