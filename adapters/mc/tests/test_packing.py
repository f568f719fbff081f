"""Packing: everything is read, nothing too much, whatever the order, and with about as few requests as there can be."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mc.address import AREAS, Kind
from adapters.mc.packing import Item, Method, Span, pack
from adapters.mc.series import Capacity

D, W, M, TS, LZ = (AREAS[name] for name in ("D", "W", "M", "TS", "LZ"))
LARGE = Capacity(960, 192, 120)

items = st.lists(
    st.builds(
        lambda area, first, cells: (area, first, 1 if area.kind is Kind.LONG else cells),
        st.sampled_from([D, D, D, W, M, TS, LZ]),
        st.integers(0, 300),
        st.sampled_from([1, 1, 1, 2, 4, 7]),
    ),
    min_size=1,
    max_size=60,
    unique=True,
).map(lambda places: [Item(*place, (number,)) for number, place in enumerate(places)])
rooms = st.builds(
    Capacity, st.integers(8, 40) | st.just(960), st.integers(4, 12) | st.just(192), st.integers(0, 6) | st.just(120)
)


def check(group, room, max_gap):
    """All that a CPU would complain of."""
    spans = group.spans
    if group.method is Method.ROW:
        assert len(spans) == 1
    if group.method is Method.CELLS:
        assert len(spans) <= room.points
        assert all(span.area.random and span.size in (2, 4) for span in spans)
        assert [span.size for span in spans] == sorted(span.size for span in spans)
    else:
        assert all(span.area.batch for span in spans)
        assert sum(span.cells for span in spans) <= room.words
    if group.method is Method.ROWS:
        assert len(spans) <= room.blocks
        kinds = [span.area.kind is Kind.BIT for span in spans]
        assert kinds == sorted(kinds)
    for span in spans:
        needed = sorted(
            cell
            for item in group.items
            if item.area is span.area
            for cell in range(item.first, item.end)
            if span.first <= cell < span.first + span.cells
        )
        assert needed[0] == span.first
        assert needed[-1] == span.first + span.cells - 1
        assert all(after - before <= max_gap + 1 for before, after in itertools.pairwise(needed))


@given(items, rooms, st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_all_is_read_within_the_limits(wanted, room, max_gap):
    groups = pack(wanted, room, max_gap)
    assert sorted(item.tags for group in groups for item in group.items) == sorted(item.tags for item in wanted)
    for group in groups:
        check(group, room, max_gap if group.method is not Method.CELLS else 0)
        cells = {(span.area, span.first + cell) for span in group.spans for cell in range(span.cells)}
        assert all((item.area, cell) in cells for item in group.items for cell in range(item.first, item.end))


@given(items, rooms, st.integers(0, 40), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_tags_does_not_matter(wanted, room, max_gap, source):
    shuffled = wanted[:]
    source.shuffle(shuffled)
    assert pack(shuffled, room, max_gap) == pack(wanted, room, max_gap)


def fewest(firsts, room, max_gap):
    """The fewest requests for single words of one area, found by trying every division of them."""
    best = len(firsts)

    def covered(part):
        """Rows, words, points of a set of words."""
        rows = [[part[0], part[0]]]
        for first in part[1:]:
            if first - rows[-1][1] - 1 <= max_gap:
                rows[-1][1] = first
            else:
                rows.append([first, first])
        points, last = 0, -2
        for first in part:
            if first > last:
                points, last = points + 1, first + 1
        return len(rows), sum(end - first + 1 for first, end in rows), points

    def fits(part):
        rows, words, points = covered(part)
        return points <= room.points or (words <= room.words and (rows == 1 or rows <= room.blocks))

    def divide(left, groups):
        nonlocal best
        if len(groups) >= best:
            return
        if not left:
            best = len(groups)
            return
        for place in range(len(groups) + 1):
            group = [*groups[place], left[0]] if place < len(groups) else [left[0]]
            if fits(sorted(group)):
                divide(left[1:], [*groups[:place], group, *groups[place + 1 :]])

    divide(firsts, [])
    return best


def test_near_the_optimum_on_small_problems():
    source = random.Random(4)
    more = 0
    for _ in range(120):
        room = Capacity(source.choice([3, 5, 8]), source.choice([2, 3]), source.choice([0, 2, 3]))
        firsts = sorted(source.sample(range(30), source.randint(4, 8)))
        max_gap = source.choice([0, 1, 4])
        found = len(pack([Item(D, first, 1, (first,)) for first in firsts], room, max_gap))
        best = fewest(firsts, room, max_gap)
        assert best <= found <= best + 1, (room, firsts, max_gap)
        more += found - best
    assert more <= 24, more


def scattered(count, space, seed=1):
    source = random.Random(seed)
    return [Item(D, first, 1, (first,)) for first in sorted(source.sample(range(space), count))]


@pytest.mark.parametrize(
    ("space", "most"),
    [
        (1_000, 2),  # all in two rows
        (8_000, 5),  # one word in eight is wanted: pairs and rows
        (32_000, 6),
        (1_000_000, 6),  # 1,000 words far from each other: 192 places in a request, ⌈1000 / 192⌉ = 6 is the least
    ],
)
def test_a_thousand_scattered_words(space, most):
    groups = pack(scattered(1_000, space), LARGE, 32)
    for group in groups:
        check(group, LARGE, 32)
    assert len(groups) <= most


def test_rows_for_what_is_dense_and_cells_for_what_is_not():
    dense = [Item(D, first, 1, (first,)) for first in range(900)]
    thin = [Item(W, 100 * place, 1, (1000 + place,)) for place in range(150)]
    groups = pack([*dense, *thin], LARGE, 32)
    assert [group.method for group in groups] == [Method.ROW, Method.CELLS]
    assert pack(dense, LARGE, 32)[0].spans == (Span(D, 0, 900),)


def test_contacts_are_never_read_at_random():
    contacts = [Item(TS, 10 * place, 1, (place,)) for place in range(30)]
    assert {group.method for group in pack(contacts, LARGE, 0)} == {Method.ROWS}
    assert {group.method for group in pack(contacts, Capacity(960, 192, 0), 0)} == {Method.ROW}


def test_long_ones_only_at_random():
    assert [group.method for group in pack([Item(LZ, 3, 1, (0,))], LARGE, 0)] == [Method.CELLS]
    with pytest.raises(ValueError, match="LZ can only be read at random"):
        pack([Item(LZ, 3, 1, (0,))], Capacity(960, 0, 120), 0)


def test_a_value_larger_than_a_read():
    with pytest.raises(ValueError, match="40 words are more than the 20"):
        pack([Item(D, 3, 40, (0,))], Capacity(20, 192, 120), 0)


def test_a_value_is_never_divided():
    wide = [Item(D, 10 * place, 4, (place,)) for place in range(100)]
    for group in pack(wide, Capacity(960, 7, 0), 0):
        for item in group.items:
            assert sum(span.cells for span in group.spans if span.holds(item)) == 4
