"""What is pushed against a plain model per tag: every way in gives the same values, and only what fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.collect.arrivals import PATTERNS, Arrivals
from gateway.config.base import Report, TagConfig
from gateway.model.frame import FrameFlag
from gateway.model.quality import Quality
from gateway.model.view import FrameView
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Push

SECOND = 10**9
TYPES = {
    "bool": st.booleans(),
    "int8": st.integers(-128, 127),
    "uint16": st.integers(0, 65535),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
    "string": st.text(max_size=8).filter(lambda text: text.isprintable()),
    "bytes": st.binary(max_size=8),
}


def tag(name, kind="int16", **more):
    return TagConfig.model_validate({"name": name, "type": kind, **more})


def arrivals(tags, report=Report.CHANGE, heartbeat=0.0, *, on_change=False):
    return Arrivals("d", "1s", tags, Plan((), push=Push(on_change=on_change)), report, heartbeat)


def rows(made, frames):
    """(tag, value or quality label, time) of all frames, confirmations left out."""
    found = []
    for frame, count in frames:
        told = [] if frame.flags & FrameFlag.CONFIRMED else list(FrameView(made.schema, frame).rows())
        assert len(told) == count
        found += [
            (name, value if quality < 0x80 else Quality(quality).label, time) for name, value, quality, time, _ in told
        ]
    return found


def sample(made, values, time=1, clock=1, own=0, failures=None, *, replayed=False):
    return made.sample(values, failures, own, time, clock, replayed=replayed)


def put(made, tags, values, time=1, clock=1, quality=None, times=None, *, replayed=False):
    array = np.array(tags, np.intp)
    codes = None if quality is None else np.array(quality, np.uint8)
    at = None if times is None else np.array(times, np.int64)
    return made.put(array, values, codes, at, time, clock, replayed=replayed)


@st.composite
def histories(draw):
    """Tags of any types, and what arrives: (way in, {tag: value})."""
    kinds = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=6))
    steps = []
    for _ in range(draw(st.integers(1, 12))):
        chosen = draw(st.lists(st.integers(0, len(kinds) - 1), unique=True, min_size=1))
        way = draw(st.sampled_from(["sample", "put", "lost"]))
        steps.append((way, {place: draw(TYPES[kinds[place]]) for place in chosen}))
    return kinds, draw(st.sampled_from(list(Report))), steps


@settings(max_examples=300, deadline=None)
@given(histories())
def test_every_way_in_tells_the_same_as_a_model_per_tag(history):
    kinds, report, steps = history
    made = arrivals([tag(f"t{place}", kind) for place, kind in enumerate(kinds)], report)
    known = {}  # what a reader of the frames believes
    for number, (way, values) in enumerate(steps, 1):
        if way == "lost":
            made.lost(Quality.TIMEOUT, number)
            known.clear()
            continue
        before = dict(known)
        if way == "sample":
            frames = sample(made, values, number, number)
        else:
            frames = []
            for place, value in values.items():
                column = [value] if kinds[place] in {"string", "bytes"} else np.array([value])
                frames += put(made, [place], column, number, number)
        told = rows(made, frames)
        for name, value, time in told:
            assert time == number
            known[name] = value
        for place, value in values.items():
            assert known[f"t{place}"] == value
        if report is Report.CHANGE and way == "sample":
            repeated = [name for name, value, _ in told if before.get(name, math.nan) == value]
            assert not repeated or any(step[0] == "put" for step in steps[:number]), "unchanged, and told again"
        snapshot = made.snapshot()
        assert {name: value for name, value, _ in rows(made, [(snapshot, made.size)]) if name in known} == known


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int16", 40_000), ("uint8", -1), ("int32", 1.5), ("int32", "7"), ("bool", 2), ("bool", "yes"), ("float64", None),
        ("float32", 1e300), ("string", 5), ("string", "\ud800"), ("bytes", "text"), ("float64", "1.5"), ("int16", [1]),
        ("bool", []),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_bad_and_its_neighbour_arrives(kind, value):
    made = arrivals([tag("a", kind), tag("b", "int16")])
    assert sorted(rows(made, sample(made, {0: value, 1: 5}))) == [("a", "undecodable", 1), ("b", 5, 1)]
    assert made.bad() == (1, Quality.UNDECODABLE)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("int16", [1.0, 2.5, 3e9, math.nan, -7.0], [1, None, None, None, -7]),
        ("uint8", [0, 255, 256, -1, 7], [0, 255, None, None, 7]),
        ("bool", [0, 1, 2, 0, 1], [False, True, None, False, True]),
        ("float64", [1, 2, 3, 4, 5], [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("uint64", [2.0**63, 2.0**64, -1.0, 0.0, 1.0], [2**63, None, None, 0, 1]),
        ("int64", [2.0**63, -(2.0**63), 0.0, 1.0, 2.0], [None, -(2**63), 0, 1, 2]),
    ],
)
def test_columns_are_converted_and_what_does_not_fit_is_bad(kind, given, expected):
    made = arrivals([tag(f"t{place}", kind) for place in range(5)])
    told = {name: value for name, value, _ in rows(made, put(made, range(5), np.array(given)))}
    assert [told[f"t{place}"] for place in range(5)] == [
        "undecodable" if value is None else value for value in expected
    ]


def test_infinity_stays_infinity_and_what_is_too_large_for_float32_is_bad():
    made = arrivals([tag("a", "float32"), tag("b", "float32"), tag("c", "float32")])
    assert [value for _, value, _ in rows(made, put(made, [0, 1, 2], np.array([math.inf, 1e300, 0.5])))] == [
        math.inf, "undecodable", 0.5
    ]  # fmt: skip


def test_a_tag_named_more_than_once_has_had_all_these_values_in_order():
    made = arrivals([tag("a"), tag("b")], Report.ALWAYS)
    told = rows(made, put(made, [0, 1, 0, 0], np.array([1, 10, 2, 3]), times=[5, 5, 6, 7]))
    assert told == [("a", 1, 5), ("b", 10, 5), ("a", 2, 6), ("a", 3, 7)]


def test_columns_of_several_types_are_a_mistake_of_the_adapter():
    made = arrivals([tag("a", "int16"), tag("b", "float64")])
    with pytest.raises(ValueError, match="same type"):
        put(made, [0, 1], np.array([1, 2]))


def test_own_times_of_values_and_ours_for_those_without():
    made = arrivals([tag("a"), tag("b")], Report.ALWAYS)
    made.flags = FrameFlag.TIME_UNTRUSTED
    ((frame, _),) = put(made, [0, 1], np.array([1, 2]), time=100, times=[90, 95])
    assert rows(made, [(frame, 2)]) == [("a", 1, 90), ("b", 2, 95)]
    assert frame.flags == FrameFlag.SOURCE_TIME, "our clock had no part in it"
    ((frame, _),) = put(made, [0, 1], np.array([1, 2]), time=100, times=[90, 0])
    assert rows(made, [(frame, 2)]) == [("a", 1, 90), ("b", 2, 100)]
    assert frame.flags == FrameFlag.SOURCE_TIME | FrameFlag.TIME_UNTRUSTED
    ((frame, _),) = sample(made, {0: 5}, time=100, own=90)
    assert (frame.time, frame.flags) == (90, FrameFlag.SOURCE_TIME)


def test_deadbands_ranges_and_clamps_hold_for_what_is_pushed():
    made = arrivals([tag("a", deadband="5", range=[0, 100]), tag("b", clamp=[0, 10])])
    assert rows(made, sample(made, {0: 50, 1: 99})) == [("a", 50, 1), ("b", 10, 1)]
    assert rows(made, sample(made, {0: 53})) == []
    assert rows(made, sample(made, {0: 56})) == [("a", 56, 1)]
    ((frame, _),) = sample(made, {0: 200})
    assert list(FrameView(made.schema, frame).rows())[0][1:3] == (200, Quality.OUT_OF_RANGE)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 150), st.integers(-50, 150), st.booleans()), min_size=1, max_size=20),
    st.sampled_from(["5", "10%", "0.5"]),
)
def test_single_samples_obey_rules_as_columns_do(steps, deadband):
    """The short way and the arrays must agree on what is reported, with which quality."""
    rules = [
        tag("a", "float64", deadband=deadband, range=[0, 100]), tag("b", "int16", deadband=deadband, clamp=[0, 100], scale=0.5)
    ]  # fmt: skip
    short, arrays = arrivals(rules), arrivals(rules)
    for number, (a, b, both) in enumerate(steps, 1):
        values = {0: a, 1: b} if both else {0: a}
        told = rows(short, sample(short, values, number, number))
        expected = rows(arrays, put(arrays, [0], np.array([a]), number, number))
        if both:
            expected += rows(arrays, put(arrays, [1], np.array([b]), number, number))
        assert sorted(told) == sorted(expected)
        seen = [list(FrameView(made.schema, made.snapshot()).rows()) for made in (short, arrays)]
        assert [row[:3] for row in seen[0]] == [row[:3] for row in seen[1]]


def test_a_change_held_back_is_told_when_its_time_has_come():
    made = arrivals([tag("a", min_interval="2s"), tag("b")])
    assert rows(made, sample(made, {0: 1, 1: 1}, clock=SECOND)) == [("a", 1, 1), ("b", 1, 1)]
    assert rows(made, sample(made, {0: 2, 1: 2}, clock=2 * SECOND)) == [("b", 2, 1)]
    assert rows(made, made.tick(7, int(2.5 * SECOND))) == []
    assert rows(made, made.tick(8, 4 * SECOND)) == [("a", 2, 8)]
    assert rows(made, made.tick(9, 9 * SECOND)) == []


def test_a_value_that_still_holds_is_told_again_and_one_that_may_not_is_not():
    for holds, expected in ((True, [("a", 1, 5)]), (False, [])):
        made = arrivals([tag("a", max_interval="2s"), tag("b")], on_change=holds)
        sample(made, {0: 1, 1: 1}, clock=SECOND)
        assert rows(made, made.tick(5, 4 * SECOND)) == expected


def test_confirmations_only_where_silence_means_unchanged():
    for holds in (True, False):
        made = arrivals([tag("a"), tag("b")], heartbeat=10, on_change=holds)
        put(made, [0], np.array([1]), clock=SECOND)
        made.tick(5, 2 * SECOND)
        frames = made.tick(6, 13 * SECOND) + made.tick(7, 24 * SECOND)
        assert [frame.flags & FrameFlag.CONFIRMED for frame, _ in frames] == ([1] if holds else [])


def test_what_is_replayed_is_told_whatever_was_told_before():
    made = arrivals([tag("a")])
    sample(made, {0: 1})
    for frames in (sample(made, {0: 1}, own=3, replayed=True), put(made, [0], np.array([1]), times=[4], replayed=True)):
        ((frame, count),) = frames
        assert (count, frame.flags) == (1, FrameFlag.SOURCE_TIME | FrameFlag.REPLAYED)


def test_patterns_are_bounded():
    made = arrivals([tag(f"t{place}") for place in range(12)], Report.ALWAYS)
    for mask in range(1, 3000):
        sample(made, {place: mask for place in range(12) if mask >> place & 1})
    assert len(made._patterns) <= PATTERNS
    assert rows(made, sample(made, {11: 7, 0: 8})) == [("t0", 8, 1), ("t11", 7, 1)]


def test_nothing_given_is_nothing_told():
    made = arrivals([tag("a")])
    assert sample(made, {}) == []
    assert put(made, [], np.array([])) == []
    assert made.snapshot() is None
