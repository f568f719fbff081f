"""What devices say about time: units, zones, clocks put back, leap seconds, clocks that were never set."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.times import parse_zone, reader
from gateway.sdk.source_time import EARLIEST, LATEST, TimeFormat

NOON = 1_764_072_000_000_000_000  # 2025-11-25T12:00:00Z


def read(form, value, zone="UTC"):
    return reader(TimeFormat(form), parse_zone(zone))(value)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("s", 1_764_072_000), ("s", 1_764_072_000.0), ("s", "1764072000"), ("s", "1764072000.0"),
        ("ms", 1_764_072_000_000), ("us", 1_764_072_000_000_000), ("ns", NOON),
        ("iso8601", "2025-11-25T12:00:00Z"), ("iso8601", "2025-11-25T20:00:00+08:00"),
        ("iso8601", "2025-11-25 12:00:00+00:00"), ("iso8601", "20251125T120000Z"), ("iso8601", "2025-11-25T12:00:00"),
    ],
)  # fmt: skip
def test_one_moment_in_many_ways(form, value):
    assert read(form, value) == NOON


@settings(deadline=None)
@given(st.integers(EARLIEST // 10**6, LATEST // 10**6 - 1))
def test_milliseconds_are_exact(ms):
    assert read("ms", ms) == ms * 10**6
    assert read("ms", float(ms)) == ms * 10**6
    assert read("us", ms * 1000) == ms * 10**6


@settings(deadline=None)
@given(st.integers(EARLIEST // 1000, LATEST // 1000 - 1))
def test_iso_texts_are_exact_to_the_microsecond(us):
    moment = datetime.fromtimestamp(us // 10**6, UTC).replace(microsecond=us % 10**6)
    assert read("iso8601", moment.isoformat()) == us * 1000


def test_fractions_of_a_second():
    assert read("s", 1_764_072_000.5) == NOON + 500_000_000
    assert read("iso8601", "2025-11-25T12:00:00.123456789Z") == NOON + 123_456_000


def test_a_zone_for_times_that_carry_none():
    assert read("iso8601", "2025-11-25T20:00:00", "Asia/Shanghai") == NOON
    assert read("iso8601", "2025-11-25T20:00:00", "+08:00") == NOON
    assert read("iso8601", "2025-11-25T06:30:00", "-05:30") == NOON
    assert read("iso8601", "2025-11-25T12:00:00Z", "Asia/Shanghai") == NOON, "its own zone goes before"


def test_the_hour_that_comes_twice_is_the_first_one():
    first = read("iso8601", "2025-10-26T02:30:00", "Europe/Berlin")
    assert first == int(datetime(2025, 10, 26, 0, 30, tzinfo=UTC).timestamp()) * 10**9
    assert read("iso8601", "2025-10-26T02:30:00+01:00", "Europe/Berlin") == first + 3600 * 10**9


def test_a_leap_second_is_the_one_behind_the_59th():
    assert read("iso8601", "2016-12-31T23:59:60Z") == read("iso8601", "2017-01-01T00:00:00Z")
    assert read("iso8601", "2016-12-31T23:59:60.5Z") == read("iso8601", "2017-01-01T00:00:00.5Z")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("s", 0), ("s", 12_345), ("ms", 1_764_072_000), ("s", 1_764_072_000_000), ("s", -5), ("s", None), ("s", True),
        ("s", [1]), ("s", "now"), ("s", "1" * 50), ("s", 1e300), ("s", 10**400), ("ms", {}), ("s", float("nan")),
        ("iso8601", "yesterday"), ("iso8601", "1970-01-01T00:00:07Z"), ("iso8601", 5), ("iso8601", ""),
        ("iso8601", "2025-13-01T00:00:00Z"), ("iso8601", "9999-12-31T23:59:60+00:00"), ("iso8601", "x" * 65),
        ("iso8601", "0001-01-01T00:00:00+14:00"),
    ],
)  # fmt: skip
def test_what_is_no_credible_time(form, value):
    assert read(form, value) == 0


@settings(deadline=None)
@given(
    st.sampled_from(list(TimeFormat)),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3),
)
def test_anything_gives_a_credible_time_or_none(form, value):
    time = read(form, value)
    assert time == 0 or EARLIEST <= time < LATEST


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc", "+25:00", "8"])
def test_no_zone(zone):
    with pytest.raises(ValueError, match="is no time zone"):
        parse_zone(zone)
