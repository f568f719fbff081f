"""Everything that a network and a server can do wrong, at every state of a session: recovers, and no wrong value."""

import asyncio
import gc
import random
import socket
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from adapters.opcua import adapter, trust
from adapters.opcua.simulator import Simulator
from adapters.opcua.tests.conftest import until
from gateway.sdk import Fault, LinkLost, ProtocolFault, Timeout


class Proxy:
    """Stands between gateway and server, and does to what passes what a test says."""

    def __init__(self, port):
        self.to = port
        self.port = 0
        self.after = None
        """Bytes from the server after which the harm begins; None: none."""
        self.harm = ""
        self.source = random.Random(1)
        self._writers = set()
        self._tasks = set()

    @asynccontextmanager
    async def open(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def cut(self):
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with suppress(OSError, asyncio.CancelledError):
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.to)
            self._writers |= {writer, ours}
            await asyncio.gather(self._pump(reader, ours, False), self._pump(theirs, writer, True))
            self._writers -= {writer, ours}
        writer.transport.abort()

    async def _pump(self, reader, writer, harmful):
        passed = 0
        try:
            while data := await reader.read(65_536):
                passed += len(data)
                if harmful and self.after is not None and passed > self.after:
                    data = await self._harmed(data, writer)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _harmed(self, data, writer):
        match self.harm:
            case "cut":
                writer.transport.abort()
            case "half":
                writer.write(data[: len(data) // 2])
                await writer.drain()
                writer.transport.abort()
            case "stall":
                while self.after is not None:
                    await asyncio.sleep(0.02)
            case "garble":
                harmed = bytearray(data)
                for _ in range(3):
                    harmed[self.source.randrange(len(harmed))] ^= 1 << self.source.randrange(8)
                return bytes(harmed)
            case "repeat":
                return data + data
            case "noise":
                return bytes(self.source.randbytes(64)) + data
            case "drip":
                for at in range(len(data)):
                    writer.write(data[at : at + 1])
                    await asyncio.sleep(0.001)
                return b""
        return data


HARMS = ("cut", "half", "stall", "garble", "repeat", "noise")


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("delivery", ["subscribe", "poll"])
def test_harm_at_every_state_and_recovery(run, kit, harm, delivery, tmp_path):
    """Harm begins after ever more bytes: in the hello, the channel, the session, the creation, the values.

    Bits that flip are found out by signatures: without security nothing in the protocol would notice.
    """
    secure = harm == "garble"

    async def work():
        sim = Simulator(pki=tmp_path / "sim" if secure else None)
        async with sim, Proxy(sim.port).open() as proxy:
            tags = [kit.tag(f"t{at}", "int32", f"ns=2;s=t{at}") for at in range(5)]
            device = sim.device(kit.device())
            own = {"delivery": delivery, "timeout": "300ms", "keepalive": "100ms", "pki": str(tmp_path / "own")}
            if secure:
                own |= {"policy": "basic256sha256", "mode": "sign", "timeout": "800ms"}
            opcua = adapter(kit.connection(f"opc.tcp://127.0.0.1:{proxy.port}", **own))
            for one in await trust(opcua.connection):
                if one.state == "refused":
                    await trust(opcua.connection, one.thumbprint)
            proxy.harm = harm
            faults = set()
            for after in (0, 30, 150, 400, 900, 1600, 2400) if not secure else (0, 200, 1500, 2500, 4000):
                value = after + 1
                for tag in tags:
                    device.set(tag, value)
                proxy.after = after
                began = time.monotonic()
                try:
                    seen = await attempt(kit, opcua, tags, delivery, value, 1.0)
                except Fault as fault:
                    faults.add(type(fault).__name__)
                else:
                    assert seen <= {value}, "never a wrong value"
                assert time.monotonic() - began < 8
                proxy.after = None
                proxy.cut()
                for _ in range(5):
                    try:
                        assert await attempt(kit, opcua, tags, delivery, value, 3.0) == {value}
                        break
                    except Fault:
                        await asyncio.sleep(0.02)
                else:
                    raise AssertionError("did not recover")
            assert faults, "the harm did nothing"

    run(work, limit=110)


async def attempt(kit, opcua, tags, delivery, value, within):
    """One session: the values it saw."""
    if delivery == "poll":
        async with opcua.open() as session:
            return set((await kit.poll(session, opcua.plan(kit.device(), tags))).values())
    feed = kit.feed(opcua, tags)
    async with kit.subscribed(opcua, feed) as (session, _):
        ends = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < ends:
            if all(feed.last(tag.name) == value for tag in tags):
                return {value}
            if session.channel._client.socket.fault:
                raise session.channel._client.socket.fault
            await asyncio.sleep(0.01)
        if not any(feed.told.values()):
            raise Timeout("nothing came")
        return {found for tag in tags for found in feed.values(tag.name) if found is not None}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"", "timeout"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong_protocol"), (b"ACKF\xff\xff\xff\xff", "wrong_protocol"),
        (b"ACKF\x1c\0\0\0", "timeout"), (b"ERRF\x10\0\0\0\0\0\x83\x80\xff\xff\xff\xff", "refused"),
        (b"ACKF\x0c\0\0\0abcd", "wrong_protocol"), (None, "refused"),
    ],
)  # fmt: skip
def test_what_a_probe_tells_apart(run, kit, answer, outcome):
    async def work():
        async def speak(reader, writer):
            await reader.read(8)
            if answer is None:
                writer.transport.abort()
                return
            writer.write(answer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for policy in ("none", "basic256sha256"):
            made = adapter(
                kit.connection(f"opc.tcp://127.0.0.1:{port}", timeout="300ms", policy=policy, pki="/tmp/none")
            )
            made.pki.own = lambda: (b"", None)
            began = time.monotonic()
            probed = await made.probe(kit.device())
            assert (probed.outcome, len(probed.detail) > 10) == (outcome, True)
            assert time.monotonic() - began < 1.5
        server.close()
        await server.wait_closed()
        made = adapter(kit.connection(f"opc.tcp://127.0.0.1:{port}"))
        assert (await made.probe(kit.device())).outcome == "refused"

    run(work)


def test_slow_drip(run, kit, sim):
    async def work():
        async with sim, Proxy(sim.port).open() as proxy:
            tags = [kit.tag("t", "int32", "ns=2;s=t")]
            sim.device(kit.device()).set(tags[0], 7)
            proxy.harm, proxy.after = "drip", 0
            opcua = adapter(kit.connection(f"opc.tcp://127.0.0.1:{proxy.port}", delivery="poll", timeout="3s"))
            assert await attempt(kit, opcua, tags, "poll", 7, 3) == {7}

    run(work)


def test_sessions_leave_nothing_behind(run, kit, made, sim):
    async def work():
        async with sim:
            tags = [kit.tag("t", "int32", "ns=2;s=t")]
            sim.device(kit.device()).set(tags[0], 7)
            opcua = made(sim)
            before = None
            for turn in range(100):
                feed = kit.feed(opcua, tags)
                async with kit.subscribed(opcua, feed):
                    await until(lambda feed=feed: feed.last("t") == 7)
                if turn == 9:
                    gc.collect()
                    before = len(list(Path("/proc/self/fd").iterdir()))
            await until(lambda: sim.counters.sessions == 0)
            gc.collect()
            assert len(list(Path("/proc/self/fd").iterdir())) <= before
            assert sim.counters.sessions_most == 1
            assert not sim.server.iserver._external_sessions

    run(work, limit=100)


def test_an_opening_can_be_cancelled_at_any_moment(run, kit, made, sim):
    async def work():
        async with sim:
            opcua = made(sim)
            for wait in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):

                async def opened():
                    async with opcua.open():
                        await asyncio.sleep(10)

                task = asyncio.create_task(opened())
                await asyncio.sleep(wait)
                task.cancel()
                await asyncio.wait([task])
            await until(lambda: sim.counters.sessions == 0)

    run(work)


def test_a_host_that_is_not_there(run, kit):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(LinkLost) as raised:
            async with adapter(kit.connection(f"opc.tcp://127.0.0.1:{port}")).open():
                raise AssertionError
        assert raised.value.code == "connection_refused"
        with pytest.raises(LinkLost) as raised:
            async with adapter(kit.connection("opc.tcp://nowhere.invalid:4840")).open():
                raise AssertionError
        assert raised.value.code == "name_unknown"
        assert ProtocolFault.code == "protocol_broken"

    run(work)
