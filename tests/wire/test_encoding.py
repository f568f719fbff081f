"""Values to bytes: what a register table reads back, and what does not fit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.types import DTYPES, DataType
from gateway.wire.encoding import encode_number, encode_text
from gateway.wire.registers import Field, RegisterTable

WHOLE = [kind for kind in DTYPES if kind.value[:1] in "iu"]


def read_back(kind, data, **more):
    table = RegisterTable(len(data), [Field(kind, tuple(range(len(data))), **more)])
    image = table.image()
    image[: len(data)] = data
    bad = []
    if kind.packed:
        return table.packed(image, bad).view(DTYPES[kind])[0]
    return table.texts(image, bad)[0][1]


@given(st.sampled_from(WHOLE), st.data())
def test_whole_numbers_are_read_back(kind, data):
    bits = 8 * kind.width
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    value = data.draw(st.integers(low, high))
    assert read_back(kind, encode_number("t", kind, value)) == value
    for outside in (low - 1, high + 1):
        with pytest.raises(ValueError, match="does not fit"):
            encode_number("t", kind, outside)


@given(st.floats(allow_nan=False))
def test_real_numbers_are_read_back(value):
    assert read_back(DataType.FLOAT64, encode_number("t", DataType.FLOAT64, value)) == value


@given(st.integers(0, 99_999_999))
def test_decimal_digits_are_read_back(value):
    assert read_back(DataType.UINT32, encode_number("t", DataType.UINT32, value, bcd=True), bcd=True) == value


@pytest.mark.parametrize(
    ("kind", "value", "bcd"),
    [
        (DataType.INT16, 1.5, False), (DataType.INT16, math.nan, False), (DataType.INT16, math.inf, False),
        (DataType.INT16, "7", False), (DataType.FLOAT32, 1e300, False), (DataType.UINT16, 10_000, True), (DataType.UINT16, -1, True),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(kind, value, bcd):
    with pytest.raises(ValueError, match=r"^speed "):
        encode_number("speed", kind, value, bcd=bcd)


def test_texts_are_filled_up_and_not_cut():
    assert encode_text("t", DataType.STRING, "星沙", 6, "gbk") == "星沙".encode("gbk") + b"\0\0"
    assert encode_text("t", DataType.BYTES, b"ab", 2) == b"ab"
    assert read_back(DataType.STRING, encode_text("t", DataType.STRING, "ab", 5)) == "ab"
    for kind, value, encoding, words in (
        (DataType.STRING, "abc", "", "holds 2 bytes"), (DataType.STRING, "星", "ascii", "has no"), (DataType.STRING, b"a", "", "is string"),
        (DataType.BYTES, "a", "", "is bytes"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            encode_text("t", kind, value, 2, encoding)
