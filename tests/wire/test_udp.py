"""UDP as a link: datagrams are chunks, late ones are strays, a closed port is told, and nothing is left behind."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from gateway.model.faults import LinkLost, ProtocolFault, Timeout
from gateway.testing.ports import free_port
from gateway.wire.udp import open_udp


class Peer(asyncio.DatagramProtocol):
    """Does with each datagram what the test says."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = []

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        self.seen.append((data, addr))
        for delay, reply in self.answer(data):
            if delay:
                asyncio.get_running_loop().call_later(delay, self.transport.sendto, reply, addr)
            else:
                self.transport.sendto(reply, addr)


@asynccontextmanager
async def peer(answer=lambda data: [(0, data)]):
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Peer(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield made
    finally:
        transport.abort()
        await asyncio.sleep(0.01)


class Takes:
    """A receiver that is content with so many datagrams."""

    def __init__(self, count=1):
        self.answered = 0
        self.chunks = []
        self.count = count

    def feed(self, data):
        self.chunks.append(data)
        self.answered += 1
        if data == b"nonsense":
            raise ProtocolFault("nonsense")
        return self.answered >= self.count


def test_a_datagram_is_a_chunk(run):
    async def work():
        async with peer(lambda data: [(0, b"one"), (0, b"two" * 400)]) as other:
            async with open_udp("127.0.0.1", other.port, 1.0) as link:
                taps = []
                link.tap = lambda way, data: taps.append((way, data))
                takes = Takes(2)
                await link.exchange(b"ask", takes, 1.0)
                assert takes.chunks == [b"one", b"two" * 400]
                assert [way for way, _ in taps] == [">", "<", "<"]
            assert link.lost
            with pytest.raises(LinkLost):
                await link.exchange(b"ask", Takes(), 1.0)
            await link.close()
            await link.close()

    run(work)


def test_what_comes_late_is_a_stray(run):
    async def work():
        async with peer(lambda data: [(0.1, b"late")] if data == b"slow" else [(0, b"now")]) as other:
            async with open_udp("127.0.0.1", other.port, 1.0) as link:
                link.stray = stray = Takes(99)
                with pytest.raises(Timeout):
                    await link.exchange(b"slow", Takes(), 0.03)
                await asyncio.sleep(0.15)
                assert stray.chunks == [b"late"]
                assert link.stray_bytes == 4
                takes = Takes()
                await link.exchange(b"quick", takes, 1.0)
                assert takes.chunks == [b"now"]

    run(work)


def test_a_fault_of_the_receiver(run):
    async def work():
        async with peer(lambda data: [(0, b"nonsense")]) as other:
            async with open_udp("127.0.0.1", other.port, 1.0) as link:
                with pytest.raises(ProtocolFault):
                    await link.exchange(b"ask", Takes(), 1.0)

    run(work)


def test_nobody_listens(run):
    async def work():
        async with open_udp("127.0.0.1", free_port(), 1.0) as link:
            with pytest.raises(LinkLost) as raised:
                await link.exchange(b"ask", Takes(), 1.0)
            assert raised.value.code == "connection_refused"
            assert link.lost

    run(work)


def test_datagrams_of_others_do_not_arrive(run):
    async def work():
        async with peer(lambda data: []) as other:
            async with open_udp("127.0.0.1", other.port, 1.0) as link:
                link.stray = stray = Takes(99)
                with pytest.raises(Timeout):
                    await link.exchange(b"hello", Takes(), 0.03)
                with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                    stranger.sendto(b"forged", other.seen[0][1])
                await asyncio.sleep(0.03)
                assert stray.chunks == []

    run(work)


def test_a_local_port_of_its_own(run):
    async def work():
        async with peer() as other:
            port = free_port()
            async with open_udp("127.0.0.1", other.port, 1.0, source="127.0.0.1", source_port=port) as link:
                await link.exchange(b"ask", Takes(), 1.0)
                assert other.seen[0][1] == ("127.0.0.1", port)
                with pytest.raises(LinkLost) as raised:
                    async with open_udp("127.0.0.1", other.port, 1.0, source="127.0.0.1", source_port=port):
                        pass
                assert raised.value.code == "port_in_use"

    run(work)


def test_a_name_that_is_none(run):
    async def work():
        with pytest.raises(LinkLost) as raised:
            async with open_udp("no-such-host.invalid", 5007, 5.0):
                pass
        assert raised.value.code == "name_unknown"

    run(work)
