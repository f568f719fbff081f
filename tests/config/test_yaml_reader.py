"""The YAML reader: core schema, what is refused, and where."""

import math
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import yaml_reader
from gateway.config.positions import locate
from gateway.config.yaml_reader import read


def value(text):
    found, problems = read(text.encode())
    assert problems == []
    return found


def problem(data):
    _, problems = read(data if isinstance(data, bytes) else data.encode())
    assert len(problems) == 1
    return problems[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False),
        ("~", None), ("null", None), ("", None),
        ("12", 12), ("-7", -7), ("+7", 7), ("017", 17), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("12:30", "12:30"),
        ("0.1", 0.1), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015), (".inf", math.inf), ("-.INF", -math.inf),
        ("1.2.3", "1.2.3"), ("10.0.0.5", "10.0.0.5"), ("2026-01-01", "2026-01-01"), ("1%", "1%"), ("°C", "°C"),
        ("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"), ("!!int '12'", 12), ("!!float 12", 12.0), ("! 12", "12"),
        ("!!bool 'true'", True), ("!!null ''", None),
    ],
)  # fmt: skip
def test_scalars_of_the_core_schema(text, expected):
    found = value(f"a: {text}")["a"]
    assert found == expected
    assert type(found) is type(expected)


def test_nan_is_a_number():
    assert math.isnan(value("a: .nan")["a"])


def test_keys_are_text_whatever_they_look_like():
    assert value("1: a\ntrue: b\nnull: c\n0x10: d\n'': e") == {"1": "a", "true": "b", "null": "c", "0x10": "d", "": "e"}


def test_merge_keys():
    text = """
a: &a {x: 1, y: 2}
b: &b {y: 3, z: 4}
own: {<<: *a, y: 9}
two: {<<: [*a, *b]}
quoted: {"<<": 5}
"""
    found = value(text)
    assert found["own"] == {"x": 1, "y": 9}
    assert found["two"] == {"x": 1, "y": 2, "z": 4}
    assert found["quoted"] == {"<<": 5}


def test_scalar_and_list_anchors():
    assert value("a: &s 5\nb: [*s, *s]\nc: &l [1, [2]]\nd: *l") == {"a": 5, "b": [5, 5], "c": [1, [2]], "d": [1, [2]]}


def test_empty_documents_are_nothing():
    assert [value(text) for text in ("", "# comment\n", "---\n", "---\n...\n")] == [None] * 4


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1), "each key once"),
        ("a:\n\tb: 1", (2, 1), "spaces for indentation"),
        ("a:\n  b: 1\n  c 2\n  d: 3", (3, 3), "'key: value'"),
        ("a:\n  c 2\n  d: 3", (2, 3), "'key: value'"),
        ("a: b: c", (1, 5), "one 'key: value' on a line"),
        ("a: 1\n   b: 2", (2, 5), "one 'key: value' on a line"),
        ("a:\n    b: 1\n  c: 2", (3, 3), "a key, indented like"),
        ("a:\n  - 1\n  b: 2", (3, 3), "'- ' before the next item"),
        ("a: [1, 2\nb: 3", (2, 2), "a list '[…]'"),
        ("a: {b: 1, c: 2\n", (2, 1), "a mapping '{…}'"),
        ("a: 'text", (1, 4), "a closing quote"),
        ("a: @home", (1, 4), "quotes around text that begins with @"),
        ("a: %d", (1, 4), "quotes around text that begins with %"),
        ("a: - b", (1, 4), "'- ' to begin a line"),
        ("a: *b", (1, 4), "an anchor &b"),
        ("a: &a [*a]", (1, 8), "an anchor &a"),
        ("a: 1\n---\nb: 2", (2, 1), "one document"),
        ("? [a]\n: b", (1, 3), "a key that is text"),
        ("a: !!python/object:os.system {}", (1, 4), "no YAML tag"),
        ("a: !secret x", (1, 4), "no YAML tag"),
        ("a: {<<: 5}", (1, 5), "'<<' to name a mapping"),
        ("a: {<<: [5]}", (1, 5), "'<<' to name a mapping"),
        ("a: [", (2, 1), "a value"),
        ("a: \x00", (0, 0), "text without control characters"),
        (b"a: 1\nb: \xc4\xe3", (2, 4), "text in UTF-8"),
        ("a: 1".encode("utf-16"), (1, 1), "text in UTF-8"),
        ("a: " + "[" * 40 + "]" * 40, (1, 35), "at most 32 levels"),
        ("%YAML 3.0\n---\na: 1", (1, 1), "valid YAML"),
    ],
)
def test_what_is_wrong_and_where(text, place, expected):
    found = problem(text)
    assert found.expected.startswith(expected)
    if expected != "a value":
        assert (found.line, found.column) == place
    assert found.got


