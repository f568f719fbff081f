"""Against snap7, an independent implementation in C: its server read by us, its client reading our simulator."""

import asyncio
import json
import struct
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.s7 import adapter
from adapters.s7.simulator import Simulator
from gateway.sdk import Quality, TagFault, Write
from gateway.testing.ports import free_port

PEERS = Path(__file__).parent / "peers"


class Peer:
    """A process that answers lines with lines."""

    def __init__(self, process):
        self.process = process

    async def hear(self):
        return json.loads(await asyncio.wait_for(self.process.stdout.readline(), 20))

    async def ask(self, *what):
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        return await self.hear()


@asynccontextmanager
async def peer(name, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PEERS / f"{name}.py"), *map(str, arguments),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Peer(process)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def server():
    port = free_port()
    async with peer("snap7_server", port) as found:
        assert await found.hear() == "ready"
        yield found, port


def test_every_area_of_their_server(run, kit):
    async def work():
        async with server() as (theirs, port):
            await theirs.ask("set", "DB", 1, 0, struct.pack(">hfdIB", -5, 12.5, -1e100, 4_000_000_000, 0b1010).hex())
            await theirs.ask("set", "DB", 1, 100, bytes((20, 5)).hex() + b"Hallo".hex())
            await theirs.ask("set", "DB", 1, 200, "2403011012134561")
            await theirs.ask("set", "M", 0, 10, "1234")
            await theirs.ask("set", "I", 0, 4, "80")
            await theirs.ask("set", "Q", 0, 5, "ff")
            # This server keeps timer and counter n at byte n / 2; its own client sees them there too.
            await theirs.ask("set", "T", 0, 4, "2127")
            await theirs.ask("set", "C", 0, 6, "0042")
            rows = {
                ("DB1.DBW0", "int16"): -5,
                ("DB1.DBD2", "float32"): 12.5,
                ("DB1.DBL6", "float64"): -1e100,
                ("DB1.DBD14", "uint32"): 4_000_000_000,
                ("DB1.DBX18.1", "bool"): True,
                ("DB1.DBX18.2", "bool"): False,
                ("VW0", "int16"): -5,
                ("MW10", "uint16"): 0x1234,
                ("I4.7", "bool"): True,
                ("QB5", "uint8"): 255,
                ("T8", "float64"): 127.0,
                ("C12", "uint16"): 42,
            }
            tags = [kit.tag(*row) for row in rows]
            tags.append(kit.tag("DB1.DBB100", "string", length=20))
            tags.append(kit.tag("DB1.DBB200", "string", encoding="date_and_time"))
            made = adapter(kit.connection(port=port, timeout="2s"))
            probed = await made.probe(kit.device())
            assert probed.outcome == "ok"
            assert dict(probed.identity)["order_number"].startswith("6ES7")
            async with made.open() as session:
                found = await kit.poll(session, made.plan(kit.device(), tags), tags)
            assert list(found.values()) == [*rows.values(), "Hallo", "2024-03-01T10:12:13.456"]

    run(work)


@pytest.mark.parametrize("pdu", [240, 480, 960])
def test_many_values_in_every_pdu_size_and_several_at_a_time(run, kit, pdu):
    async def work():
        async with server() as (theirs, port):
            data = bytes(place * 7 & 0xFF for place in range(4096))
            await theirs.ask("set", "DB", 1, 0, data.hex())
            tags = [kit.tag(f"DB1.DBB{place}", "uint8") for place in range(0, 4096, 3)]
            tags += [kit.tag(f"DB1.DBD{place}", "uint32") for place in range(0, 4000, 61)]
            for device in (kit.device(), kit.device(max_gap=0), kit.device(max_items=3)):
                made = adapter(kit.connection(port=port, timeout="2s", pdu=pdu))
                async with made.open() as session:
                    assert session.pdu == pdu
                    found = await kit.poll(session, made.plan(device, tags), tags)
                for tag in tags:
                    first = tag.address.byte
                    assert found[tag.name] == int.from_bytes(data[first : first + tag.size], "big")

    run(work)


