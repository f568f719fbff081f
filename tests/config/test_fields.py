"""Field types: what they read, what they write, what they refuse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config.fields import (
    Deadband,
    Interval,
    choices,
    format_duration,
    format_size,
    parse_duration,
    parse_listen,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1s", 1),
        ("1.5 s", 1.5),
        ("5m", 300),
        ("5min", 300),
        ("72h", 259_200),
        ("7d", 604_800),
        ("10us", 1e-5),
        (0, 0),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong", ["5", 5, 1.5, True, False, None, "s", "-1s", "1 week", "1e3s", "9" * 400 + "s", [], "1s1s"]
)
def test_what_is_no_duration(wrong):
    with pytest.raises(ValueError, match="a duration with its unit"):
        parse_duration(wrong)


@settings(deadline=None)
@given(st.integers(0, 10**12), st.sampled_from([1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0]))
def test_a_duration_is_written_as_it_is_read(number, unit):
    seconds = number * unit
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512kB", 512_000),
        ("2GB", 2 * 10**9),
        ("1GiB", 1 << 30),
        ("4 MiB", 4 << 20),
        ("100", 100),
        (7, 7),
        ("1.5k", 1500),
        ("1T", 10**12),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "2 gigabytes", "GB", None, "9" * 400])
def test_what_is_no_size(wrong):
    with pytest.raises(ValueError, match="a size in bytes"):
        parse_size(wrong)


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_a_size_is_written_as_it_is_read(size):
    assert parse_size(format_size(size)) == size


def test_sizes_are_written_short():
    assert [format_size(size) for size in (2_000_000_000, 512 * 1024, 1 << 30, 999, 32_000_000)] == [
        "2GB", "512KiB", "1GiB", "999", "32MB",
    ]  # fmt: skip


def test_an_interval_is_longer_than_nothing():
    adapter = TypeAdapter(Interval)
    assert adapter.validate_python("1ms") == 0.001
    for wrong in ("0s", 0, "0.0min"):
        with pytest.raises(ValidationError, match="longer than 0s"):
            adapter.validate_python(wrong)


@pytest.mark.parametrize(
    ("text", "deadband"),
    [
        (0.5, Deadband(0.5)),
        (1, Deadband(1)),
        ("1%", Deadband(percent=1)),
        (" 0.5 % ", Deadband(percent=0.5)),
        ("2", Deadband(2)),
        (Deadband(3), Deadband(3)),
    ],
)
def test_deadbands(text, deadband):
    assert Deadband.parse(text) == deadband
    assert hash(Deadband.parse(text)) == hash(deadband)
    assert Deadband.parse(repr(deadband)) == deadband


@pytest.mark.parametrize("wrong", [-1, "-1", "101%", "-1%", "x", "x%", True, None, float("nan"), "nan", "inf", [1]])
def test_what_is_no_deadband(wrong):
    with pytest.raises(ValueError, match="a change in engineering units"):
        Deadband.parse(wrong)


@pytest.mark.parametrize("text", ["off", "127.0.0.1:9180", "0.0.0.0:0", "[::1]:80", "box.example:65535"])
def test_where_a_server_can_listen(text):
    assert parse_listen(text) == text


@pytest.mark.parametrize(
    "wrong", ["9180", 9180, "127.0.0.1", "127.0.0.1:", ":80", "x:65536", "x:999999", "::1:80", "a b:80", None, "on"]
)
def test_where_no_server_can_listen(wrong):
    with pytest.raises(ValueError, match="a host:port"):
        parse_listen(wrong)


def test_words_that_a_pattern_allows():
    assert choices("^(full|normal|off)$") == ["full", "normal", "off"]
    assert choices("^[NEO]$") == ["N", "E", "O"]
    assert choices("^[^x]+$") == choices("^(a.*|b)$") == []
