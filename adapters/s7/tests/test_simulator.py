"""The simulator as a peer: what it refuses, what it counts, how it ends."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from adapters.s7 import codec
from adapters.s7.exchange import Chunk, S7Exchange
from adapters.s7.simulator import Faults, Simulator
from gateway.sdk.manifest import manifests

CONNECT = codec.connect_request(b"\1\0", b"\3\1")


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, sim):
        found = cls(*await asyncio.open_connection("127.0.0.1", sim.port))
        assert (await found.ask(CONNECT))[5] == codec.CONFIRM
        return found

    async def ask(self, data):
        self.writer.write(data)
        head = await asyncio.wait_for(self.reader.readexactly(4), 2)
        return head + await self.reader.readexactly(int.from_bytes(head[2:], "big") - 4)


REFUSED = {
    "unknown function": (codec._job(b"\x1e\0"), 0x8104),
    "no items": (codec._job(b"\4\0"), 0x8500),
    "too many items": (codec._job(b"\4\x15" + codec.item_bytes((0x83, 0), 0, 1) * 21), 0x8500),
    "half an item": (codec._job(b"\4\1\x12\x0a"), 0x8500),
    "an answer that is too large": (codec.ask_read([((0x83, 0), 0, 300)], [0]).frame, 0x8500),
    "a write without data": (codec._job(b"\5\1" + codec.item_bytes((0x83, 0), 0, 1)), 0x8500),
    "another user data function": (codec._job(bytes.fromhex("0001120411450200"), b"\0" * 8, 7), 0x8104),
}


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_are_refused(run, name):
    frame, code = REFUSED[name]

    async def work():
        async with Simulator() as sim:
            raw = await Raw.at(sim)
            await raw.ask(codec.ask_setup(1, 240).frame)
            answer = await raw.ask(frame)
            assert int.from_bytes(answer[17:19], "big") == code
            raw.writer.close()

    run(work)


def item(transport, count, block, area, address):
    return bytes((0x12, 10, 0x10, transport)) + count.to_bytes(2, "big") + block.to_bytes(2, "big") + bytes(
        (area,)) + address.to_bytes(3, "big")  # fmt: skip


ITEMS = {
    "a missing block": (item(2, 1, 9, 0x84, 0), 0x0A),
    "behind the end": (item(2, 2, 0, 0x83, 65_535 * 8), 0x05),
    "an unknown type": (item(0x30, 1, 0, 0x83, 0), 0x06),
    "several bits": (item(1, 3, 0, 0x83, 0), 0x06),
    "symbolic": (bytes((0x12, 10, 0xB2)) + item(2, 1, 0, 0x83, 0)[3:], 0x06),
    "a bit": (item(1, 1, 0, 0x83, 3), 0xFF),
    "reals": (item(8, 2, 0, 0x83, 0), 0xFF),
}


@pytest.mark.parametrize("name", ITEMS)
def test_items(run, name):
    data, code = ITEMS[name]

    async def work():
        async with Simulator() as sim:
            raw = await Raw.at(sim)
            answer = await raw.ask(codec._job(b"\4\1" + data))
            assert answer[21] == code
            sim.cpu.memory[0x83, 0][0] = 8
            if name == "a bit":
                assert (await raw.ask(codec._job(b"\4\1" + data)))[25] == 1
            raw.writer.close()

    run(work)


def test_writes_of_another_size_than_their_item(run):
    async def work():
        async with Simulator() as sim:
            raw = await Raw.at(sim)
            frame = codec._job(b"\5\1" + codec.item_bytes((0x83, 0), 0, 2), b"\0\4\0\x08\1")
            assert (await raw.ask(frame))[-1] == 0x07
            sim.cpu.faults = Faults(item_code=0x01, times=1)
            assert (await raw.ask(codec.ask_write((0x83, 0), 0, b"ab").frame))[-1] == 0x01
            assert sim.cpu.memory[0x83, 0][:2] == b"\0\0"
            raw.writer.close()

    run(work)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", codec.ask_setup(1, 240).frame, CONNECT[:5] + b"\x70" + CONNECT[6:]]
)
def test_what_is_not_s7_is_hung_up_on(run, data):
    async def work():
        async with Simulator() as sim:
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
            writer.write(data)
            assert await asyncio.wait_for(reader.read(), 2) == b""
            assert sim.counters.rejected_bytes
            writer.close()

    run(work)


def test_a_connection_without_a_tsap(run):
    async def work():
        async with Simulator() as sim:
            sim.cpu.remote_tsaps = {b"\3\1"}
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
            writer.write(bytes.fromhex("03 00 00 0B 06 E0 00 00 00 01 00"))
            assert (await reader.readexactly(11))[5] == codec.DISCONNECT
            writer.close()

    run(work)


def test_requests_that_come_in_pieces(run):
    async def work():
        async with Simulator() as sim:
            raw = await Raw.at(sim)
            frame = codec.ask_read([((0x83, 0), 0, 2)], [0]).frame
            for place in range(len(frame) - 1):
                raw.writer.write(frame[place : place + 1])
                await asyncio.sleep(0)
            answer = await raw.ask(frame[-1:])
            exchange, image = S7Exchange(), bytearray(b"xx")
            exchange.begin(Chunk([codec.ask_read([((0x83, 0), 0, 2)], [0])]), image)
            assert exchange.feed(answer[:11] + b"\0\1" + answer[13:])
            assert image == b"\0\0"
            raw.writer.close()

    run(work)


def test_lists_that_are_not_there(run):
    async def work():
        async with Simulator() as sim:
            raw = await Raw.at(sim)
            for number in (0x0424, 0x0011):
                answer = await raw.ask(codec.ask_status(number, 0).frame)
                part = codec.parse_status(answer[17:29], answer[29:])
                assert part.error == (0xD401 if number == 0x0424 else 0)
            raw.writer.close()

    run(work)


def test_a_simulator_that_knows_nothing_of_dates_shows_some(kit):
    machine = Simulator().device(kit.device())
    tag = kit.tag("DB1.DBB0", "string", encoding="dtl")
    for _ in range(2):
        with pytest.raises(ValueError, match="does not fit"):
            machine.set(tag, "sim")
        assert machine.get(tag) == "1990-01-01T00:00:00.000000000"
    with pytest.raises(ValueError, match="three digits"):
        machine.set(kit.tag("T0", "uint32"), 10_000_000)
    machine.allow()
    machine.cpu.allow()


def test_made_from_a_connection(run, kit):
    async def work():
        connection = kit.connection(port=1102)
        simulator = Simulator.of(connection)
        assert (simulator.host, simulator.port) == ("127.0.0.1", 1102)
        assert manifests()["s7"].load_simulator() is Simulator
        async with Simulator() as sim:
            first, second = sim.device(kit.device()), sim.device(kit.device(charset="gbk"))
            first.set(kit.tag("MW0"), 7)
            assert second.get(kit.tag("MW0")) == 7
            first.set(kit.tag("VW0"), 8)
            assert sim.cpu.area(kit.tag("VW0").address.area)[:2] == b"\0\x08"
            assert sim.cpu.area(kit.tag("MW0").address.area)[:2] == b"\0\x07"
        assert Simulator().counters.requests == 0
        await Simulator().__aexit__()

    run(work)


def test_tshark_understands_what_goes_over_the_wire(tmp_path):
    """Wireshark's dissector, where it is installed, names function, item and address of our telegrams."""
    try:
        subprocess.run(["tshark", "--version"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("tshark is not installed")
    frames = [codec.ask_read([((0x84, 1), 100, 4)], [0]).frame, codec.ask_write_bit((0x83, 0), 10, 2, True).frame]
    text = tmp_path / "frames.txt"
    text.write_text("".join(f"0000 {frame.hex(' ')}\n\n" for frame in frames))
    capture = tmp_path / "frames.pcap"
    subprocess.run(["text2pcap", "-q", "-T", "40000,102", str(text), str(capture)], check=True, capture_output=True)
    shown = subprocess.run(["tshark", "-r", str(capture), "-V"], check=True, capture_output=True, text=True).stdout
    assert "Read Var" in shown
    assert "DB 1.DBX 100.0 BYTE 4" in shown
    assert "M 10.2 BIT 1" in shown
    assert Path(capture).stat().st_size
