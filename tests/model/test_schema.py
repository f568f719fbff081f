"""Schemas: identity by content, exact decimal scales, layout by type."""

from __future__ import annotations

from decimal import Decimal

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.schema import Layout, Scale, decode_schema, schema_id
from gateway.model.types import DTYPES, DataType

KINDS = st.lists(st.sampled_from(list(DataType)), min_size=1, max_size=40)


def schema_of(kinds: list[DataType], unit: str = "", factor: float = 1.0):
    names = [f"t{place}" for place in range(len(kinds))]
    return Layout(kinds).schema("press-1", "1s", names, [Scale.of(factor)] * len(kinds), [unit] * len(kinds))


@given(KINDS)
def test_layout_groups_by_type_and_keeps_the_order_within(kinds: list[DataType]) -> None:
    layout = Layout(kinds)
    assert sorted(layout.order) == list(range(len(kinds)))
    assert [layout.position[tag] for tag in layout.order] == list(range(len(kinds)))
    assert sum(count for _, _, count in layout.columns) == len(kinds)
    for kind, first, count in layout.columns:
        tags = layout.order[first : first + count]
        assert tags == sorted(tags)
        assert all(kinds[tag] is kind for tag in tags)
    assert len({kind for kind, _, _ in layout.columns}) == len(layout.columns)


@given(KINDS)
def test_a_schema_survives_its_bytes_and_names_itself_by_them(kinds: list[DataType]) -> None:
    schema = schema_of(kinds)
    again = decode_schema(schema.encode())
    assert again == schema
    assert schema_id(again.encode()) == schema_id(schema.encode())
    assert schema.size == len(schema.names()) == len(kinds)


def test_any_difference_gives_another_id() -> None:
    kinds = [DataType.INT16, DataType.STRING]
    several = [schema_of(kinds), schema_of(kinds, unit="bar"), schema_of(kinds, factor=0.1), schema_of(kinds[::-1])]
    assert len({schema_id(schema.encode()) for schema in several}) == 4
    assert len(schema_id(several[0].encode())) == 8


def test_the_bytes_are_a_plain_map_for_any_decoder() -> None:
    assert msgpack.unpackb(schema_of([DataType.INT16], unit="°C", factor=0.1).encode()) == {
        "device": "press-1",
        "group": "1s",
        "columns": [{"type": "int16", "names": ["t0"], "divide": [10.0], "units": ["°C"]}],
    }


@pytest.mark.parametrize("data", [b"", b"\xc1", msgpack.packb({"device": 1}), msgpack.packb([1, 2])])
def test_what_is_no_schema_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_schema(data)


def test_a_newer_version_is_refused_by_name() -> None:
    newer = msgpack.packb({"device": "d", "group": "g", "columns": [], "version": 9})
    with pytest.raises(msgspec.ValidationError, match="version 9"):
        decode_schema(newer)


@given(st.integers(-99_999, 99_999).filter(bool), st.integers(1, 6), st.integers(-(2**31), 2**31))
def test_a_decimal_factor_gives_the_nearest_double(digits: int, places: int, raw: int) -> None:
    factor = float(Decimal(digits).scaleb(-places))
    assert Scale.of(factor).apply(raw) == float(raw * Decimal(repr(factor)))


@pytest.mark.parametrize("factor", [3.0, 1e30, 1 / 3, 1e-300, 2.0**-40])
def test_other_factors_stay_as_they_are(factor: float) -> None:
    scale = Scale.of(factor, 5.0)
    assert scale.apply(7) == pytest.approx(7 * factor + 5, rel=1e-15)


def test_identity() -> None:
    assert Scale.of(1.0).identity
    assert not Scale.of(1.0, 0.1).identity


def test_every_packed_type_has_its_width() -> None:
    assert {kind for kind in DataType if not kind.packed} == {DataType.STRING, DataType.BYTES}
    assert all(kind.width == DTYPES[kind].itemsize for kind in DTYPES)
    assert DataType.STRING.width == 0
