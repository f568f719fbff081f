"""Datagrams that nobody asked for: all that there is room for, with their sender."""

import asyncio
import socket

import pytest

from gateway.model.faults import LinkLost
from gateway.wire.datagrams import WAITING, open_datagrams


def send(port, *texts):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for text in texts:
            sock.sendto(text, ("127.0.0.1", port))


def test_what_arrives(run):
    async def work():
        async with open_datagrams("127.0.0.1", 0) as datagrams:
            arrivals = datagrams.arrivals()
            send(datagrams.port, b"one", b"")
            assert await anext(arrivals) == ("127.0.0.1", b"one")
            assert await anext(arrivals) == ("127.0.0.1", b"")
            asyncio.get_running_loop().call_later(0.05, send, datagrams.port, b"late")
            assert (await anext(arrivals))[1] == b"late"
            await arrivals.aclose()

    run(work)


def test_the_oldest_give_way(run):
    async def work():
        async with open_datagrams("127.0.0.1", 0) as datagrams:
            for number in range(WAITING + 10):
                datagrams.datagram_received(b"%d" % number, ("10.0.0.1", 7))
            assert datagrams.dropped == 10
            assert await anext(datagrams.arrivals()) == ("10.0.0.1", b"10")

    run(work)


def test_a_place_that_is_taken(run):
    async def work():
        async with open_datagrams("127.0.0.1", 0) as datagrams:
            with pytest.raises(LinkLost) as raised:
                async with open_datagrams("127.0.0.1", datagrams.port):
                    pass
            assert raised.value.code == "port_in_use"

    run(work)


def test_a_group_that_is_none(run):
    async def work():
        with pytest.raises(LinkLost):
            async with open_datagrams("127.0.0.1", 0, group="10.0.0.1"):
                pass

    run(work)
