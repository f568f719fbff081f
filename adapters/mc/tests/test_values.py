"""Every type through a real connection: what is set in the simulator is what a gateway reads, and writes back."""

import math
import struct

import pytest

from adapters.mc import adapter
from adapters.mc.values import encode
from gateway.model.quality import Quality
from gateway.sdk import TagFault, Write

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
TEXTS = [("utf-8", "Presse Ä 1"), ("gbk", "数控车床"), ("shift_jis", "プレス"), ("ascii", "A"), ("utf-8", "")]


def rows(kit, *, wide):
    """(tag, value) of the whole matrix, each at an address of its own."""
    found, at = [], 0

    def put(address, value, kind, **more):
        found.append((kit.tag(address, kind, name=f"t{len(found)}", access="read/write", **more), value))

    for kind, values in MATRIX.items():
        for value in values:
            for area, number in (("D", f"{at}"), ("W", f"{at:X}"), ("ZR", f"{40_000 + at}"), ("M", f"{16 * at}")):
                put(f"{area}{number}", value, kind)
            at += 5
    for kind, digits in (("uint16", 9876), ("uint32", 98_765_432), ("uint64", 1_234_567_890_123_456)):
        put(f"R{at}", digits, kind, encoding="bcd")
        at += 4
    for encoding, text in TEXTS:
        put(f"D{at}", text, "string", length=12, encoding=encoding)
        at += 7
    put(f"D{at}", b"\0\1\xfe\xff\0\7", "bytes", length=6)
    for place in (0, 1, 15, 16, 4095):
        for area in ("X", "Y", "B", "SB"):
            put(f"{area}{place:X}", place % 2 == 0, "bool")
        for area in ("L", "F", "V", "TS", "TC", "STS", "STC", "CS", "CC", "SM"):
            put(f"{area}{place}", place % 2 == 1, "bool")
    for place, area in enumerate(("TN", "STN", "CN", "SD", "SW", "Z")):
        put(f"{area}{place}", 1000 + place, "uint16")
    if wide:
        for place, area in enumerate(("LTN", "LSTN", "LCN", "LZ")):
            put(f"{area}{place}", -7 - place, "int32")
        put("LCS3", True, "bool")
        put("RD77", 77, "uint16")
    return found


def close(first, second):
    return (math.isnan(first) and math.isnan(second)) if second != second else first == second


def test_the_matrix(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device("iq-r")
            matrix = rows(kit, wide=True)
            cpu = sim.device(device)
            tags = [tag for tag, _ in matrix]
            made = adapter(kit.connection(sim))
            plan = made.plan(device, tags)
            async with made.open() as session:
                for tag, value in matrix:
                    cpu.set(tag, value)
                found = await kit.poll(session, plan, tags)
                wrong = [(str(tag.address), v, found[tag.name]) for tag, v in matrix if not close(found[tag.name], v)]
                assert wrong == []
                assert len(plan.requests) <= (10 if anywhere.code.text else 8)
                for name in list(cpu._memory):
                    cpu.cells(name)[:] = 0
                await session.write(device, [Write(tag, value) for tag, value in matrix])
                assert cpu.counters.writes == len(matrix)
                again = await kit.poll(session, plan, tags)
                assert [tag.name for tag, value in matrix if not close(again[tag.name], value)] == []
                assert [str(tag.address) for tag, value in matrix if not close(cpu.get(tag), value)] == []

    run(work)


def test_bits_of_words_and_odd_texts_are_only_read(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device("iq-f")
            cpu = sim.device(device)
            tags = [
                *(kit.tag(f"D7.{bit:X}", "bool") for bit in range(16)),
                kit.tag("D10", "string", length=3),
                kit.tag("X17", "bool"),
                kit.tag("X20", "uint16"),
                kit.tag("D20", "string", length=2, name="broken"),
                kit.tag("D21", "uint16", encoding="bcd", name="no digits"),
            ]
            made = adapter(kit.connection(sim))
            plan = made.plan(device, tags)
            for tag in tags[:16:3]:
                cpu.set(tag, True)
            cpu.cells("D")[11] = 0x4100  # the other half of an odd text's last word
            cpu.set(tags[16], "xyz")
            cpu.set(tags[17], True)
            cpu.set(tags[18], 0xBEEF)
            cpu.cells("D")[20:22] = (0xFFFF, 0x00AF)
            assert cpu.cells("D")[11] == 0x417A
            assert cpu.cells("X")[0] == 1 << 15
            async with made.open() as session:
                found = await kit.poll(session, plan, tags)
            assert [found[f"D7.{bit:X}"] for bit in range(16)] == [bit % 3 == 0 for bit in range(16)]
            assert (found["D10"], found["X17"], found["X20"]) == ("xyz", True, 0xBEEF)
            assert (found["broken"], found["no digits"]) == ("undecodable", "undecodable")

    run(work)


@pytest.mark.parametrize(
    ("kind", "more", "value", "says"),
    [
        ("int16", {}, 32_768, "does not fit"),
        ("uint16", {}, -1, "does not fit"),
        ("uint16", {}, 1.5, "whole numbers"),
        ("int32", {}, math.nan, "whole numbers"),
        ("uint16", {}, "7", "is a number"),
        ("float32", {}, 1e300, "does not fit"),
        ("uint16", {"encoding": "bcd"}, 10_000, "4 digits"),
        ("uint16", {"encoding": "bcd"}, -1, "4 digits"),
        ("string", {"length": 4}, "12345", "4 bytes, 5 do not fit"),
        ("string", {"length": 4, "encoding": "ascii"}, "Ä", "ascii has no"),
        ("string", {"length": 4}, 7, "is string"),
        ("bytes", {"length": 4}, "text", "is bytes"),
    ],
)
def test_what_a_tag_cannot_hold_is_not_written(run, kit, anywhere, kind, more, value, says):
    async def work():
        async with anywhere as sim, kit.session(sim) as session:
            device = kit.device()
            tag = kit.tag("D5", kind, access="write", **more)
            with pytest.raises(ValueError, match=says):
                encode(tag, value)
            with pytest.raises(TagFault, match=says):
                await session.write(device, [Write(tag, value)])
            assert sim.counters.requests == 0

    if anywhere.transport == "tcp" and not anywhere.code.text:
        run(work)


def test_a_refused_write(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device()
            cpu = sim.device(device)
            tag = kit.tag("D5", "uint16", access="write")
            async with kit.session(sim) as session:
                for code, quality in ((0xC056, Quality.ADDRESS_REFUSED), (0xC062, Quality.FUNCTION_REFUSED)):
                    cpu.allow()
                    cpu.refuse(tag, code)
                    with pytest.raises(TagFault, match=f"tag D5 at D5: end code {code:04X}") as raised:
                        await session.write(device, [Write(tag, 1)])
                    assert raised.value.quality is quality
                cpu.allow()
                await session.write(device, [Write(tag, 1)])
                assert cpu.get(tag) == 1

    run(work)
