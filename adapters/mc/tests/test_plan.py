"""Plans: few requests for the tags of a group, in any order; what cannot be read is refused with the tag's name."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mc import adapter
from adapters.mc.packing import Method
from adapters.mc.plan import room_of
from adapters.mc.tests.conftest import Kit
from gateway.model.faults import ConfigFault

TYPES = st.sampled_from([("uint16", 0), ("float32", 0), ("int64", 0), ("string", 9), ("bytes", 30)])
TAGS = st.lists(
    st.one_of(
        st.builds(lambda area, number, kind: (f"{area}{number}", *kind), st.sampled_from("DR"), st.integers(0, 300), TYPES),
        st.builds(lambda area, number: (f"{area}{number}", "bool", 0), st.sampled_from(["M", "L", "TS"]), st.integers(0, 3000)),
        st.builds(lambda number, bit: (f"D{number}.{bit:X}", "bool", 0), st.integers(0, 300), st.integers(0, 15)),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
LIMITS = st.fixed_dictionaries(
    {
        "max_words": st.integers(15, 960),
        "max_points": st.integers(0, 192),
        "max_blocks": st.integers(0, 120),
        "max_gap": st.integers(0, 100),
        "series": st.sampled_from(["q", "iq-r", "iq-f", None]),
    }
)
CODES = st.sampled_from(["binary", "ascii"])


def made(code="binary", **more):
    return adapter(Kit.connection(code=code, **more))


def tags_of(rows):
    return [Kit.tag(address, kind, name=f"t{n}", length=length) for n, (address, kind, length) in enumerate(rows)]


@settings(max_examples=150, deadline=None)
@given(TAGS, LIMITS, CODES, st.randoms(use_true_random=False))
def test_merging(rows, limits, code, shuffle):
    device, tags = Kit.device(**limits), tags_of(rows)
    plan = made(code).plan(device, tags)
    room = room_of(device, made(code).connection.code, wide=False)
    assert sorted(tag for read in plan.requests for tag in read.tags) == list(range(len(tags)))
    for read in plan.requests:
        if read.method is Method.CELLS:
            assert len(read.spans) <= room.points
        else:
            assert sum(span.cells for span in read.spans) <= room.words
            assert len(read.spans) <= max(room.blocks, 1)
    ends = [place + size for read in plan.requests for _, place, size in read.places]
    assert plan.table.size == max(ends)
    shuffled = rows[:]
    shuffle.shuffle(shuffled)
    again = made(code).plan(device, tags_of(shuffled))
    assert [(read.method, read.spans, read.starts) for read in again.requests] == [
        (read.method, read.spans, read.starts) for read in plan.requests
    ]


@settings(max_examples=100, deadline=None)
@given(TAGS, LIMITS)
def test_parts_of_a_read_hold_all_of_it(rows, limits):
    """What a refused read is narrowed down to: never more than before, every tag in it, each where it was."""
    for read in made().plan(Kit.device(**limits), tags_of(rows)).requests:
        if not read.divisible:
            continue
        parts = read.parts()
        assert {tag for part in parts for tag in part.tags} == set(read.tags)
        where = {(span.area, span.first): start for span, start in zip(read.spans, read.starts, strict=True)}
        for part in parts:
            assert len(part.items) < len(read.items) or len(part.spans) < len(read.spans) or part.method is Method.ROW
            for span, start in zip(part.spans, part.starts, strict=True):
                first = max(first for area, first in where if area is span.area and first <= span.first)
                assert start == where[span.area, first] + (span.first - first) * span.area.size


def narrowed(read):
    """All that a read is narrowed down to, in the end."""
    if not read.divisible:
        return [read]
    return list(itertools.chain.from_iterable(narrowed(part) for part in read.parts()))


@settings(max_examples=50, deadline=None)
@given(TAGS)
def test_in_the_end_each_value_is_read_alone(rows):
    for read in made().plan(Kit.device(), tags_of(rows)).requests:
        assert all(len(last.items) == 1 and len(last.spans) == 1 for last in narrowed(read))


@pytest.mark.parametrize(
    ("series", "address", "kind", "says"),
    [
        (None, "X10", "bool", "tag X10: X10 is another input or output on iQ-F; say the device's series"),
        ("iq-f", "X8", "bool", "octal"),
        ("fx5u", "V0", "bool", "series iq-f has no V"),
        ("iq-f", "ZR0", "uint16", "series iq-f has no ZR"),
        ("q", "LZ0", "int32", "series q has no LZ"),
        ("l", "RD0", "uint16", "series l has no RD"),
        ("q", "M5", "uint16", "not the first of 16"),
        ("iq-f", "X10", "uint16", "not the first of 16"),
    ],
)
def test_what_cannot_be_read(series, address, kind, says):
    with pytest.raises(ConfigFault, match=says):
        made().plan(Kit.device(series), [Kit.tag(address, kind)])


def test_what_fits_no_message():
    with pytest.raises(ConfigFault, match="more digits"):
        made("ascii").plan(Kit.device(), [Kit.tag("D999999", "uint32")])
    with pytest.raises(ConfigFault, match="480 words are more than the 100"):
        made().plan(Kit.device(max_words=100), [Kit.tag("D0", "string", length=960)])
    with pytest.raises(ConfigFault, match="only be read at random"):
        made().plan(Kit.device("iq-r", max_points=0), [Kit.tag("LZ0", "int32")])


def test_x7_needs_no_series():
    assert made().plan(Kit.device(None), [Kit.tag("X7", "bool"), Kit.tag("D0")]).turnarounds == 1


def test_the_long_specification_only_where_it_is_needed():
    plan = made().plan(Kit.device("iq-r"), [Kit.tag("LZ0", "int32"), Kit.tag("D0")])
    assert [(read.wide, read.spans[0].area.name) for read in plan.requests] == [(False, "D"), (True, "LZ")]
    plan = made().plan(Kit.device("iq-r", wide=True), [Kit.tag("LZ0", "int32"), Kit.tag("D0")])
    assert [(read.wide, len(read.spans)) for read in plan.requests] == [(True, 2)]


@pytest.mark.parametrize(
    ("code", "series", "most"),
    [("binary", "q", 6), ("binary", "iq-f", 6), ("ascii", "q", 6), ("ascii", "iq-f", 11)],
)
def test_a_thousand_words_far_apart(code, series, most):
    """The least there can be: one place of a random read for each, 192 to a request; 96 in ASCII on iQ-F."""
    tags = [Kit.tag(f"R{200 * n}") if n % 2 else Kit.tag(f"D{200 * n}") for n in range(1000)]
    plan = made(code).plan(Kit.device(series), tags)
    assert plan.turnarounds == len(plan.requests) == most


def test_devices_that_are_alike_share_a_plan():
    tags = tuple(Kit.words(10))
    first = made().plan(Kit.device(network=1), tags)
    second = made().plan(Kit.device(network=2, station=3), tags)
    assert first.table is second.table
    assert first.requests is second.requests
    assert first.steps[0][0].data != second.steps[0][0].data
    assert made().plan(Kit.device(max_gap=0), tags).table is not first.table


def test_the_forecast_counts_every_byte():
    plan = made().plan(Kit.device(), Kit.words(3, 100))
    assert plan.wire_bytes == 21 + 17 + 2 * 40
    assert made("ascii").plan(Kit.device(), Kit.words(3, 100)).wire_bytes == 42 + 34 + 2 * 40
    assert made(frame="4e", transport="udp").plan(Kit.device(), Kit.words(3, 100)).wire_bytes == 25 + 21 + 2 * 28
