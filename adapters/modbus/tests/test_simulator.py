"""The simulator as a peer: what it refuses, what it counts, how it ends."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from adapters.modbus.codec import rtu_frame, tcp_frame
from adapters.modbus.simulator import Simulator
from gateway.sdk.manifest import manifests


async def ask(sim, data, size):
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.readexactly(size), 2)
    finally:
        writer.close()


REFUSED = {
    "unknown function": ("63", 1),
    "no registers": ("03 0000 0000", 3),
    "too many registers": ("03 0000 007E", 3),
    "too many bits": ("01 0000 07D1", 3),
    "behind the end": ("03 FFFF 0002", 2),
    "a coil half on": ("05 0000 1234", 3),
    "bits that do not fit": ("0F 0000 0009 01 FF", 3),
    "registers that do not fit": ("10 0000 0002 02 1234", 3),
    "both that do not fit": ("17 0000 0001 0000 0002 02 1234", 3),
    "half a request": ("03 00", 3),
    "an unknown identification": ("2B 0D 01 00", 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_are_refused(run, name):
    pdu, code = REFUSED[name]
    pdu = bytes.fromhex(pdu)

    async def work():
        async with Simulator() as sim:
            sim.unit(1)
            assert await ask(sim, tcp_frame(7, 1, pdu), 9) == tcp_frame(7, 1, bytes((pdu[0] | 0x80, code)))

    run(work)


def test_an_unknown_unit_behind_a_gateway(run):
    async def work():
        async with Simulator() as sim:
            assert await ask(sim, tcp_frame(7, 9, b"\3\0\0\0\1"), 9) == tcp_frame(7, 9, b"\x83\x0b")

    run(work)


def test_what_is_not_modbus_is_hung_up_on(run):
    async def work():
        async with Simulator() as sim:
            with pytest.raises(asyncio.IncompleteReadError):
                await ask(sim, b"GET / HTTP/1.1\r\n\r\n", 1)
            assert sim.counters.rejected_bytes == 18

    run(work)


def test_noise_on_a_line_is_skipped(run):
    async def work():
        async with Simulator(transport="rtu_over_tcp") as sim:
            sim.unit(1).holding[0] = 5
            good = rtu_frame(1, b"\3\0\0\0\1")
            assert await ask(sim, b"\xff\x00" + good[:-1] + b"\0\0" + good, 7) == rtu_frame(1, b"\3\2\0\5")
            assert sim.counters.rejected_bytes > 2
            data = rtu_frame(1, b"\x10\0\1\0\1\2\0\7") + good
            assert await ask(sim, data[:6], 0) == b""
            assert await ask(sim, data, 15) == rtu_frame(1, b"\x10\0\1\0\1") + rtu_frame(1, b"\3\2\0\5")

    run(work)


def test_a_hook_sets_values_as_they_are_read(run, kit):
    from adapters.modbus import adapter

    async def work():
        async with Simulator() as sim:
            unit = sim.unit(1)

            def count(unit, area, address, _count):
                assert area in ("hr", "di")
                if area == "hr":
                    unit.holding[address] += 1
                else:
                    unit.discretes[address] ^= True

            unit.on_read = count
            tags = [kit.tag("hr:5"), kit.tag("di:1", "bool")]
            async with kit.session(sim) as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                found = [tuple((await kit.poll(session, plan, tags)).values()) for _ in range(3)]
            assert found == [(1, True), (2, False), (3, True)]

    run(work)


def test_it_ends_without_a_trace(run):
    async def work():
        before = len(list(Path("/proc/self/fd").iterdir()))
        for transport in ("tcp", "rtu", "rtu_over_tcp") * 5:
            async with Simulator(transport=transport) as sim:
                if transport != "rtu":
                    _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
                    await asyncio.sleep(0.01)
                    assert sim.counters.connections == 1
                    writer.close()
        await asyncio.sleep(0.05)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1

    run(work)


def test_on_a_serial_port_of_the_machine(run, tmp_path, kit):
    from adapters.modbus import adapter, models

    async def work():
        ends = [str(tmp_path / "a"), str(tmp_path / "b")]
        joined = subprocess.Popen(["socat", *(f"pty,raw,echo=0,link={end}" for end in ends)])
        try:
            while not all(Path(end).exists() for end in ends):
                await asyncio.sleep(0.01)
            async with Simulator(transport="rtu", port=ends[1]) as sim:
                sim.unit(1).holding[0] = 9
                made = adapter(
                    models.connection(adapter="modbus", transport="rtu", serial_port=ends[0], baudrate=115_200)
                )
                tags = kit.registers(1)
                async with made.open() as session:
                    assert await kit.poll(session, made.plan(kit.device(), tags), tags) == {"hr:0": 9}
        finally:
            joined.terminate()
            joined.wait()

    run(work)


def test_it_is_found_by_the_manifest():
    assert manifests()["modbus"].load_simulator() is Simulator
    with pytest.raises(ValueError, match="transport is tcp, rtu or rtu_over_tcp"):
        Simulator(transport="ascii")
