"""The embedded broker is a real one: both protocol versions, large packets, retained messages, last will, clean end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiomqtt
import pytest

from gateway.model.faults import ConfigFault, LinkLost
from gateway.testing import broker as room
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port, free_ports


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("version", ["V311", "V5"])
def test_large_packets_retained_and_will(version):
    async def scene():
        async with embedded_broker() as broker:
            port = broker.port if version == "V311" else broker.port_v5
            protocol = aiomqtt.ProtocolVersion[version]
            async with aiomqtt.Client("127.0.0.1", port, protocol=protocol) as one:
                await one.publish("plant/status", b"online", qos=1, retain=True)
                async with aiomqtt.Client("127.0.0.1", port, protocol=protocol) as other:
                    await other.subscribe("plant/#", qos=1)
                    await one.publish("plant/big", bytes(1_500_000), qos=1)
                    got = {}
                    async with asyncio.timeout(15):
                        async for message in other.messages:
                            got[str(message.topic)] = (len(message.payload), message.retain)
                            if len(got) == 2:
                                break
                    assert got == {"plant/status": (6, True), "plant/big": (1_500_000, False)}
        return broker

    broker = asyncio.run(scene())
    assert not alive(broker.pid)
    for port in (broker.port, broker.port_v5):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


def test_listens_on_loopback_only():
    async def scene():
        async with embedded_broker() as broker:
            hexed = {f"{port:04X}" for port in (broker.port, broker.port_v5)}
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            return {row[1] for row in rows if row[3] == "0A" and row[1].rsplit(":")[1] in hexed}

    listening = asyncio.run(scene())
    assert len(listening) == 2
    assert all(address.startswith("0100007F:") for address in listening)


def test_ends_with_its_parent_even_when_that_is_killed():
    program = (
        "import asyncio\n"
        "from gateway.testing.broker import embedded_broker\n"
        "async def main():\n"
        "    async with embedded_broker() as broker:\n"
        "        print(broker.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not alive(pid))


def test_one_that_does_not_listen_is_ended(monkeypatch):
    monkeypatch.setattr(room, "_GRACE", 0.2)

    async def scene():
        process = await asyncio.create_subprocess_exec("sleep", "60", stdin=asyncio.subprocess.PIPE)
        await room.stop(process)
        return process.returncode

    assert asyncio.run(scene()) == -signal.SIGKILL


def test_says_what_is_missing(monkeypatch):
    async def scene():
        async with embedded_broker():
            raise AssertionError("not reached")

    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(ConfigFault, match=r"pip install 'xingsha-gateway\[demo\]'") as caught:
        asyncio.run(scene())
    assert caught.value.code == "extra_missing"


def test_says_when_it_does_not_come_up(monkeypatch):
    async def scene():
        async with embedded_broker():
            raise AssertionError("not reached")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(room, "_SETTINGS", "this is no toml")
        monkeypatch.setattr(room, "free_ports", lambda count: [port, *free_ports(count - 1)])
        with pytest.raises(LinkLost, match="does not come up") as caught:
            asyncio.run(scene())
    assert caught.value.code == "broker_failed"


def test_tries_other_ports_when_one_is_taken_in_between(monkeypatch):
    async def scene():
        async with embedded_broker() as broker:
            return broker

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        offers = [[taken.getsockname()[1], free_port()], free_ports(2)]
        monkeypatch.setattr(room, "free_ports", lambda count: offers.pop(0))
        broker = asyncio.run(scene())
    assert not offers
    assert broker.port != broker.port_v5


def test_a_port_whose_last_connections_are_not_forgotten_yet(monkeypatch):
    ports = free_ports(2)
    for port in ports:
        with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)) as peer:
            server.accept()[0].close()  # who closes first is the one who remembers, for a minute
            assert peer.recv(1) == b""
    monkeypatch.setattr(room, "free_ports", lambda _count: ports)

    async def scene():
        async with embedded_broker() as broker:
            return [broker.port, broker.port_v5]

    assert asyncio.run(scene()) == ports
