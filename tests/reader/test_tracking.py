"""Ranges against a plain set; what is missing and what is explained."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.reader.tracking import Journal, Ranges

spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), max_size=40)


@given(spans, st.integers(0, 70), st.integers(0, 70))
def test_ranges_are_a_set(given_spans, low, high):
    ranges, model = Ranges(), set()
    for first, more in given_spans:
        ranges.add(first, first + more)
        model.update(range(first, first + more + 1))
    assert {number for first, last in ranges for number in range(first, last + 1)} == model
    pairs = list(ranges)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(pairs))
    assert all((number in ranges) == (number in model) for number in range(72))
    holes = {number for first, last in ranges.holes(low, high) for number in range(first, last + 1)}
    assert holes == set(range(low, high + 1)) - model
    assert ranges.lowest == min(model, default=None)
    assert ranges.highest == max(model, default=None)
    assert len(ranges) == len(pairs)


def test_too_many_holes_are_given_up_and_counted(monkeypatch):
    monkeypatch.setattr(Ranges, "MOST", 3)
    ranges = Ranges()
    for number in (1, 3, 7, 10):
        ranges.add(number)
    assert list(ranges) == [(1, 3), (7, 7), (10, 10)]
    assert ranges.abandoned == 1
    ranges.add(20)
    assert ranges.abandoned == 1 + 3


def test_missing_without_what_is_declared():
    journal = Journal()
    assert journal.missing() == []
    for seq in (5, 6, 9, 10, 20):
        journal.seen.add(seq)
    assert journal.missing() == [(7, 8), (11, 19)]
    assert journal.missing(from_start=True) == [(1, 4), (7, 8), (11, 19)]
    journal.declared.add(8, 14)
    assert journal.missing() == [(7, 7), (15, 19)]
    assert journal.missing(window=5) == [(7, 7), (15, 15)]
