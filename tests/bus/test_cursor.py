"""Position: a set of numbers, compared with Python's own set."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.cursor import FAR, Position, in_all

ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda each: (each[0], each[0] + each[1])))


def members(position):
    return {place for first, last in position.ranges for place in range(first, last + 1)}


@given(ranges)
def test_it_is_a_set(given_ranges):
    position, reference = Position(), set()
    for first, last in given_ranges:
        position.add(first, last)
        reference.update(range(first, last + 1))
    assert members(position) == reference
    assert all(left[1] + 1 < right[0] for left, right in pairwise(position.ranges))
    assert position.low == next(place for place in range(100) if place + 1 not in reference)
    for place in range(1, 80):
        assert (place in position) == (place in reference)
        following = position.next_open(place)
        assert following == next(each for each in range(place, 200) if each not in reference)
        until = position.open_until(following)
        assert until == FAR or until + 1 in reference
        assert not any(each in reference for each in range(following, min(until, 100) + 1))
    assert position.covered(5, 40) == len(reference & set(range(5, 41)))
    assert Position.decode(position.encode()) == position


@given(st.lists(ranges, min_size=1, max_size=4))
def test_what_all_have_is_the_intersection(many):
    positions = [Position(each) for each in many]
    expected = set.intersection(*(members(position) for position in positions))
    assert members(Position(in_all(positions))) == expected


def test_nobody_has_nothing_in_common():
    assert in_all([]) == []


def test_an_empty_range_changes_nothing():
    position = Position([(5, 4)])
    assert len(position) == 0
    assert repr(position) == "Position([])"
    assert position != [(5, 4)]


def test_text_that_is_no_position_is_refused():
    with pytest.raises(ValueError):
        Position.decode('{"low": 3}')
