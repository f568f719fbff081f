"""Addresses: what people write, what is refused and where, and that writing and reading are inverse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters.mqtt.address import DEEPEST, WHOLE, Address

STEPS = st.lists(st.text(min_size=0, max_size=8) | st.integers(0, 999_999), max_size=DEEPEST)
METRICS = st.text(min_size=1, max_size=40).filter(lambda text: not text.startswith("$"))


@settings(deadline=None)
@given(STEPS)
def test_a_path_survives_being_written(steps):
    address = Address(tuple(steps))
    if len(str(address)) <= 1024:
        assert Address.parse(str(address)) == address


@settings(deadline=None)
@given(METRICS)
def test_a_metric_survives_being_written(name):
    address = Address.parse(name)
    assert address == Address(metric=name)
    assert Address.parse(str(address)) == address


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_accepted_is_written_as_something_equal(text):
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.a", ("a",)),
        ("$.a.b[0].c", ("a", "b", 0, "c")),
        ("$['odd name'][\"it's\"]", ("odd name", "it's")),
        (r"$['a\'b\\']", ("a'b\\",)),
        ("$.温度", ("温度",)),
        ("$.a-b", ("a-b",)),
    ],
)
def test_what_people_write(text, steps):
    assert Address.parse(text).steps == steps


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("$a", 2),
        ("$.a.", 4),
        ("$.a[-1]", 4),
        ("$.a[01]", 4),
        ("$.1a", 2),
        ("$['a]", 2),
        ("$.a b", 4),
        ("$.a[1234567]", 4),
    ],
)
def test_an_error_names_the_column(text, column):
    with pytest.raises(ValueError, match=rf"column {column} "):
        Address.parse(text)


@pytest.mark.parametrize("value", ["", None, 3, 1.5, True, "$" + ".a" * 33, "x" * 1025])
def test_what_is_no_address(value):
    with pytest.raises(ValueError):
        Address.parse(value)


def test_in_a_model():
    adapter = TypeAdapter(Address)
    assert adapter.validate_python("$.a") == Address(("a",))
    assert adapter.validate_python(WHOLE) is WHOLE
    assert adapter.dump_json(Address(("a", 0))) == b'"$.a[0]"'
    assert adapter.json_schema()["type"] == "string"
