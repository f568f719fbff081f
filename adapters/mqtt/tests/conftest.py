"""What the tests of this adapter share: a loop, feeds that write down what they are given, short ways to a setting."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvloop

from adapters.mqtt import adapter, models
from adapters.mqtt.simulator import Simulator


class Recorder:
    """A feed that keeps what arrives."""

    def __init__(self, name, device, tags, plan):
        self.name, self.device, self.tags, self.plan = name, device, tuple(tags), plan
        self.samples = []
        self.faults = []
        self.signs = 0

    def sample(self, values, *, time=0, failures=None, replayed=False):
        named = {self.tags[place].name: value for place, value in values.items()}
        bad = {self.tags[place].name: code.label for place, code in (failures or {}).items()}
        self.samples.append((named, bad, time, replayed))

    def alive(self):
        self.signs += 1

    def fail(self, why):
        self.faults.append(why)

    @property
    def values(self):
        """Values alone, in order."""
        return [values for values, *_ in self.samples if values]

    @property
    def last(self):
        """Newest value, or quality, by tag."""
        found = {}
        for values, bad, *_ in self.samples:
            found |= values | bad
        return found


class RecordingFeeds:
    """All of them; ``safe``: what is given is safe at once, else when `commit` is called."""

    def __init__(self, *feeds, safe=True):
        self.feeds = list(feeds)
        self.safe = safe
        self.waiting = []
        self.strangers = []
        self.full = False
        self._room = asyncio.Event()

    def __iter__(self):
        return iter(self.feeds)

    @property
    def has_room(self):
        return not self.full

    async def room(self):
        while self.full:
            self._room.clear()
            await self._room.wait()

    def make_room(self):
        self.full = False
        self._room.set()

    def when_durable(self, then):
        if self.safe:
            then()
        else:
            self.waiting.append(then)

    def commit(self):
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()

    def unknown(self, identity, detail=""):
        self.strangers.append(identity)


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def connection(port=1883, **more):
        settings = {"adapter": "mqtt", "host": "127.0.0.1", "port": port, "client_id": "gw", "timeout": "1s"}
        return models.connection.model_validate(settings | more)

    @staticmethod
    def device(**more):
        settings = {"connection": "broker"} | ({"topic": "m/1"} if "group" not in more else {"format": "sparkplug"})
        return models.device.model_validate(settings | more)

    @staticmethod
    def tag(name, kind="float64", **more):
        return models.tag.model_validate({"name": name, "type": kind, "address": f"$.{name}"} | more)

    @classmethod
    def feed(cls, device, *tags, connection=None, name="d"):
        plan = adapter(connection or cls.connection()).plan(device, tags)
        return Recorder(name, device, tags, plan)

    @staticmethod
    @asynccontextmanager
    async def subscribed(connection, feeds):
        """A session at work: yields its task, which ends with the fault that ended it."""

        async def work():
            async with adapter(connection).open() as session:
                await session.subscribe(feeds)

        task = asyncio.create_task(work())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    feeds = RecordingFeeds
    recorder = Recorder


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""

    def start(work, *arguments, limit=30):
        async def whole():
            async with asyncio.timeout(limit):
                await work(*arguments)
            for _ in range(3):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole())

    return start


@pytest.fixture
def kit():
    return Kit


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request):
    return request.param


@pytest.fixture
def plant():
    return Simulator
