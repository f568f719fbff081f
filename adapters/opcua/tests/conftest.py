"""What the tests of this adapter share: a loop, builders of configuration, a feed that remembers, node-opcua."""

import asyncio
import json
import os
import shutil
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import uvloop

from adapters.opcua import adapter, models
from adapters.opcua.simulator import Simulator
from gateway.sdk import Quality, Readings

PEERS = Path(__file__).parent / "peers"
HAS_PEER = shutil.which("node") is not None and (PEERS / "node_modules" / "node-opcua-server").is_dir()
needs_peer = pytest.mark.skipif(not HAS_PEER, reason="node, or adapters/opcua/tests/peers/node_modules, is missing")


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""

    def start(work, *arguments, limit=40):
        async def whole():
            async with asyncio.timeout(limit):
                await work(*arguments)
            for _ in range(50):
                await asyncio.sleep(0.002)
                if asyncio.all_tasks() == {asyncio.current_task()}:
                    break
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole())

    return start


async def until(condition, within=10.0):
    """Wait until something is true."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(session):
    """Wait for the end of a connection, and raise why."""
    await until(lambda: session.channel._client.socket.fault)
    raise session.channel._client.socket.fault


class Memory:
    """A feed that keeps what it is given, by tag name."""

    def __init__(self, name, device, plan):
        self.name, self.device, self.plan, self.tags = name, device, plan, plan.points
        self.told = {tag.name: [] for tag in self.tags}
        """Tag → (value, quality, time, replayed), as they came."""
        self.signs = 0
        self.faults = []

    def sample(self, values, *, time=0, failures=None, replayed=False):
        self.signs += 1
        for place, value in values.items():
            self.told[self.tags[place].name].append((value, Quality.GOOD, time, replayed))
        for place, quality in (failures or {}).items():
            self.told[self.tags[place].name].append((None, quality, time, replayed))

    def put(self, tags, values, *, quality=None, times=None, replayed=False):
        self.signs += 1
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        for at, place in enumerate(tags.tolist()):
            code = 0 if quality is None else int(quality[at])
            value = listed[at] if code < 0x80 else None
            time = 0 if times is None else int(times[at])
            self.told[self.tags[place].name].append((value, Quality(code), time, replayed))

    def alive(self):
        self.signs += 1

    def fail(self, why):
        self.faults.append(why)

    async def room(self):
        pass

    def values(self, name):
        return [value for value, *_ in self.told[name]]

    def last(self, name):
        return self.told[name][-1][0] if self.told[name] else None

    def quality(self, name):
        return self.told[name][-1][1] if self.told[name] else None


class Memories(list):
    """Feeds that share a bus which has room, unless a test takes it away."""

    def __init__(self, *feeds):
        super().__init__(feeds)
        self.has_room = True
        self.safe = True
        self.held = []

    async def room(self):
        while not self.has_room:
            await asyncio.sleep(0.01)

    def when_durable(self, then):
        if self.safe:
            then()
        else:
            self.held.append(then)


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def connection(url="opc.tcp://127.0.0.1:4840", **more):
        return models.connection.model_validate(
            {"adapter": "opcua", "url": url, "policy": "none", "timeout": "2s", "keepalive": "500ms"} | more
        )

    @staticmethod
    def device(**more):
        return models.device.model_validate({"connection": "server", "scan": "50ms"} | more)

    @staticmethod
    def tag(name, kind="float64", address=None, **more):
        address = address or f"nsu=urn:peer;s={name}"
        return models.tag.model_validate({"name": name, "address": address, "type": kind} | more)

    @classmethod
    def feed(cls, made, tags, **device):
        config = cls.device(**device)
        return Memory("machine", config, made.plan(config, tags))

    @staticmethod
    @asynccontextmanager
    async def subscribed(made, *feeds):
        """A session at work; yields it and its feeds."""
        shared = Memories(*feeds)
        async with made.open() as session:
            task = asyncio.create_task(session.subscribe(shared))
            try:
                yield session, shared
                if task.done():
                    task.result()
            finally:
                task.cancel()
                await asyncio.wait([task])

    @staticmethod
    async def poll(session, plan):
        """Value by tag name, or the quality of what failed."""
        out = Readings(len(plan.points), None)
        await session.read(plan, out)
        found = {plan.points[place].name: quality for place, quality in out.failures.items()}
        for column in out.columns:
            listed = column.values.tolist() if isinstance(column.values, np.ndarray) else column.values
            for at, place in enumerate(column.tags.tolist()):
                code = 0 if column.quality is None else int(column.quality[at])
                found[plan.points[place].name] = listed[at] if code < 0x80 else Quality(code)
        return found


@pytest.fixture
def kit():
    return Kit


@pytest.fixture
def sim():
    """A simulator, not yet started."""
    return Simulator()


class Peer:
    """node-opcua, told what to do."""

    def __init__(self, process):
        self._process = process
        self.port = 0

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def tell(self, **command):
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def answer(self):
        while line := await self._process.stdout.readline():
            if line.startswith(b"{"):
                found = json.loads(line)
                assert "error" not in found, found["error"]
                return found
        raise AssertionError("node-opcua has ended")

    async def add(self, name, kind, value, **more):
        await self.tell(add={"name": name, "type": kind, "value": value} | more)

    async def set(self, name, value, **more):
        await self.tell(set={"name": name, "value": value} | more)

    async def state(self):
        return await self.tell(state=True)

    def kill(self):
        self._process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def peer(folder, **options):
    """node-opcua at work; its keys are kept in ``folder``."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(PEERS / "server.mjs"),
        json.dumps({"pki": str(folder / "peer")} | options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(folder)},
    )
    found = Peer(process)
    try:
        async with asyncio.timeout(30):
            found.port = (await found.answer())["port"]
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()


@pytest.fixture
def made(kit):
    """An adapter for a server."""
    return lambda server, **more: adapter(kit.connection(server.url, **more))
