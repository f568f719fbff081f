"""The simulator: refuses what a CPU refuses, keeps silent where one does, and its faults are what they say."""

import asyncio
import socket

import pytest

from adapters.mc import codec
from adapters.mc.address import AREAS
from adapters.mc.codec import Ask, Code, Frame, Route
from adapters.mc.exchange import Exchange
from adapters.mc.simulator import Faults, Simulator

B = Code.BINARY
D, M, TS, V = (AREAS[name] for name in ("D", "M", "TS", "V"))


def raw(data, command=codec.READ, subcommand=0):
    return Ask(command, subcommand, bytes.fromhex(data))


REFUSED = {
    "no such command": (raw("", 0x9999), 0xC059),
    "no such subcommand": (raw("640000A80100", subcommand=8), 0xC059),
    "the long specification": (codec.ask_read(B, D, 0, 1, wide=True), 0xC059),
    "no such device": (raw("64000013 0100"), 0xC05C),
    "a device of other series": (codec.ask_read(B, V, 0, 1), 0xC05C),
    "too many words": (codec.ask_read(B, D, 0, 961), 0xC052),
    "no words": (codec.ask_read(B, D, 0, 0), 0xC052),
    "past the last": (codec.ask_read(B, D, 0xFFFF, 2), 0xC056),
    "bits of words": (raw("640000A80100", subcommand=1), 0xC05C),
    "too many bits": (raw("64000090FF7F", subcommand=1), 0xC051),
    "half a request": (raw("6400"), 0xC061),
    "more than a request": (raw("640000A8010000"), 0xC061),
    "too many places": (codec.ask_random(B, [(D, n, 1) for n in range(193)], []), 0xC054),
    "a contact at random": (codec.ask_random(B, [(TS, 0, 1)], []), 0x4032),
    "too many blocks": (codec.ask_block(B, [(D, n, 1) for n in range(121)], []), 0xC0D8),
    "bits among words": (codec.ask_block(B, [(M, 0, 1)], []), 0xC05C),
    "too many bits in a write": (raw("BD", codec.WRITE_RANDOM, 1), 0xC053),
}


async def ask(sim, one):
    """Send one request over a plain socket; returns its end code, data, or None for silence."""
    exchange = Exchange(sim.code, sim.frame)
    data = exchange.begin(exchange.chunk(Route(), 0, one), bytearray())
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    try:
        writer.write(data)
        while not exchange.feed(await asyncio.wait_for(reader.read(65_536), 0.3)):
            pass
        return exchange.refused, exchange.body
    except TimeoutError:
        return None
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(run, name):
    async def work():
        async with Simulator() as sim:
            sim.cpu("iq-f")
            one, code = REFUSED[name]
            assert (await ask(sim, one))[0] == code
            assert sim.counters.requests == 1

    run(work)


def test_bits_from_any_place_on(run):
    """A read of words may begin at any bit (MC 8.2: M100 to M131), and so may a write."""

    async def work():
        async with Simulator() as sim:
            cpu = sim.cpu()
            cpu.cells("M")[6:9] = (0x0010, 0x8000, 0x0001)  # M100, M127, M128
            assert await ask(sim, codec.ask_read(B, M, 100, 2)) == (0, (1 | 1 << 27 | 1 << 28).to_bytes(4, "little"))
            assert await ask(sim, codec.ask_write(B, M, 101, b"\x01\x80")) == (0, b"")
            assert list(cpu.cells("M")[6:9]) == [0x0030, 0x8010, 0x0001]

    run(work)


def test_long_devices_are_not_read_in_rows(run):
    async def work():
        async with Simulator() as sim:
            sim.cpu("iq-r")
            assert (await ask(sim, codec.ask_read(B, AREAS["LTN"], 0, 2, wide=True)))[0] == 0x4032

    run(work)


def test_nonsense_is_met_with_silence(run):
    async def work():
        for frame in Frame:
            async with Simulator(frame=frame) as sim:
                sim.cpu()
                reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
                endless = codec.frame(B, frame, Route(), 0, codec.ask_read(B, D, 0, 1))
                at = 11 if frame is Frame.E4 else 7
                for data in (
                    b"GET / HTTP/1.1\r\n",
                    endless[:at] + b"\xff\xff",
                    b"\x50\x00" if frame is Frame.E4 else b"T",
                ):
                    writer.write(data)
                    await asyncio.sleep(0.01)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)
                assert sim.counters.ignored == 3
                short = endless[:at] + b"\2\0" + endless[at + 2 : at + 4]
                writer.write(short)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)
                writer.close()
                await writer.wait_closed()

    run(work)


def test_ascii_that_is_none(run):
    async def work():
        async with Simulator(code="ascii") as sim:
            sim.cpu()
            one = codec.ask_read(Code.ASCII, D, 100, 1)
            wrong = Ask(one.command, 0, one.data.replace(b"000100", b"0001G0"))
            assert (await ask(sim, wrong))[0] == 0xC05C
            assert (await ask(sim, Ask(one.command, 0, one.data[:-1] + b"X")))[0] == 0xC050
            assert (await ask(sim, Ask(one.command, 0, one.data.replace(b"D*", b"Q*"))))[0] == 0xC05C
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
            writer.write(b"500000FF03FF00ZZZZ")
            await asyncio.sleep(0.02)
            assert sim.counters.ignored == 1
            writer.close()
            await writer.wait_closed()
            del reader

    run(work)


def test_bare_refusals(run):
    async def work():
        async with Simulator() as sim:
            sim.cpu().faults = Faults(end_code=0xC056, bare=True)
            assert (await ask(sim, codec.ask_read(B, D, 0, 1)))[0] == 0xC056

    run(work)


def test_what_is_seen_on_the_wire(run):
    async def work():
        for transport in ("tcp", "udp"):
            async with Simulator(transport=transport) as sim:
                seen = []
                sim.tap = lambda way, data: seen.append((way, len(data)))
                sim.cpu()
                data = codec.frame(B, Frame.E3, Route(), 0, codec.ask_read(B, D, 0, 4))
                with socket.socket(type=socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) as link:
                    link.setblocking(False)
                    loop = asyncio.get_running_loop()
                    await loop.sock_connect(link, ("127.0.0.1", sim.port))
                    await loop.sock_sendall(link, data)
                    assert len(await loop.sock_recv(link, 100)) == 19
                assert seen == [("<", 21), (">", 19)]
                await asyncio.sleep(0.01)

    run(work)


def test_udp_partners_are_bounded(run):
    async def work():
        async with Simulator(transport="udp") as sim:
            sim.cpu()
            data = codec.frame(B, Frame.E3, Route(), 0, codec.ask_read(B, D, 0, 4))
            for _ in range(70):
                with socket.socket(type=socket.SOCK_DGRAM) as link:
                    link.sendto(data, ("127.0.0.1", sim.port))
            await asyncio.sleep(0.05)
            assert sim.counters.requests == 70

    run(work)


def test_of_a_connection(kit):
    connection = kit.connection(transport="udp", code="ascii", frame="4e")
    sim = Simulator.of(connection)
    assert (sim.transport, sim.code, sim.frame, sim.port) == ("udp", "ascii", "4e", 5007)
    device = kit.device("iq-f", network=2)
    assert sim.device(device) is sim.device(device)
    with pytest.raises(ValueError, match="does not fit"):
        sim.device(device).set(kit.tag("D0"), 70_000)
