"""Every type in every order through a real connection: what is set in the simulator is what a gateway reads."""

import math
import struct

import pytest

from adapters.modbus import adapter
from adapters.modbus.values import encode
from gateway.model.quality import Quality
from gateway.sdk import TagFault, Write

ORDERS = ["ABCD", "DCBA", "BADC", "CDAB"]
F32 = struct.unpack("<f", struct.pack("<f", 3.4e38))[0]
SMALLEST32 = struct.unpack("<f", b"\1\0\0\0")[0]
MATRIX = {
    "int16": [0, 1, -1, -32_768, 32_767, 0x1234],
    "uint16": [0, 65_535, 0x1234],
    "int32": [-(2**31), 2**31 - 1, -2, 0x12345678],
    "uint32": [2**32 - 1, 0x12345678],
    "int64": [-(2**63), 2**63 - 1, -3, 0x123456789ABCDEF0],
    "uint64": [2**64 - 1, 0x123456789ABCDEF0],
    "float32": [0.0, -1.5, F32, SMALLEST32, math.inf, -math.inf, math.nan],
    "float64": [0.1, -1.7976931348623157e308, 5e-324, math.inf, math.nan],
}
TEXTS = [("utf-8", "Presse Ä 1"), ("gbk", "数控车床"), ("latin-1", "Öl °C"), ("ascii", "A"), ("utf-8", "")]


def rows(kit):
    """(tag, value) of the whole matrix, each at an address of its own."""
    found, at = [], 0

    def put(address, value, kind, **more):
        found.append((kit.tag(address, kind, name=f"t{len(found)}", **more), value))

    for kind, values in MATRIX.items():
        for order in ORDERS:
            for value in values:
                put(f"{'ir' if order == 'DCBA' else 'hr'}:{at}", value, kind, order=order)
                at += 4
    for order in ORDERS:
        for kind, digits in (("uint16", 9876), ("uint32", 98_765_432), ("uint64", 1_234_567_890_123_456)):
            put(f"hr:{at}", digits, kind, order=order, encoding="bcd")
            at += 4
        for encoding, text in TEXTS:
            put(f"hr:{at}", text, "string", order=order, length=11, encoding=encoding)
            at += 6
        put(f"hr:{at}", b"\0\1\xfe\xff\0", "bytes", order=order, length=5)
        at += 3
        for bit in (0, 7, 8, 15):
            put(f"hr:{at}.{bit}", bit % 7 == 0, "bool", order=order)
        put(f"hr:{at + 1}.hi", 0xA5, "uint8", order=order)
        put(f"hr:{at + 1}.lo", -3, "int8", order=order)
        at += 2
    for place in (0, 1, 8, 1999):
        put(f"co:{place}", place % 2 == 0, "bool")
        put(f"di:{place}", place % 2 == 1, "bool")
    return found


def same(left, right):
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


@pytest.mark.parametrize("base", [0, 1])
def test_the_value_matrix(run, kit, anywhere, base):
    async def work():
        async with anywhere as sim:
            matrix = [(t, v) for t, v in rows(kit) if base == 0 or t.address.number > 0]
            device = kit.device(base=base)
            unit = sim.unit(1, device)
            for tag, value in matrix:
                unit.set(tag, value)
                assert same(unit.get(tag), value), tag
            tags = [tag for tag, _ in matrix]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(device, tags)
                found = await kit.poll(session, plan, tags)
            wrong = {(str(tag.address), tag.type, tag.order, tag.encoding, value, found[tag.name])
                     for tag, value in matrix if not same(found[tag.name], value)}  # fmt: skip
            assert not wrong
            assert len(matrix) > 150

    run(work)


def test_orders_are_what_their_letters_say(kit):
    device = kit.device()
    for order, want in {"ABCD": "0A0B0C0D", "DCBA": "0D0C0B0A", "BADC": "0B0A0D0C", "CDAB": "0C0D0A0B"}.items():
        assert encode(device, kit.tag("hr:0", "uint32", order=order), 0x0A0B0C0D).hex().upper() == want
    for order, want in {"ABCD": "0A0B", "CDAB": "0A0B", "DCBA": "0B0A", "BADC": "0B0A"}.items():
        assert encode(device, kit.tag("hr:0", "uint16", order=order), 0x0A0B).hex().upper() == want
        text = b"AB" if want == "0A0B" else b"BA"
        assert encode(device, kit.tag("hr:0", "string", length=2, order=order), "AB") == text
    for order, want in {"big": "0102030405060708", "little": "0807060504030201",
                        "big_swapped": "0201040306050807", "little_swapped": "0708050603040102"}.items():  # fmt: skip
        assert encode(device, kit.tag("hr:0", "uint64", order=order), 0x0102030405060708).hex() == want
    assert encode(kit.device(order="CDAB"), kit.tag("hr:0", "uint32"), 0x0A0B0C0D).hex().upper() == "0C0D0A0B"


