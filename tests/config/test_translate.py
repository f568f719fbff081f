"""What pydantic found wrong, in the words of the house."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, Field, field_validator

from gateway.config.base import Model
from gateway.config.errors import ConfigError, Findings, Place, Source, nearest, show, show_path
from gateway.config.fields import Duration, Secret, Size
from gateway.config.translate import validate


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd: registers come in pairs")
    return value


class Inner(Model):
    a: int = 1
    schema_: Annotated[str, Field(alias="schema")] = "x"


class Everything(Model):
    count: Annotated[int, Field(ge=1, le=10)] = 1
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    flag: bool = False
    text: Annotated[str, Field(min_length=2, max_length=4)] = "ab"
    items: Annotated[list[int], Field(min_length=1, max_length=2)] = Field(default=[1])
    pair: tuple[int, int] = (1, 2)
    either: int | bool | None = None
    names: dict[str, int] = Field(default={})
    keys: dict[Annotated[str, Field(pattern="^[NEO]$")], int] = Field(default={})
    version: Literal["5", "3.1.1"] = "5"
    wait: Annotated[Duration, Field(ge=1, le=60)] = 1.0
    size: Annotated[Size, Field(ge=1000)] = 1000
    inner: Inner = Inner()
    inners: list[Inner] = Field(default=[])
    maybe: Inner | None = None
    password: Secret | None = None
    passwords: list[Secret] = Field(default=[])
    even: Annotated[int, AfterValidator(_even)] = 2
    odd_pattern: Annotated[str, Field(pattern="^x+$")] = "x"
    asserted: int = 0

    @field_validator("asserted")
    @classmethod
    def _zero(cls, value: int) -> int:
        if value:
            raise AssertionError("a zero")
        return value

    @field_validator("password")
    @classmethod
    def _long(cls, value: Secret | None) -> Secret | None:
        if value and len(value.get_secret_value()) < 4:
            raise ValueError(f"{value.get_secret_value()} is too short")
        return value


def told(raw, kind=Everything, **options):
    findings = Findings()
    source = Source("f.yaml", b"")
    assert validate(kind, raw, Place(source), findings, **options) is None
    return [
        str(ConfigError("f", 0, 0, show_path(one.place.path), one.expected, one.got, one.suggestion, one.code))[3:]
        for one in findings.found
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"count": 0}, "count: expected a value of at least 1; got 0"),
        ({"count": 11}, "count: expected a value of at most 10; got 11"),
        ({"count": "many"}, "count: expected a whole number; got 'many'"),
        ({"count": 1.5}, "count: expected a whole number; got 1.5"),
        ({"count": None}, "count: expected a whole number; got nothing"),
        ({"count": [1]}, "count: expected a whole number; got a list of 1"),
        ({"count": "9" * 5000}, "count: expected a whole number of a sensible size; got '9"),
        ({"ratio": 0}, "ratio: expected a value above 0; got 0"),
        ({"ratio": 1}, "ratio: expected a value below 1; got 1"),
        ({"ratio": float("nan")}, "ratio: expected a finite number; got nan"),
        ({"ratio": "x"}, "ratio: expected a number; got 'x'"),
        ({"flag": "maybe"}, "flag: expected true or false; got 'maybe'"),
        ({"text": "a"}, "text: expected text of at least 2 characters; got 'a'"),
        ({"text": "abcde"}, "text: expected text of at most 4 characters; got 'abcde'"),
        ({"text": True}, "text: expected text (in quotes, as it would be a number or true/false without); got true"),
        ({"text": {"a": 1}}, "text: expected text; got a mapping"),
        ({"items": []}, "items: expected a list of at least 1; got a list of 0"),
        ({"items": [1, 2, 3]}, "items: expected a list of at most 2; got a list of 3"),
        ({"items": [1, "x"]}, "items[1]: expected a whole number; got 'x'"),
        ({"items": 5}, "items: expected a list; got 5"),
        ({"pair": [1]}, "pair[1]: expected a value, for there is no default; got nothing"),
        ({"either": "x"}, "either: expected a whole number or true or false; got 'x'"),
        ({"names": {"a b": "x"}}, "names['a b']: expected a whole number; got 'x'"),
        ({"names": 5}, "names: expected a mapping of keys to values; got 5"),
        ({"keys": {"X": 1}}, "keys.X: expected one of N, E, O; got 'X'"),
        ({"version": 5}, "version: expected '5' in quotes; got 5"),
        ({"version": "3.1"}, "version: expected one of 5, 3.1.1; got '3.1' (nearest: 3.1.1)"),
        ({"wait": "500ms"}, "wait: expected a value of at least 1s; got '500ms'"),
        ({"wait": "5min"}, "wait: expected a value of at most 1min; got '5min'"),
        ({"size": "10"}, "size: expected a value of at least 1000; got '10'"),
        ({"inner": 5}, "inner: expected a mapping of keys to values; got 5"),
        ({"inner": {"schem": "x"}}, "inner.schem: expected a known key; got 'schem' (nearest: schema)"),
        ({"inner": {"zzz": "x"}}, "inner.zzz: expected one of the keys a, schema; got 'zzz'"),
        ({"inners": [{}, {"a": "x"}]}, "inners[1].a: expected a whole number; got 'x'"),
        ({"inners": [{"aa": 1, "a": 1}]}, "inners[0].aa: expected one of the keys a, schema; got 'aa'"),
        ({"maybe": {"schema": 5}}, "maybe.schema: expected text (in quotes, as it would be a number or true/false without); got 5"),
        ({"password": 1234}, "password: expected text (in quotes, as it would be a number or true/false without); got a value that is not shown"),
        ({"password": "abc"}, "password: expected a value that can be used; got a value that is not shown"),
        ({"passwords": ["x", ["secret"]]}, "passwords[1]: expected text; got a value that is not shown"),
        ({"even": 3}, "even: 3 is odd: registers come in pairs"),
        ({"odd_pattern": "y"}, "odd_pattern: expected text that matches ^x+$; got 'y'"),
        ({"asserted": 1}, "asserted: expected a zero; got 1"),
        ({"cuont": 1}, "cuont: expected a known key; got 'cuont' (nearest: count)"),
    ],
)  # fmt: skip
def test_one_error(raw, expected):
    (found,) = told(raw)
    assert found.startswith(expected) if len(expected) > 80 or "sensible" in expected else found == expected


def test_keys_that_others_know_and_keys_never_to_be_named():
    assert told({"tgas": []}, also=["tags"]) == ["tgas: expected a known key; got 'tgas' (nearest: tags)"]
    assert "count" not in told({"zzzzz": 1}, never=["count"])[0]
    assert told("x", kind=Inner) == ["expected a mapping of keys to values; got 'x'"]


def test_values_are_shown_short_and_without_what_is_inside():
    assert show("x" * 100) == "'" + "x" * 57 + "…'"
    assert len(show("x" * 100)) == 60
    assert [show(value) for value in (None, True, {"a": 1}, [1, 2], 1.5, "a")] == [
        "nothing",
        "true",
        "a mapping",
        "a list of 2",
        "1.5",
        "'a'",
    ]


def test_the_nearest_name():
    names = ["int8", "int16", "int64", "float32", "Timeout"]
    assert [nearest(got, names) for got in ("int61", "timout", "INT8", "zebra", 5)] == [
        "int16",
        "Timeout",
        "int8",
        "",
        "",
    ]


def test_secrets_are_blotted_out_of_any_message():
    findings = Findings()
    findings.keep_secret("hunter2")
    findings.keep_secret("abc")
    findings.add(Place(Source("f", b"")), "an abc, unlike hunter2", "hunter2!")
    (found,) = findings.discreet()
    assert (found.expected, found.got) == ("an abc, unlike ***", "***!")
