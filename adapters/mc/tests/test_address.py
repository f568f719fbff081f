"""Addresses: as people write them, in three bases, and back again."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mc.address import AREAS, LAST, Address, Kind

GOOD = {
    "D100": ("D", 100, None),
    "d100.f": ("D", 100, 15),
    "W1A.3": ("W", 26, 3),
    "X1F": ("X", 31, None),
    "X0FF": ("X", 255, None),
    "XFF": ("X", 255, None),
    "B1F": ("B", 31, None),
    "SB1F": ("SB", 31, None),
    "SW0A": ("SW", 10, None),
    "DX1F": ("DX", 31, None),
    "ZR32768": ("ZR", 32768, None),
    "TN5": ("TN", 5, None),
    "STS7": ("STS", 7, None),
    "SS7": ("STS", 7, None),
    "SC7": ("STC", 7, None),
    "SN7": ("STN", 7, None),
    "S10": ("S", 10, None),
    "SD10": ("SD", 10, None),
    "LTN3": ("LTN", 3, None),
    " M007 ": ("M", 7, None),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_people_write(text):
    address = Address.parse(text)
    assert (address.area.name, address.number(octal=False), address.bit) == GOOD[text]
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("T5", r"TS \(contact\), TC \(coil\) or TN"),
        ("ST5", "STS"),
        ("C1", "CN"),
        ("LT1", "LTN"),
        ("LST1", "LSTN"),
        ("LC1", "LCN"),
        ("M7.1", "M is one bit"),
        ("LTN7.1", "LTN is two words"),
        ("D1.10", "no device"),
        ("D", "no device"),
        ("Q1", "no device"),
        ("D1A", "no device"),
        ("100", "no device"),
        ("D16777216", "as large"),
        ("D٣", "no device"),
        ("", "such as D100"),
    ],
)
def test_what_is_none(text, says):
    with pytest.raises(ValueError, match=says):
        Address.parse(text)


def test_x_and_y_are_octal_on_iq_f():
    assert Address.parse("X20").number(octal=True) == 16
    assert Address.parse("X20").number(octal=False) == 32
    assert Address.parse("B20").number(octal=True) == 32
    for text in ("X8", "Y19", "X0F"):
        with pytest.raises(ValueError, match="octal"):
            Address.parse(text).number(octal=True)
    matters = {text: Address.parse(text).counting_matters for text in ("X7", "X8", "X10", "YF", "B10", "DX10", "M10")}
    assert matters == {"X7": False, "X8": True, "X10": True, "YF": True, "B10": False, "DX10": False, "M10": False}


addresses = st.builds(
    lambda area, number, bit: Address(
        area, f"{number:X}" if area.base == 16 else str(number), bit if area.kind is Kind.WORD else None
    ),
    st.sampled_from(sorted(AREAS.values(), key=lambda area: area.name)),
    st.integers(0, LAST),
    st.none() | st.integers(0, 15),
)


@given(addresses)
def test_parse_is_the_inverse_of_format(address):
    assert Address.parse(str(address)) == address
    assert Address.parse(str(address).lower()) == address


@given(st.text(max_size=12))
def test_any_text_is_an_address_or_an_error(text):
    with suppress(ValueError):
        assert Address.parse(str(Address.parse(text))) == Address.parse(text)


def test_the_table_of_devices():
    """Codes of each device are its own, in binary and in both ASCII forms."""
    assert len({area.code for area in AREAS.values()}) == len(AREAS)
    short = [area.short for area in AREAS.values() if area.short]
    assert len(set(short)) == len(short)
    assert all(1 <= len(area.long) <= 4 and len(area.short) <= 2 for area in AREAS.values())
    assert {area.name for area in AREAS.values() if not area.random} == {
        "TS", "TC", "STS", "STC", "CS", "CC", "LCS", "LCC",
    }  # fmt: skip
