"""Register tables: any mix of types and places, against struct, one value at a time."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.types import DTYPES, DataType
from gateway.wire.registers import Field, Order, RegisterTable

FORMATS = {
    DataType.INT8: "b", DataType.UINT8: "B", DataType.INT16: "h", DataType.UINT16: "H", DataType.INT32: "i",
    DataType.UINT32: "I", DataType.INT64: "q", DataType.UINT64: "Q", DataType.FLOAT32: "f", DataType.FLOAT64: "d",
}  # fmt: skip
SIZE = 24
FIELDS = st.lists(
    st.one_of(
        st.builds(
            lambda kind, start, order: Field(kind, tuple(start + place for place in Order[order](kind.width))),
            st.sampled_from([kind for kind in FORMATS if kind.width > 1]), st.integers(0, SIZE - 8), st.sampled_from(sorted(Order)),
        ),
        st.builds(lambda kind, start: Field(kind, (start,)), st.sampled_from([DataType.INT8, DataType.UINT8]), st.integers(0, SIZE - 1)),
        st.builds(lambda start, bit: Field(DataType.BOOL, (start,), bit), st.integers(0, SIZE - 1), st.integers(0, 7)),
        st.builds(lambda start: Field(DataType.UINT32, (start, start + 1)), st.integers(0, SIZE - 2)),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def read(field, image):
    data = bytes(image[place] for place in field.at).ljust(field.type.width, b"\0")
    if field.type is DataType.BOOL:
        return data[0] >> field.bit & 1
    return struct.unpack("<" + FORMATS[field.type], data)[0]


@given(FIELDS, st.binary(min_size=SIZE, max_size=SIZE))
def test_packed_columns_hold_what_struct_reads(fields, data):
    table = RegisterTable(SIZE, fields)
    image = table.image()
    assert len(image) == SIZE + 1
    image[:SIZE] = data
    bad = []
    packed = table.packed(image, bad)
    assert len(packed) == table.packed_size == sum(field.type.width for field in fields)
    at = 0
    for kind, first, count in table.layout.columns:
        column = np.frombuffer(packed[at : at + count * kind.width].tobytes(), DTYPES[kind]).tolist()
        at += count * kind.width
        for place, value in enumerate(column):
            want = read(fields[table.layout.order[first + place]], image)
            assert value == want or (math.isnan(value) and math.isnan(want))
    assert bad == []
    assert table.texts(image, bad) == []


@given(st.integers(0, 99_999_999))
def test_decimal_digits(number):
    data = bytes.fromhex(f"{number:08d}")
    table = RegisterTable(4, [Field(DataType.UINT32, (3, 2, 1, 0), bcd=True), Field(DataType.UINT16, (1, 0), bcd=True)])
    bad = []
    packed = table.packed(data + b"\0", bad)
    assert packed[:2].view("<u2")[0] == number // 10_000
    assert packed[2:].view("<u4")[0] == number
    assert bad == []
    packed = table.packed(b"\0\x0a" + data[2:] + b"\0", bad)
    assert bad == [0, 1]
    assert not packed.any()


def test_texts():
    at = tuple(range(6))
    fields = [
        Field(DataType.STRING, at), Field(DataType.BYTES, at), Field(DataType.STRING, at[::-1], encoding="latin-1"),
    ]  # fmt: skip
    table = RegisterTable(6, fields)
    bad = []
    assert sorted(table.texts(b"ab  \0z\0", bad)) == [(0, "ab"), (1, "z"), (2, b"ab  \0z")]
    assert table.texts(b"\xff\xfe\0\0\0\0\0", bad)[0] == (0, None)
    assert bad == [0]
    assert table.packed_size == 0


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field(DataType.UINT16, (3, 4)), "outside the image of 4 bytes"),
        (Field(DataType.UINT16, (-1, 0)), "outside the image"),
        (Field(DataType.UINT16, (0, 1, 2)), "3 bytes, uint16 holds 2"),
    ],
)
def test_fields_that_cannot_be(field, words):
    with pytest.raises(ValueError, match=words):
        RegisterTable(4, [field])
