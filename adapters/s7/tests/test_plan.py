"""Packing: never over the PDU, never far over a gap, in any order of tags, near the fewest requests there can be."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.s7 import adapter
from adapters.s7.codec import ITEM_HEADER, READ_ITEM, READ_OVERHEAD
from adapters.s7.packing import OPEN_JOBS, Room, pack_again
from adapters.s7.plan import make_steps, packed, sizes
from gateway.sdk.sharing import Same

KINDS = [("uint8", 0), ("uint16", 0), ("float32", 0), ("uint64", 0), ("string", 30), ("string", 254), ("bytes", 700)]
TAGS = st.lists(
    st.one_of(
        st.builds(
            lambda area, number, kind: (f"{area}{number}", *kind),
            st.sampled_from(["DB1.DBB", "DB2.DBB", "MB"]), st.integers(0, 3000), st.sampled_from(KINDS),
        ),
        st.builds(lambda number, bit: (f"M{number}.{bit}", "bool", 0), st.integers(0, 400), st.integers(0, 7)),
        st.builds(lambda number: (f"T{number}", "uint32", 0), st.integers(0, 100)),
    ),
    min_size=1,
    max_size=60,
)  # fmt: skip
LIMITS = st.fixed_dictionaries({"max_gap": st.integers(0, 200), "max_items": st.integers(1, 20)})
PDUS = st.sampled_from([112, 240, 241, 480, 960])


def tags_of(kit, rows):
    return [
        kit.tag(address, kind, name=f"t{place}", **({"length": length} if length else {}))
        for place, (address, kind, length) in enumerate(rows)
    ]


def covered(jobs):
    """Bytes that are read, by place, with where they go in the image."""
    found = {}
    for job in jobs:
        for read in job:
            for at in range(read.size):
                key = read.place, read.address + at
                assert found.setdefault(key, read.start + at) == read.start + at
    return found


EASY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}  # the kit has no state


@settings(max_examples=150, **EASY)
@given(TAGS, LIMITS, PDUS, st.randoms(use_true_random=False))
def test_packing(kit, rows, limits, pdu, shuffle):
    device = kit.device(**limits)
    tags = tags_of(kit, rows)
    plan = adapter(kit.connection()).plan(device, tags)
    jobs = packed(Same(plan.clusters), pdu, plan.max_items, plan.max_gap)
    wanted = {
        (tag.address.place, tag.address.offset + at): position for position, tag in enumerate(tags)
        for at in range(tag.size)
    }  # fmt: skip
    for job in jobs:
        assert 1 <= len(job) <= device.max_items
        assert max(sizes(job)) <= pdu
        for read in job:
            assert read.start >= 0
            gap = 0
            for at in range(read.size):
                gap = 0 if (read.place, read.address + at) in wanted else gap + 1
                assert gap <= device.max_gap
            for piece in read.pieces:
                for tag in piece.tags:
                    assert tag in read.tags
    places = covered(jobs)
    assert wanted.keys() <= places.keys()
    assert max(places.values()) < plan.table.size
    assert {tag for job in jobs for read in job for tag in read.tags} == set(range(len(tags)))
    shuffle.shuffle(tags)
    again = adapter(kit.connection()).plan(device, tags)
    assert shape(packed(Same(again.clusters), pdu, plan.max_items, plan.max_gap)) == shape(jobs)


def shape(jobs):
    return [[(read.place, read.address, read.size, read.start) for read in job] for job in jobs]


@settings(max_examples=60, **EASY)
@given(TAGS)
def test_small_values_are_never_torn(kit, rows):
    tags = [tag for tag in tags_of(kit, rows) if tag.size <= 64]
    if not tags:
        return
    plan = adapter(kit.connection()).plan(kit.device(), tags)
    for pdu in (112, 240, 960):
        reads = [read for job in packed(Same(plan.clusters), pdu, 20, plan.max_gap) for read in job]
        for position, tag in enumerate(tags):
            first, last = tag.address.offset, tag.address.offset + tag.size
            assert any(
                position in read.tags and read.place == tag.address.place
                and read.address <= first and last <= read.address + read.size
                for read in reads
            )  # fmt: skip


def test_a_text_that_is_larger_than_a_pdu_comes_in_parts(kit):
    tags = [kit.tag("DB1.DBB0", "string", length=254)]
    plan = adapter(kit.connection(cpu="s7-300")).plan(kit.device(), tags)
    assert [(read.address, read.size) for telegram in plan.requests for read in telegram.items] == [(0, 222), (222, 34)]
    assert len(packed(Same(plan.clusters), 960, 20, 0)) == 1


def test_halves_put_their_data_where_the_whole_would(kit):
    plan = adapter(kit.connection()).plan(kit.device(), kit.words(20))
    (telegram,) = plan.requests
    (read,) = telegram.items
    left, right = read.halves()
    assert (left.address, left.size, left.start) == (0, 20, 0)
    assert (right.address, right.size, right.start) == (20, 20, 20)


def least(tags, room, max_gap):
    """A number of requests below which nothing can go.

    Whatever is read over, it is some number of gaps, and they have at least the bytes of so many smallest gaps; the
    items that are left have their limit, and so have the bytes. Cuts and fill bytes only add to this.
    """
    spans = {}
    for tag in tags:
        spans.setdefault(tag.address.place, []).append((tag.address.offset, tag.address.offset + tag.size))
    items, data, gaps = 0, 0, []
    for rows in spans.values():
        end = None
        for first, last in sorted(rows):
            if end is None or first > end:
                items += 1
                if end is not None and first - end <= max_gap:
                    gaps.append(first - end)
            data += max(0, last - max(first, end or 0))
            end = max(end or 0, last)
    best = float("inf")
    for gap in [0, *sorted(gaps)]:
        items, data = items - bool(gap), data + gap
        best = min(best, max(-(-items // room.items), -(-(data + ITEM_HEADER * items) // room.data)))
    return best


def scattered(kit, seed, count, blocks, span):
    """Tags as a plant has them: some blocks, values of all sizes, at random places."""
    source = random.Random(seed)
    tags = []
    for place in range(count):
        kind, size = source.choice([("uint16", 2), ("float32", 4), ("bool", 1), ("int32", 4), ("uint8", 1)])
        block, at = source.randint(1, blocks), source.randrange(0, span, 2)
        address = f"DB{block}.DBX{at}.{source.randrange(8)}" if kind == "bool" else f"DB{block}.DBB{at}"
        tags.append(kit.tag(address, kind, name=f"t{place}"))
        del size
    return tags


CORPUS = [
    # seed, tags, blocks, bytes in each
    (1, 1000, 1, 60_000), (2, 1000, 5, 60_000), (3, 1000, 40, 4_000), (4, 1000, 10, 2_000), (5, 1000, 200, 500),
    (6, 300, 3, 60_000), (7, 300, 3, 1_000), (8, 5000, 20, 8_000), (9, 20, 20, 100), (10, 1000, 1, 3_000),
]  # fmt: skip


@pytest.mark.parametrize("pdu", [240, 480, 960])
def test_near_the_fewest_requests(kit, pdu):
    total, bound = 0, 0
    for row in CORPUS:
        tags = scattered(kit, *row)
        plan = adapter(kit.connection()).plan(kit.device(), tags)
        jobs = packed(Same(plan.clusters), pdu, 20, plan.max_gap)
        fewest = least(tags, Room.of(pdu, 20), plan.max_gap)
        assert len(jobs) <= 1.1 * fewest + 1, (row, len(jobs), fewest)
        total, bound = total + len(jobs), bound + fewest
    assert total <= 1.04 * bound, (total, bound)


def test_a_thousand_scattered_values(kit):
    """Far apart, each is an item of its own: 20 in a request, 19 where the PDU holds no more, and not one too many."""
    tags = [kit.tag(f"DB{1 + place // 500}.DBW{(place % 500) * 120}", name=f"t{place}") for place in range(1000)]
    for pdu, requests in ((240, 53), (480, 50), (960, 50)):
        plan = adapter(kit.connection(pdu=pdu)).plan(kit.device(), tags)
        assert plan.turnarounds == -(-requests // 4)
        assert len(packed(Same(plan.clusters), pdu, 20, plan.max_gap)) == requests
        assert least(tags, Room.of(pdu, 20), plan.max_gap) == requests


def test_a_block_without_gaps_fills_every_pdu(kit):
    tags = [kit.tag(f"DB1.DBD{4 * place}", "float32") for place in range(5000)]
    for pdu in (240, 480, 960):
        plan = adapter(kit.connection()).plan(kit.device(), tags)
        jobs = packed(Same(plan.clusters), pdu, 20, 32)
        assert len(jobs) == -(-20_000 // ((pdu - READ_OVERHEAD[1] - ITEM_HEADER) // 4 * 4))


def test_what_a_request_has_room_for():
    assert Room.of(240, 20) == Room((240 - 12) // READ_ITEM, 226)
    assert Room.of(960, 20) == Room(20, 946)
    assert Room.of(112, 20).item == 94


def test_more_open_requests_than_are_looked_at(kit):
    """Many large items leave room that small ones fill later: only so many requests are kept in mind."""
    tags = [kit.tag(f"DB{1 + place}.DBB0", "bytes", length=500) for place in range(OPEN_JOBS + 10)]
    tags += [kit.tag(f"DB{1000 + place}.DBW0") for place in range(50)]
    plan = adapter(kit.connection()).plan(kit.device(), tags)
    reads = [read for job in packed(Same(plan.clusters), 960, 20, 0) for read in job]
    assert sum(len(job) for job in pack_again(reads, Room.of(540, 20))) == len(reads)


def test_steps(kit):
    plan = adapter(kit.connection()).plan(
        kit.device(max_items=1, max_gap=0), [kit.tag(f"DB{n}.DBW0") for n in range(1, 8)]
    )
    jobs = packed(Same(plan.clusters), 240, 1, 0)
    assert [len(group) for _, group in make_steps(jobs, 3)] == [3, 3, 1]
    assert plan.wire_bytes == 7 * (31 + 25 + 2)
    assert plan.turnarounds == 2


def test_devices_that_are_alike_share_what_was_compiled(kit):
    tags = tuple(kit.words(10))
    plans = [adapter(kit.connection(port=port)).plan(kit.device(), tags) for port in (1, 2)]
    assert plans[0].table is plans[1].table
    assert plans[0].clusters is plans[1].clusters
    assert adapter(kit.connection()).plan(kit.device(charset="gbk"), tags).table is not plans[0].table