def test_all_duplicate_keys_are_told_with_their_paths():
    _, problems = read(b"a: {x: 1, x: 2}\nb: [{y: 1}, {y: 1, y: 1}]\na: 5")
    assert [(one.path, one.line, one.column) for one in problems] == [
        (("a", "x"), 1, 11), (("b", 1, "y"), 2, 20), (("a",), 3, 1),
    ]  # fmt: skip


def test_a_file_that_is_too_large(monkeypatch):
    monkeypatch.setattr(yaml_reader, "MAX_BYTES", 10)
    assert problem("a: 12345678").code == "file_too_large"


def test_aliases_may_stand_for_much_but_not_for_a_bomb():
    shared = "t: &t [" + "x, " * 1000 + "x]\n"
    assert len(value(shared + "".join(f"d{n}: *t\n" for n in range(900)))) == 901
    assert problem(shared + "".join(f"d{n}: *t\n" for n in range(1100))).expected.startswith(
        "aliases that stand for at"
    )


def test_the_same_text_is_one_object():
    found = value("a: {unit: bar, name: 'x y'}\nb: {unit: bar, name: 'x y'}")
    assert found["a"]["unit"] is found["b"]["unit"]
    assert found["a"]["name"] is found["b"]["name"]


def plain_number(text):
    """A number to YAML 1.2, which a writer of YAML 1.1 does not know and leaves unquoted, such as 0E0 or 0o7."""
    return re.fullmatch(r"[-+]?[.0-9]+([eE][-+]?[0-9]+)?|0[ox][0-9a-fA-F]+", text, re.ASCII) is not None


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])).filter(lambda text: not plain_number(text)),
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc-_.é", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("xyz", min_size=1, max_size=4), documents, min_size=1, max_size=4), st.booleans())
def test_what_another_writer_wrote_is_read_back(document, flow):
    text = yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow)
    assert value(text) == document


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_problem(data):
    found, problems = read(data)
    assert found is None or isinstance(found, dict | list | str | int | float | bool)
    assert all(one.expected and one.got for one in problems)


@settings(deadline=None)
@given(st.text("ab: -[]{}&*#\n<>'\"\t,!?|%@", max_size=60))
def test_any_yaml_like_text_gives_a_value_or_a_problem(text):
    found, problems = read(text.encode())
    if found is not None and not problems:
        locate(text.encode(), [("a",), ("a", 0, "b")])


POSITIONS = b"""\
gateway: {id: x}
shared: &tags
  - {name: a, type: b}
  - name: c
    type:
devices:
  one: &one
    tags: *tags
    station: 5
  two: {<<: *one, unit: 3}
  three: {<<: [*one]}
  four: *one
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("gateway", "id"), (1, 15)),
        (("gateway",), (1, 1)),
        (("gateway", "missing", "deeper"), (1, 1)),
        (("shared", 0), (3, 5)),
        (("shared", 0, "type"), (3, 21)),
        (("shared", 1, "type"), (5, 5)),
        (("shared", 9, "type"), (2, 1)),
        (("devices", "one", "tags", 0, "type"), (3, 21)),
        (("devices", "one", "tags"), (8, 11)),
        (("devices", "two", "station"), (9, 14)),
        (("devices", "two", "tags", 1, "name"), (4, 11)),
        (("devices", "two", "unit"), (10, 25)),
        (("devices", "three", "station"), (11, 3)),
        (("devices", "four", "station"), (9, 14)),
        (("devices", "four", "tags", 1, "name"), (4, 11)),
    ],
)
def test_positions(path, place):
    everything = [path, ("devices", "one"), ("nothing",)]
    assert locate(POSITIONS, everything)[path].best == place
    assert locate(POSITIONS, [path])[path].best == place


def test_no_position_in_an_empty_document():
    assert locate(b"", [("a",)]) == {}
    assert locate(b"# only a comment", [()]) == {}
