"""Writes change what they should and nothing else, and what is not known is told as unknown."""

import pytest

from adapters.s7.simulator import Faults, Simulator
from gateway.sdk import LinkLost, Quality, TagFault, Timeout, Write, Writes


def test_writes_change_what_they_should_and_nothing_else(run, kit):
    async def work():
        async with Simulator() as sim:
            memory = sim.cpu.block(1)
            memory[:100] = b"\xee" * 100
            memory[40:43] = b"\x05\x00z"
            both = {"access": "read/write"}
            writes = [
                Write(kit.tag("DB1.DBX0.4", "bool", **both), False),
                Write(kit.tag("DB1.DBB2", "uint8", **both), 1),
                Write(kit.tag("DB1.DBW4", **both), 2),
                Write(kit.tag("DB1.DBD8", "float32", **both), 1.0),
                Write(kit.tag("DB1.DBB40", "string", length=5, **both), "ab"),
            ]
            async with kit.session(sim) as session:
                assert isinstance(session, Writes)
                await session.write(kit.device(), writes)
            expected = bytearray(b"\xee" * 100)
            expected[0] = 0xEE & ~0x10
            expected[2] = 1
            expected[4:6] = b"\0\2"
            expected[8:12] = b"\x3f\x80\0\0"
            expected[40:44] = b"\5\2ab"
            assert memory[:100] == expected

    run(work)


def test_a_string_never_reaches_over_its_end(run, kit):
    async def work():
        async with Simulator() as sim:
            memory = sim.cpu.block(1)
            memory[0:2] = b"\4\0"
            memory[100:104] = b"\0\4\0\0"
            both = {"access": "read/write"}
            async with kit.session(sim) as session:
                with pytest.raises(TagFault, match="holds 4 characters, 5 do not fit"):
                    await session.write(
                        kit.device(), [Write(kit.tag("DB1.DBB0", "string", length=20, **both), "abcde")]
                    )
                wide = kit.tag("DB1.DBB100", "string", length=20, encoding="wstring", **both)
                with pytest.raises(TagFault, match="holds 4 characters, 5 do not fit"):
                    await session.write(kit.device(), [Write(wide, "abcde")])
                await session.write(kit.device(), [Write(wide, "温度")])
                assert memory[100:108] == b"\0\4\0\2" + "温度".encode("utf-16-be")
                fresh = kit.tag("DB1.DBB200", "string", length=8, **both)
                await session.write(kit.device(), [Write(fresh, "abc")])
                assert memory[200:206] == b"\x08\x03abc\0"
                missing = kit.tag("DB9.DBB0", "string", length=8, **both)
                with pytest.raises(TagFault, match=r"DB9.DBB0: the CPU answers 0x0a"):
                    await session.write(kit.device(), [Write(missing, "abc")])

    run(work)


def test_long_values_are_written_in_parts_the_length_last(run, kit):
    async def work():
        async with Simulator() as sim:
            memory = sim.cpu.block(1)
            memory[0:2] = b"\xfe\0"
            sim.cpu.grant_pdu = 240
            both = {"access": "read/write"}
            async with kit.session(sim) as session:
                before = sim.counters.writes
                await session.write(kit.device(), [Write(kit.tag("DB1.DBB0", "string", length=254, **both), "y" * 254)])
                assert sim.counters.writes - before == 2
                assert memory[:256] == b"\xfe\xfe" + b"y" * 254
                raw = bytes(range(256)) * 4
                await session.write(kit.device(), [Write(kit.tag("DB1.DBB300", "bytes", length=1024, **both), raw)])
                assert memory[300:1324] == raw
            assert sim.counters.pdu_most <= 240

    run(work)


def test_writes_that_are_refused_and_those_before_them(run, kit):
    async def work():
        async with Simulator() as sim:
            both = {"access": "read/write"}
            good, bad = kit.tag("MW0", **both), kit.tag("MW10", **both)
            sim.device(kit.device()).refuse(bad, 0x03)
            async with kit.session(sim) as session:
                with pytest.raises(TagFault, match=r"MW10.*not allowed") as raised:
                    await session.write(kit.device(), [Write(good, 7), Write(bad, 8), Write(good, 9)])
                assert raised.value.quality is Quality.AUTH
                assert sim.device(kit.device()).get(good) == 7
                sim.cpu.refuse((0x84, 5), 0, 9, 0x05)
                sim.cpu.block(5)
                fresh = kit.tag("DB5.DBB0", "string", length=8, **both)
                with pytest.raises(TagFault, match="out of range"):
                    await session.write(kit.device(), [Write(fresh, "abc")])

    run(work)


def test_a_fresh_string_whose_memory_cannot_be_written(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)
            sim.cpu._serve = refusing_writes(sim.cpu)
            write = Write(kit.tag("DB1.DBB0", "string", length=8, access="write"), "abc")
            async with kit.session(sim) as session:
                with pytest.raises(TagFault, match="not allowed"):
                    await session.write(kit.device(), [write])
            assert sim.counters.writes == 1

    run(work)


def refusing_writes(cpu):
    """Services of a CPU that lets nobody write."""
    serve = type(cpu)._serve

    def instead(parameter, data, pdu):
        header, body = serve(cpu, parameter, data, pdu)
        return header, b"\x03" * len(body) if parameter[0] == 5 else body

    return instead


def test_a_write_without_an_answer_is_unknown_and_not_repeated(run, kit):
    async def work():
        async with Simulator() as sim:
            tag = kit.tag("MW0", access="write")
            async with kit.session(sim, timeout="80ms") as session:
                sim.cpu.faults = Faults(silent=True, times=1)
                with pytest.raises(Timeout):
                    await session.write(kit.device(), [Write(tag, 7)])
                assert sim.counters.writes == 1
                with pytest.raises(LinkLost, match="still owes"):
                    await session.write(kit.device(), [Write(tag, 8)])
                assert sim.counters.writes == 1

    run(work)
