"""The listening side: frames of many peers, held up when nobody takes them, nothing unbounded."""

import asyncio
import socket
import struct

import pytest

from gateway.model.faults import LinkLost
from gateway.wire import serving
from gateway.wire.framing import delimited
from gateway.wire.serving import WAITING, StreamServer, open_listener

LINES = delimited(b"\n", 1000)


async def dial(port, tls=None):
    return await asyncio.open_connection("127.0.0.1", port, ssl=tls)


async def hung_up(reader):
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def flooded(server, writer, size):
    """Have a peer send so many bytes as fast as it can: it is held up, and all of it arrives."""
    line = b"x" * 999 + b"\n"
    count = size // len(line)

    async def flood(count):
        for _ in range(count):
            writer.write(line)
            await writer.drain()
        writer.close()

    writing = asyncio.create_task(flood(count))
    await until(lambda: server.peers and next(iter(server.peers))._held_up)
    (peer,) = server.peers
    assert peer._waiting < 4 * WAITING, "it stopped reading"
    async for _, _ in server.arrivals():
        count -= 1
        if not count:
            break
    await writing
    assert peer._waiting == 0


def test_arrivals_of_several_peers_in_turn(run):
    async def work():
        async with open_listener("127.0.0.1", 0, LINES) as server:
            _, one = await dial(server.port)
            _, two = await dial(server.port)
            one.write(b"a1\na2\na3\n")
            two.write(b"b1\n")
            await until(lambda: server.counters.requests == 4)
            arrivals = server.arrivals()
            found = [await anext(arrivals) for _ in range(4)]
            assert sorted(frame for _, frame in found) == [b"a1", b"a2", b"a3", b"b1"]
            assert b"b1" in [frame for _, frame in found[:2]], "a talkative peer does not come first all the time"
            assert len({peer.name for peer, _ in found}) == 2
            two.write(b"b2\n")
            peer, frame = await anext(arrivals)
            assert frame == b"b2"
            peer.send(b"ok\n")
            assert (server.counters.sessions_most, server.counters.pdu_most) == (2, 2)
            one.close(), two.close()
            await until(lambda: not server.peers)
            await arrivals.aclose()

    run(work)


def test_a_peer_that_floods_is_held_up_and_loses_nothing(run):
    async def work():
        async with open_listener("127.0.0.1", 0, LINES) as server:
            _, writer = await dial(server.port)
            await flooded(server, writer, 40 * WAITING)

    run(work)


def test_who_breaks_the_protocol_is_hung_up_on(run):
    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, lambda peer, line: line + b"\n") as server:
            reader, writer = await dial(server.port)
            writer.write(b"fine\n")
            assert await reader.readline() == b"fine\n"
            writer.write(b"x" * 1001)
            assert await hung_up(reader)
            writer.close()

    run(work)


def test_one_peer_too_many_is_turned_away(run):
    async def work():
        async with open_listener("127.0.0.1", 0, LINES, most=1) as server:
            _, first = await dial(server.port)
            await until(lambda: len(server.peers) == 1)
            reader, second = await dial(server.port)
            assert await hung_up(reader)
            assert len(server.peers) == 1
            first.close(), second.close()

    run(work)


def test_a_peer_that_takes_nothing_is_hung_up_on(run):
    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, lambda peer, line: b"y" * 100_000) as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(sock, b"x\n" * 400)
            await until(lambda: server.counters.requests > 0 and not server.peers)
            sock.close()

    run(work)


def test_who_is_refused_can_fetch_the_answer_although_it_still_talks(run):
    def refuse(peer, line):
        peer.send(b"no\n")
        peer.finish()
        assert peer.gone
        return b"and never this"

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, refuse) as server:
            reader, writer = await dial(server.port)
            writer.write(b"x\n")
            await until(lambda: server.counters.requests == 1)
            writer.write(b"y\n" * 50_000)
            await writer.drain()
            assert await reader.read() == b"no\n"
            writer.close()
            await until(lambda: not server.peers)
            assert server.counters.requests == 1

    run(work)


def test_who_has_left_already_harms_nobody(run):
    dialled = []

    def refuse(peer, line):
        dialled[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        dialled[0].close()  # a reset, which the loop hears of only later
        peer.finish()
        peer.finish()
        finished.append(None)
        return b""

    finished = []

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, refuse) as server:
            dialled.append(socket.create_connection(("127.0.0.1", server.port)))
            dialled[0].sendall(b"x\n")
            await until(lambda: server.counters.requests and not server.peers)
            assert finished == [None]

    run(work)


def test_who_does_not_leave_is_hung_up_on(run, monkeypatch):
    monkeypatch.setattr(serving, "LINGER", 0.05)

    def refuse(peer, line):
        peer.finish()
        peer.finish()
        return b""

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, refuse) as server:
            _, writer = await dial(server.port)
            writer.write(b"x\n")
            await until(lambda: server.counters.requests and not server.peers)
            writer.close()

    run(work)


def test_a_place_that_is_taken(run):
    async def work():
        async with open_listener("127.0.0.1", 0, LINES) as server:
            with pytest.raises(LinkLost) as raised:
                async with open_listener("127.0.0.1", server.port, LINES):
                    pass
            assert raised.value.code == "port_in_use"

    run(work)