def test_scale_is_undone_when_a_simulator_is_set(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            unit.set(kit.tag("hr:5", "int16", scale=0.1, offset=-40), 21.7)
            assert unit.holding[5] == 617
            unit.set(kit.tag("hr:6", "float32", scale=1000), 1500.0)
            assert unit.get(kit.tag("hr:6", "float32")) == 1.5

    run(work)


def test_what_is_no_bcd_and_no_text_is_undecodable(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            sim.unit(1).holding[0] = 0x12AB
            sim.unit(1).holding[2:4] = [0xC328, 0]
            tags = [kit.tag("hr:0", encoding="bcd"), kit.tag("hr:2", "string", length=4), kit.tag("hr:1")]
            assert sim.unit(1).get(tags[0]) is None
            async with kit.session(sim) as session:
                found = await kit.poll(session, adapter(kit.connection(sim)).plan(kit.device(), tags), tags)
            assert found == {"hr:0": "undecodable", "hr:2": "undecodable", "hr:1": 0}

    run(work)


def test_the_value_matrix_written(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device()
            unit = sim.unit(1)
            unit.holding[:] = 0xFFFF
            matrix = [
                (t.model_copy(update={"access": "read/write"}), v) for t, v in rows(kit) if t.address.area.writable
            ]
            async with kit.session(sim) as session:
                await session.write(device, [Write(tag, value) for tag, value in matrix])
            assert not [(tag, value) for tag, value in matrix if not same(unit.get(tag), value)]

    run(work)


@pytest.mark.parametrize(
    ("settings", "value", "words"),
    [
        ({"type": "uint16"}, 65_536, "uint16, 65536 does not fit"),
        ({"type": "int16"}, -32_769, "does not fit"),
        ({"type": "uint16"}, 1.5, "whole numbers"),
        ({"type": "uint16"}, math.nan, "whole numbers"),
        ({"type": "int32"}, math.inf, "whole numbers"),
        ({"type": "uint16"}, "7", "is a number"),
        ({"type": "float32"}, 1e39, "does not fit"),
        ({"type": "uint16", "encoding": "bcd"}, 10_000, "4 digits"),
        ({"type": "uint16", "encoding": "bcd"}, -1, "4 digits"),
        ({"type": "string", "length": 4}, "ABCDE", "holds 4 bytes"),
        ({"type": "string", "length": 4, "encoding": "ascii"}, "Ä", "ascii has no 'Ä'"),
        ({"type": "string", "length": 4}, 5, "is string"),
        ({"type": "bytes", "length": 4}, "text", "is bytes"),
    ],
)
def test_values_that_do_not_fit_are_refused_before_anything_is_sent(run, kit, settings, value, words):
    from adapters.modbus.simulator import Simulator

    async def work():
        async with Simulator() as sim:
            tag = kit.tag("hr:0", access="read/write", **settings)
            async with kit.session(sim) as session:
                with pytest.raises(TagFault, match=words):
                    await session.write(kit.device(), [Write(tag, value)])
            assert sim.counters.requests == 0

    run(work)


def test_writes_go_out_as_the_device_wants_them(run, kit):
    from adapters.modbus.simulator import Simulator

    async def work():
        sent = []
        async with Simulator() as sim:
            sim.tap = lambda way, data: sent.append(data[7]) if way == "<" else None
            sim.unit(1).refuse("hr", 9, 9)
            both = {"access": "read/write"}
            writes = [
                Write(kit.tag("co:1", "bool", **both), True),
                Write(kit.tag("hr:1", **both), 5),
                Write(kit.tag("hr:2", "float32", **both), 5.0),
                Write(kit.tag("hr:1.3", "bool", **both), True),
                Write(kit.tag("hr:1.hi", "uint8", **both), 9),
            ]
            async with kit.session(sim) as session:
                await session.write(kit.device(), writes)
                await session.write(kit.device(write_multiple_only=True), writes[:2])
                assert sim.unit(1).holding[1] == 5
                with pytest.raises(TagFault, match=r"hr:9.*exception 2") as raised:
                    await session.write(kit.device(), [Write(kit.tag("hr:9", **both), 1)])
                assert raised.value.quality is Quality.ADDRESS_REFUSED
            assert sent == [5, 6, 16, 22, 22, 15, 16, 6]

    run(work)
