"""Addresses as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from adapters.modbus.address import Address, Area

REGISTERS = st.sampled_from([Area.HOLDING, Area.INPUT])
PARTS = st.sampled_from(["", "hi", "lo", *map(str, range(16))])
ADDRESSES = st.one_of(
    st.builds(Address, REGISTERS, st.integers(0, 65_535), PARTS),
    st.builds(Address, st.sampled_from(Area), st.integers(0, 65_535)),
    st.builds(Address, REGISTERS, st.integers(1, 65_536), PARTS, st.just(True)),
    st.builds(Address, st.sampled_from(Area), st.integers(1, 65_536), st.just(""), st.just(True)),
)


@given(ADDRESSES)
def test_what_is_written_is_read_back(address):
    assert Address.parse(str(address)) == address


@given(st.text(max_size=12))
def test_any_text_is_an_address_or_refused_in_words(text):
    words = ""
    try:
        address = Address.parse(text)
    except ValueError as error:
        words = str(error)
    assert len(words) > 20 or Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "area", "offset", "bit"),
    [
        ("hr:100", Area.HOLDING, 100, None),
        ("holding:100", Area.HOLDING, 100, None),
        ("IR:30", Area.INPUT, 30, None),
        ("input:30", Area.INPUT, 30, None),
        (" co:5 ", Area.COIL, 5, None),
        ("coil:5", Area.COIL, 5, None),
        ("di:7", Area.DISCRETE, 7, None),
        ("discrete:7", Area.DISCRETE, 7, None),
        ("hr:100.3", Area.HOLDING, 100, 3),
        ("hr:65535.15", Area.HOLDING, 65_535, 15),
        ("40001", Area.HOLDING, 0, None),
        (40001, Area.HOLDING, 0, None),
        ("400001", Area.HOLDING, 0, None),
        ("465536", Area.HOLDING, 65_535, None),
        ("49999", Area.HOLDING, 9998, None),
        ("30001.15", Area.INPUT, 0, 15),
        ("10008", Area.DISCRETE, 7, None),
        ("00001", Area.COIL, 0, None),
        ("000010", Area.COIL, 9, None),
    ],
)
def test_styles(text, area, offset, bit):
    address = Address.parse(text)
    assert (address.area, address.offset(0), address.bit) == (area, offset, bit)


def test_base_counts_for_prefixes_and_not_for_references():
    assert Address.parse("hr:100").offset(1) == 99
    assert Address.parse("40100").offset(1) == 99
    with pytest.raises(ValueError, match="hr:0 does not exist in a device that counts from 1"):
        Address.parse("hr:0").offset(1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an address such as hr:100"),
        ("hr100", "an address such as hr:100"),
        ("reg:1", "'reg' is no area"),
        ("hr:70000", "outside 0 to 65535"),
        ("40000", "outside 1 to 65536"),
        ("hr:1.16", "bits 0 to 15"),
        ("hr:1.x", "bits 0 to 15"),
        ("hr:1.010", "an address such as hr:100"),
        ("co:1.1", "a coil is one bit"),
        ("10001.1", "a discrete input is one bit"),
        ("20001", "an address such as hr:100"),
        (17, "an address such as hr:100"),
        (True, "an address such as hr:100"),
        (None, "an address such as hr:100"),
        (40001.1, "write an address with a bit in quotes"),
    ],
)
def test_refusals_say_what_is_expected(text, words):
    with pytest.raises(ValueError, match=words):
        Address.parse(text)


def test_as_a_field_type():
    field = TypeAdapter(Address)
    assert field.validate_python("hr:5") == Address(Area.HOLDING, 5)
    assert field.dump_json(Address(Area.HOLDING, 5)) == b'"hr:5"'
    assert field.json_schema()["anyOf"][0]["examples"][0] == "hr:100"
    with pytest.raises(ValidationError, match="an address such as"):
        field.validate_python("?")
