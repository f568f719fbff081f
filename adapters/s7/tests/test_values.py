"""Every type and encoding at its limits, through real telegrams; dates that are none; what does not fit."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.s7 import adapter
from adapters.s7.config import FLOATS, Encoding
from adapters.s7.moments import (
    MOMENTS,
    SPANS,
    format_moment,
    format_time_of_day,
    parse_moment,
    parse_time_of_day,
)
from adapters.s7.simulator import Simulator
from adapters.s7.values import encode
from gateway.model.types import DataType
from gateway.sdk import TagFault, Write

LIMITS = {
    "int8": (-128, 127, 0), "uint8": (0, 255), "int16": (-32_768, 32_767, -1), "uint16": (0, 65_535),
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1),
    "float32": (0.0, -1.5, math.inf, -math.inf, math.nan, struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]),
    "float64": (0.0, -1e300, math.inf, math.nan, 5e-324),
}  # fmt: skip
ENCODED = [
    ("string", "s7string", 10, ("", "A", "Grüße ©", "0123456789")),
    ("string", "wstring", 6, ("", "温度", "Ωµ€", "012345")),
    ("string", "char", 5, ("", "ab", "abcde")),
    ("bytes", None, 4, (b"\0\1\2\xff",)),
    ("uint8", "bcd", 0, (0, 99)),
    ("uint16", "bcd", 0, (0, 9999, 1234)),
    ("uint32", "bcd", 0, (99_999_999,)),
    ("string", "date_and_time", 0, ("1990-01-01T00:00:00.000", "2089-12-31T23:59:59.999", "2024-02-29T12:34:56.789")),
    ("int64", "date_and_time", 0, (1_709_210_096_789, 631_152_000_000)),
    ("string", "dtl", 0, ("1970-01-01T00:00:00.000000000", "2262-04-11T23:47:16.854775807")),
    ("int64", "dtl", 0, (0, 1_709_210_096_789)),
    ("string", "ldt", 0, ("2024-02-29T12:34:56.123456789", "1969-12-31T23:59:59.999999999")),
    ("string", "date", 0, ("1990-01-01", "2168-12-31", "2024-02-29")),
    ("int64", "date", 0, (631_152_000_000,)),
    ("int32", "time", 0, (-(2**31), 2**31 - 1)),
    ("float64", "time", 0, (-1.5, 2_147_483.647)),
    ("string", "tod", 0, ("00:00:00.000", "23:59:59.999")),
    ("uint32", "tod", 0, (0, 86_399_999)),
    ("float64", "tod", 0, (86_399.999,)),
    ("uint32", "s5time", 0, (0, 9_990, 99_900, 999_000, 9_990_000, 1_270)),
    ("float32", "s5time", 0, (12.5, 0.0)),
]


def rows(kit, writable=False):
    """(tag, value) of every type and encoding, each at an address of its own."""
    found = []
    places = {"DB1.DBB": 0, "MB": 0}
    more = {"access": "read/write"} if writable else {}

    def put(kind, value, **settings):
        for area, place in places.items():
            tag = kit.tag(f"{area}{place}", kind, **settings, **more)
            places[area] = place + tag.size
            found.append((tag, value))

    for kind, values in LIMITS.items():
        for value in values:
            put(kind, value)
    for kind, encoding, length, values in ENCODED:
        for value in values:
            settings = {"encoding": encoding} if encoding else {}
            put(kind, value, **settings, **({"length": length} if length else {}))
    for bit in range(8):
        found.append((kit.tag(f"DB2.DBX5.{bit}", "bool", **more), bit % 2 == 0))
        found.append((kit.tag(f"Q7.{bit}", "bool", **more), bit % 3 == 0))
    if not writable:
        found += [(kit.tag(f"T{place}", "uint32"), value) for place, value in enumerate((0, 9_990, 9_990_000))]
        found += [(kit.tag(f"C{place}", "uint16"), value) for place, value in enumerate((0, 1, 999))]
        found += [(kit.tag("IW64", "int16"), -7), (kit.tag("PIW256"), 7), (kit.tag("VW20000"), 9)]
    return found


def same(left, right):
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


@pytest.mark.parametrize("pdu", [240, 960])
def test_the_value_matrix(run, kit, pdu):
    async def work():
        async with Simulator() as sim:
            matrix = rows(kit)
            machine = sim.device(kit.device())
            for tag, value in matrix:
                machine.set(tag, value)
                assert same(machine.get(tag), value), tag
            tags = [tag for tag, _ in matrix]
            async with kit.session(sim, pdu=pdu) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                found = await kit.poll(session, plan, tags)
            wrong = {(tag.name, tag.type, tag.encoding, value, found[tag.name])
                     for tag, value in matrix if not same(found[tag.name], value)}  # fmt: skip
            assert not wrong
            assert len(matrix) > 150

    run(work)


def test_the_value_matrix_written(run, kit):
    async def work():
        async with Simulator() as sim:
            matrix = rows(kit, writable=True)
            machine = sim.device(kit.device())
            sim.cpu.block(1), sim.cpu.block(2)
            async with kit.session(sim) as session:
                await session.write(kit.device(), [Write(tag, value) for tag, value in matrix])
            assert not [(tag, value) for tag, value in matrix if not same(machine.get(tag), value)]

    run(work)


def test_scale_is_undone_when_a_simulator_is_set(kit):
    machine = Simulator().device(kit.device())
    machine.set(kit.tag("MW0", "int16", scale=0.1, offset=-40), 21.7)
    assert machine.get(kit.tag("MW0", "int16")) == 617
    machine.set(kit.tag("T0", "float64"), 999.99)
    assert machine.get(kit.tag("T0", "float64")) == 999.0


NONSENSE = [
    ("string", "s7string", 10, "0a0b"),
    ("string", "s7string", 4, "0a05" + "41" * 10),  # STRING[10] with more in it than the tag says
    ("string", "wstring", 4, "00040005"),
    ("string", "wstring", 4, "00040001d800"),
    ("string", "date_and_time", 0, "2413011012134561"),
    ("string", "date_and_time", 0, "2a03011012134561"),
    ("string", "date_and_time", 0, "24030110121345a1"),
    ("int64", "date_and_time", 0, "0000000000000000"),
    ("string", "dtl", 0, "0000" + "00" * 10),
    ("string", "dtl", 0, "07e8021e0500000000000000"),
    ("string", "dtl", 0, "07e8020105000000ffffffff"),
    ("string", "date", 0, "ffff"),
    ("string", "tod", 0, "05265c00"),
    ("uint32", "tod", 0, "ffffffff"),
    ("uint32", "s5time", 0, "4000"),
    ("uint32", "s5time", 0, "0a00"),
    ("uint32", "s5time", 0, "00a0"),
    ("uint16", "bcd", 0, "12ab"),
]


def test_what_is_no_value_is_undecodable_and_its_neighbours_arrive(run, kit):
    async def work():
        async with Simulator() as sim:
            tags = []
            for place, (kind, encoding, length, data) in enumerate(NONSENSE):
                raw = bytes.fromhex(data)
                sim.cpu.block(1)[40 * place : 40 * place + len(raw)] = raw
                more = {"length": length} if length else {}
                tags.append(kit.tag(f"DB1.DBB{40 * place}", kind, encoding=encoding, **more))
                tags.append(kit.tag(f"DB1.DBW{40 * place + 30}"))
            async with kit.session(sim) as session:
                found = await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)
            values = list(found.values())
            assert {getattr(value, "label", value) for value in values[::2]} == {"undecodable"}
            assert set(values[1::2]) == {0}
            assert None in {sim.device(kit.device()).get(tag) for tag in tags}

    run(work)


def test_texts_in_gbk(run, kit):
    async def work():
        async with Simulator() as sim:
            device = kit.device(charset="gbk")
            tags = [kit.tag("DB1.DBB0", "string", length=20), kit.tag("DB1.DBB30", "string", length=6, encoding="char"),
                    kit.tag("DB1.DBB50", "string", length=20, charset="utf-8")]  # fmt: skip
            for tag, text in zip(tags, ("数控车床", "铣床", "温度"), strict=True):
                sim.device(device).set(tag, text)
            assert sim.cpu.block(1)[2:10] == "数控车床".encode("gbk")
            async with kit.session(sim) as session:
                found = await kit.poll(session, adapter(kit.connection(sim)).plan(device, tags), tags)
            assert list(found.values()) == ["数控车床", "铣床", "温度"]

    run(work)


@pytest.mark.parametrize(
    ("kind", "more", "value", "words"),
    [
        ("uint16", {}, 65_536, "uint16, 65536 does not fit"),
        ("int16", {}, -32_769, "does not fit"),
        ("uint16", {}, 1.5, "whole numbers"),
        ("uint16", {}, math.nan, "whole numbers"),
        ("uint16", {}, "7", "is a number"),
        ("float32", {}, 1e39, "does not fit"),
        ("uint16", {"encoding": "bcd"}, 10_000, "4 digits"),
        ("uint16", {"encoding": "bcd"}, -1, "4 digits"),
        ("string", {"length": 4}, "ABCDE", "holds 4 bytes"),
        ("string", {"length": 4}, "温", "latin-1 has no '温'"),
        ("string", {"length": 4, "encoding": "wstring"}, "ABCDE", "holds 8 bytes"),
        ("string", {"length": 4}, 5, "is string"),
        ("bytes", {"length": 4}, "text", "is bytes"),
        ("string", {"encoding": "dtl"}, "yesterday", "does not fit"),
        ("string", {"encoding": "dtl"}, "2024-01-01T00:00:00+02:00", "has a zone"),
        ("string", {"encoding": "dtl"}, "2024-01-01T00:00:00.1234567890", "fraction"),
        ("string", {"encoding": "dtl"}, 5, "a text such as"),
        ("string", {"encoding": "dtl"}, "1960-01-01", "1970 to 2262"),
        ("string", {"encoding": "date_and_time"}, "2090-01-01", "1990 to 2089"),
        ("int64", {"encoding": "date_and_time"}, 10**18, "does not fit"),
        ("string", {"encoding": "date"}, "2024-01-01T08:00:00", "whole days"),
        ("int64", {"encoding": "ldt"}, 10**14, "does not fit"),
        ("int64", {"encoding": "dtl"}, "now", "a number"),
        ("int64", {"encoding": "dtl"}, 1.5, "whole milliseconds"),
        ("int64", {"encoding": "time"}, 2**31, "24 days"),
        ("float64", {"encoding": "time"}, math.inf, "a number"),
        ("string", {"encoding": "tod"}, "24:00:00", "does not fit"),
        ("uint32", {"encoding": "tod"}, 86_400_000, "86,400,000"),
        ("uint32", {"encoding": "s5time"}, 9_995, "three digits"),
        ("uint32", {"encoding": "s5time"}, 10_000_000, "three digits"),
    ],
)
def test_values_that_do_not_fit_are_refused_before_anything_is_sent(run, kit, kind, more, value, words):
    async def work():
        async with Simulator() as sim:
            tag = kit.tag("DB1.DBB0", kind, access="read/write", **more)
            async with kit.session(sim) as session:
                before = sim.counters.requests
                with pytest.raises(TagFault, match=words):
                    await session.write(kit.device(), [Write(tag, value)])
            assert sim.counters.requests == before

    run(work)


def test_a_bool_is_true_or_false(kit):
    tag = kit.tag("M0.0", "bool")
    assert [encode(kit.device(), tag, value) for value in (True, False, 1, 0.0)] == [b"\1", b"\0", b"\1", b"\0"]
    for value in (2, "true", math.nan):
        with pytest.raises(ValueError, match="true or false"):
            encode(kit.device(), tag, value)


NS = st.integers(-(10**18), 9 * 10**18)


@given(st.sampled_from(sorted(MOMENTS)), NS)
def test_moments_survive(kind, ns):
    moment = MOMENTS[kind]
    step = 86_400 * 10**9 if moment.digits < 0 else 10 ** (9 - moment.digits)
    ns -= ns % step
    try:
        raw = moment.encode(ns)
    except ValueError:
        return
    assert moment.decode(raw) == ns
    assert parse_moment(format_moment(ns, moment.digits)) == ns


@given(st.sampled_from(sorted(SPANS)), st.integers(-(2**31), 2**31 - 1))
def test_spans_survive(kind, ms):
    try:
        raw = SPANS[kind].encode(ms)
    except ValueError:
        return
    assert SPANS[kind].decode(raw) == ms
    if kind is Encoding.TOD:
        assert parse_time_of_day(format_time_of_day(ms)) == ms


@given(st.sampled_from(sorted(MOMENTS) + sorted(SPANS)), st.binary(min_size=12, max_size=12))
def test_any_bytes_are_a_value_or_none(kind, raw):
    table = MOMENTS if kind in MOMENTS else SPANS
    size = {"date_and_time": 8, "dtl": 12, "ldt": 8, "date": 2, "time": 4, "tod": 4, "s5time": 2}[kind]
    try:
        value = table[kind].decode(raw[:size])
    except ValueError:
        return
    assert isinstance(value, int)
    if kind in MOMENTS:
        assert len(format_moment(value, MOMENTS[kind].digits)) <= 32


def test_the_calendar_ends():
    with pytest.raises(ValueError, match="calendar"):
        MOMENTS[Encoding.DTL].encode(10**21)
    assert DataType.FLOAT32 in FLOATS