def test_what_their_server_refuses_leaves_its_neighbours_alone(run, kit):
    async def work():
        async with server() as (theirs, port):
            await theirs.ask("set", "DB", 7, 96, "00070008")
            tags = [kit.tag(address) for address in ("DB7.DBW96", "DB7.DBW98", "DB7.DBW100", "DB9.DBW0", "MW0")]
            made = adapter(kit.connection(port=port, timeout="2s"))
            plan = made.plan(kit.device(), tags)
            async with made.open() as session:
                for _ in range(3):
                    found = await kit.poll(session, plan, tags)
                    assert list(found.values()) == [7, 8, Quality.ADDRESS_REFUSED, Quality.ADDRESS_REFUSED, 0]

    run(work)


def test_values_written_to_their_server(run, kit):
    async def work():
        async with server() as (theirs, port):
            await theirs.ask("set", "DB", 1, 30, bytes((10, 0)).hex())
            await theirs.ask("set", "DB", 1, 50, "ff")
            both = {"access": "read/write"}
            writes = [
                Write(kit.tag("DB1.DBW0", "int16", **both), -2),
                Write(kit.tag("DB1.DBD2", "float32", **both), 0.5),
                Write(kit.tag("DB1.DBB30", "string", length=10, **both), "Grüße"),
                Write(kit.tag("DB1.DBX50.3", "bool", **both), False),
                Write(kit.tag("Q5.0", "bool", **both), True),
                Write(kit.tag("MW4", **both), 0xABCD),
                Write(kit.tag("DB1.DBB1000", "bytes", length=1000, **both), bytes(range(250)) * 4),
            ]
            made = adapter(kit.connection(port=port, timeout="2s"))
            async with made.open() as session:
                await session.write(kit.device(), writes)
                with pytest.raises(TagFault, match=r"DB9.DBW0.*0x"):
                    await session.write(kit.device(), [Write(kit.tag("DB9.DBW0", **both), 1)])
            assert await theirs.ask("get", "DB", 1, 0, 6) == "fffe3f000000"
            assert await theirs.ask("get", "DB", 1, 30, 7) == bytes((10, 5)).hex() + "Grüße".encode("latin-1").hex()
            assert await theirs.ask("get", "DB", 1, 50, 1) == "f7"
            assert await theirs.ask("get", "Q", 0, 5, 1) == "01"
            assert await theirs.ask("get", "M", 0, 4, 2) == "abcd"
            assert await theirs.ask("get", "DB", 1, 1000, 1000) == (bytes(range(250)) * 4).hex()

    run(work)


def test_their_client_at_our_simulator(run, kit):
    async def work():
        async with Simulator() as sim, peer("snap7_client") as theirs:
            machine = sim.device(kit.device())
            machine.set(kit.tag("DB1.DBD0", "float32"), 12.5)
            machine.set(kit.tag("MW10"), 0x1234)
            machine.set(kit.tag("T5", "int32"), 127_000)
            sim.cpu.grant_pdu = 240
            assert await theirs.ask("connect", sim.port, 0, 1) == 240
            assert await theirs.ask("read", "DB", 1, 0, 4) == struct.pack(">f", 12.5).hex()
            assert await theirs.ask("read", "M", 0, 10, 2) == "1234"
            assert await theirs.ask("read", "T", 0, 5, 1) == "2127"
            assert len(await theirs.ask("read", "DB", 1, 0, 1000)) == 2000
            found = await theirs.ask("many", [["DB", 1, 0, 3], ["DB", 99, 0, 2], ["M", 0, 10, 2], ["Q", 0, 0, 1]])
            assert [code == 0 for code, _ in found] == [True, False, True, True]
            assert (found[0][1], found[2][1]) == ("414800", "1234")
            await theirs.ask("write", "DB", 1, 100, "0102030405")
            assert sim.cpu.block(1)[100:105] == b"\1\2\3\4\5"
            info = await theirs.ask("info")
            assert info["ModuleTypeName"] == "CPU 1515-2 PN"
            assert info["SerialNumber"] == "S V-L9AA00000001"
            assert (await theirs.ask("order")).startswith("6ES7 515-2AM01-0AB0")
            sim.cpu.put_get = False
            assert "refused" in (await theirs.ask("read", "DB", 1, 0, 4))["error"]
            assert sim.counters.pdu_most <= 240

    run(work)
