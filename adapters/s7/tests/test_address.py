"""Addresses as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from adapters.s7.address import Address, Area

FLAT = st.sampled_from([Area.INPUT, Area.OUTPUT, Area.MERKER, Area.VARIABLE])
BYTES = st.integers(0, 65_535)
SIZES = st.sampled_from("BWDL")
ADDRESSES = st.one_of(
    st.builds(Address, FLAT, BYTES, SIZES),
    st.builds(Address, st.just(Area.PERIPHERY), BYTES, SIZES),
    st.builds(Address, FLAT, BYTES, st.just("X"), st.integers(0, 7)),
    st.builds(Address, st.just(Area.DATA_BLOCK), BYTES, SIZES, st.just(0), st.integers(1, 65_535)),
    st.builds(Address, st.just(Area.DATA_BLOCK), BYTES, st.just("X"), st.integers(0, 7), st.integers(1, 65_535)),
    st.builds(Address, st.sampled_from([Area.TIMER, Area.COUNTER]), BYTES, st.just("")),
)


@given(ADDRESSES)
def test_what_is_written_is_read_back(address):
    assert Address.parse(str(address)) == address


@given(st.one_of(st.text(max_size=12), st.from_regex(r"%?[DBIEQAMVTCZPXWL0-9.,]{1,12}", fullmatch=True)))
def test_any_text_is_an_address_or_refused_in_words(text):
    words = ""
    try:
        address = Address.parse(text)
    except ValueError as error:
        words = str(error)
    assert len(words) > 20 or Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "canonical", "place", "offset"),
    [
        ("DB1.DBX0.3", "DB1.DBX0.3", (0x84, 1), 0),
        ("db12.dbb4", "DB12.DBB4", (0x84, 12), 4),
        ("DB1.DBW6", "DB1.DBW6", (0x84, 1), 6),
        ("%DB1.DBD8", "DB1.DBD8", (0x84, 1), 8),
        ("DB1,DBL16", "DB1.DBL16", (0x84, 1), 16),
        ("DB1,X0.3", "DB1.DBX0.3", (0x84, 1), 0),
        ("DB1 . DBW 6", "DB1.DBW6", (0x84, 1), 6),
        ("M10.2", "M10.2", (0x83, 0), 10),
        ("MX10.2", "M10.2", (0x83, 0), 10),
        ("MW20", "MW20", (0x83, 0), 20),
        ("%I0.0", "I0.0", (0x81, 0), 0),
        ("E0.0", "I0.0", (0x81, 0), 0),
        ("EW64", "IW64", (0x81, 0), 64),
        ("A3.7", "Q3.7", (0x82, 0), 3),
        ("QB1", "QB1", (0x82, 0), 1),
        ("PIW256", "PIW256", (0x80, 0), 256),
        ("PEW256", "PIW256", (0x80, 0), 256),
        ("V100.0", "V100.0", (0x84, 1), 100),
        ("VW100", "VW100", (0x84, 1), 100),
        ("T5", "T5", (0x1D, 0), 10),
        ("C3", "C3", (0x1C, 0), 6),
        ("Z3", "C3", (0x1C, 0), 6),
    ],
)
def test_styles(text, canonical, place, offset):
    address = Address.parse(text)
    assert (str(address), address.place, address.offset) == (canonical, place, offset)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("D100", "no address"),
        ("DB1", "no address"),
        ("DB1.DBX0", "a bit needs its number"),
        ("M10", "a bit needs its number"),
        ("DB1.DBW0.3", "is no bit"),
        ("DB1.DBX0.8", "bits 0 to 7"),
        ("DB0.DBW0", "numbers 1 to 65535"),
        ("DB70000.DBW0", "numbers 1 to 65535"),
        ("MW70000", "last place"),
        ("PI0.0", "periphery"),
        ("T70000", "last place"),
        (7, "an address such as"),
        (None, "an address such as"),
        (1.5, "an address such as"),
    ],
)
def test_what_is_no_address(text, words):
    with pytest.raises(ValueError, match=words):
        Address.parse(text)


def test_as_a_field():
    adapter = TypeAdapter(Address)
    assert adapter.dump_json(adapter.validate_python("mw20")) == b'"MW20"'
    assert adapter.validate_python(Address.parse("MW20")) == Address.parse("MW20")
    assert adapter.json_schema()["type"] == "string"
    with pytest.raises(ValidationError, match="expected an address such as"):
        adapter.validate_python("X")
