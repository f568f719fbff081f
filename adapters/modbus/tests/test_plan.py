"""Merging: never over the limit, never far over a gap, in any order of tags, in the fewest reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.modbus import adapter, models
from adapters.modbus.address import Area
from adapters.modbus.plan import RTU_OVERHEAD, TCP_OVERHEAD, line_time, quiet_time
from gateway.model.faults import ConfigFault

TYPES = [("uint16", 0), ("float32", 0), ("uint64", 0), ("string", 9), ("bytes", 30)]


def connection(**more):
    return models.connection(adapter="modbus", **({"host": "h"} | more))


def device(**more):
    return models.device(connection="line", **more)


def tag(name, address, kind="uint16", length=0):
    return models.tag(name=name, address=address, type=kind, length=length)


TAGS = st.lists(
    st.one_of(
        st.builds(
            lambda area, number, kind: (f"{area}:{number}", *kind),
            st.sampled_from(["hr", "ir"]), st.integers(0, 400), st.sampled_from(TYPES),
        ),
        st.builds(lambda number: (f"co:{number}", "bool", 0), st.integers(0, 3000)),
        st.builds(lambda number, bit: (f"hr:{number}.{bit}", "bool", 0), st.integers(0, 400), st.integers(0, 15)),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
LIMITS = st.fixed_dictionaries(
    {
        "max_registers": st.integers(15, 125),
        "max_bits": st.integers(1, 2000),
        "max_gap": st.integers(0, 124),
        "single_reads": st.booleans(),
    }
)


def fewest(items, limit, gap):
    """Least number of reads, by trying every way (dynamic programming over items sorted by address)."""
    items = sorted(set(items))
    best = [0] + [len(items) + 1] * len(items)
    for last in range(1, len(items) + 1):
        for first in range(last, 0, -1):
            group = items[first - 1 : last]
            end = group[0][0] + group[0][1]
            joined = True
            for address, count in group[1:]:
                joined &= address - end <= gap
                end = max(end, address + count)
            if joined and end - group[0][0] <= limit:
                best[last] = min(best[last], best[first - 1] + 1)
    return best[-1]


@settings(max_examples=150, deadline=None)
@given(TAGS, LIMITS, st.randoms(use_true_random=False))
def test_merging(rows, limits, shuffle):
    unit = device(**limits)
    tags = [tag(f"t{place}", *row) for place, row in enumerate(rows)]
    plan = adapter(connection()).plan(unit, tags)
    seen = []
    for read in plan.requests:
        limit = unit.max_bits if read.area.bits else unit.max_registers
        gap = unit.max_gap * (16 if read.area.bits else 1)
        assert 1 <= read.count <= limit
        assert read.address + read.count <= 65_536
        end = read.address
        for item in sorted(read.items):
            assert item.address - end <= gap
            end = max(end, item.end)
            assert read.address <= item.address
            assert item.end <= read.address + read.count
            for position in item.tags:
                assert tags[position].address.area is read.area
                assert tags[position].address.offset(0) == item.address
                assert tags[position].registers == item.width
        assert sorted(read.tags) == sorted(position for item in read.items for position in item.tags)
        if unit.single_reads:
            assert len(read.items) == 1
        seen += read.tags
    assert sorted(seen) == list(range(len(tags)))
    if not unit.single_reads:
        for area in Area:
            items = [(tag.address.offset(0), tag.registers) for tag in tags if tag.address.area is area]
            limit, gap = (unit.max_bits, unit.max_gap * 16) if area.bits else (unit.max_registers, unit.max_gap)
            assert sum(read.area is area for read in plan.requests) == fewest(items, limit, gap)
    shuffle.shuffle(tags)
    again = adapter(connection()).plan(unit, tags)
    assert [(r.area, r.address, r.count, r.start) for r in again.requests] == [
        (r.area, r.address, r.count, r.start) for r in plan.requests
    ]


@settings(max_examples=60, deadline=None)
@given(TAGS)
def test_parts_of_a_read_put_their_data_where_the_whole_would(rows):
    tags = [tag(f"t{place}", *row) for place, row in enumerate(rows)]
    plan = adapter(connection()).plan(device(), tags)
    for read in plan.requests:
        if len(read.items) < 2:
            continue
        for half in read.halves():
            assert half.count <= read.count
            if read.area.bits:
                assert 8 * half.start + half.bit - 8 * read.start == half.address - read.address
            else:
                assert half.start - read.start == 2 * (half.address - read.address)
        assert sorted(tag for half in read.halves() for tag in half.tags) == sorted(read.tags)


def test_a_thousand_registers_are_eight_reads_in_one_write():
    tags = [tag(f"t{place}", f"hr:{place}") for place in range(1000)]
    plan = adapter(connection(pipeline=8)).plan(device(), tags)
    assert [read.count for read in plan.requests] == [125] * 8
    assert (plan.turnarounds, len(plan.steps)) == (1, 1)
    assert plan.wire_bytes == 2000 + 8 * sum(TCP_OVERHEAD)
    assert plan.wire_time == 0
    assert adapter(connection(pipeline=3)).plan(device(), tags).turnarounds == 3
    assert adapter(connection()).limits.in_flight == 1


def test_time_on_a_serial_line():
    line = connection(host="", transport="rtu", serial_port="/dev/ttyS1", baudrate=9600, parity="E")
    plan = adapter(line).plan(device(), [tag(f"t{place}", f"hr:{place}") for place in range(100)])
    assert plan.wire_bytes == 200 + sum(RTU_OVERHEAD)
    character = 11 / 9600
    assert plan.wire_time == pytest.approx((213 + 3.5) * character)
    assert quiet_time(line) == pytest.approx(3.5 * character)
    assert quiet_time(line.model_copy(update={"baudrate": 38_400})) == 0.00175
    assert quiet_time(line.model_copy(update={"gap": 0.2})) == 0.2
    assert quiet_time(connection(gap="20ms")) == 0.02
    assert line_time(line.model_copy(update={"parity": "N"}), 96) == pytest.approx(0.1)
    assert adapter(line).plan(device(gap="50ms"), [tag("t", "hr:0")]).gap == 0.05


@pytest.mark.parametrize(
    ("unit", "row", "words"),
    [
        ({"base": 1}, ("hr:0",), "tag t: address hr:0 does not exist"),
        ({}, ("hr:65535", "float32"), "reaches past the last register"),
        ({"max_registers": 3}, ("hr:0", "float64"), "takes 4 registers, max_registers is 3"),
    ],
)
def test_tags_that_cannot_be_read(unit, row, words):
    with pytest.raises(ConfigFault, match=words):
        adapter(connection()).plan(device(**unit), [tag("t", *row)])


def test_the_broadcast_address_is_not_read():
    line = connection(host="", transport="rtu", serial_port="/dev/ttyS1")
    with pytest.raises(ConfigFault, match="broadcast"):
        adapter(line).plan(device(unit=0), [tag("t", "hr:0")])
    assert adapter(connection()).plan(device(unit=0), [tag("t", "hr:0")]).unit == 0


def test_devices_that_are_alike_share_what_was_compiled():
    tags = tuple(tag(f"r{number}", f"hr:{number}") for number in range(10))
    plans = [adapter(connection(port=number + 1)).plan(device(unit=number), tags) for number in (1, 2)]
    assert plans[0].table is plans[1].table
    assert plans[0].requests is plans[1].requests
    assert plans[0].steps[0][0].data != plans[1].steps[0][0].data  # the unit is in it


@pytest.mark.parametrize("oddity", [{"order": "DCBA"}, {"base": 1}, {"max_registers": 4}, {"single_reads": True}])
def test_an_odd_device_has_a_plan_of_its_own(oddity):
    tags = tuple(tag(f"r{number}", f"hr:{number + 1}") for number in range(10))
    line = adapter(connection())
    assert line.plan(device(**oddity), tags).table is not line.plan(device(), tags).table


def test_a_list_that_has_changed_is_planned_anew():
    tags = [tag("a", "hr:0")]
    line = adapter(connection())
    before = line.plan(device(), tags)
    tags.append(tag("b", "hr:1"))
    assert len(line.plan(device(), tags).requests[0].tags) == 2
    assert len(before.requests[0].tags) == 1
