"""How `xingsha read` writes values for people and programs. What it reads: test_sim."""

import json

import pytest

from gateway.cli.read import plain, show


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (True, "true"), (False, "false"), (0, "0"), (-(2**63), "-9223372036854775808"),
        (2**64 - 1, "18446744073709551615"), (0.1, "0.1"), (float("nan"), "nan"), (float("inf"), "inf"),
        ("压力机", "压力机"), ("a\x1b[31m\nb", "a\\x1b[31m\\nb"), (b"\x01\xff", "01 ff"), ("x" * 200, "x" * 79 + "…"),
    ],
)  # fmt: skip
def test_for_people(value, text):
    assert show(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (2**64 - 1, "18446744073709551615"), (-0.0, "-0.0"), (1e300, "1e+300"),
        (float("nan"), '"NaN"'), (float("inf"), '"Infinity"'), (float("-inf"), '"-Infinity"'), (b"\x01\xff", '"01ff"'),
        ("digits 007", '"digits 007"'),
    ],
)  # fmt: skip
def test_for_programs(value, text):
    assert json.dumps(plain(value), allow_nan=False) == text
