"""What the tests of this adapter share: a loop, feeds that write down what they are given, short ways to a setting."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from adapters.mtconnect import adapter, models
from gateway.model.quality import Quality


class Recorder:
    """A feed that keeps what arrives."""

    def __init__(self, name, device, tags):
        self.name, self.device, self.tags = name, device, tuple(tags)
        self.plan = None
        self.samples = []
        self.faults = []
        self.signs = 0
        self.settled = []
        """Each verdict on what was missed: was something lost."""

    def sample(self, values, *, time=0, failures=None, replayed=False):
        named = {self.tags[place].name: value for place, value in values.items()}
        bad = {self.tags[place].name: Quality(code).label for place, code in (failures or {}).items()}
        self.samples.append((named | bad, time, replayed))

    def alive(self):
        self.signs += 1

    def caught_up(self, *, lost):
        self.settled.append(lost)

    def fail(self, why):
        self.faults.append(why)

    @property
    def last(self):
        """Newest value, or quality, by tag."""
        found = {}
        for values, *_ in self.samples:
            found |= values
        return found

    def of(self, name, replayed):
        """All values of one tag."""
        return [values[name] for values, _, again in self.samples if name in values and again is replayed]


class Feeds(list):
    """All of them."""

    async def room(self):
        await asyncio.sleep(0)


class Kit:
    """Builders of configuration, as a file would give it."""

    recorder = Recorder
    feeds = Feeds

    @staticmethod
    def connection(port=5000, **more):
        settings = {"adapter": "mtconnect", "host": "127.0.0.1", "port": port, "timeout": "500ms", "interval": "5ms"}
        return models.connection.model_validate(settings | {"heartbeat": "100ms"} | more)

    @classmethod
    def adapter(cls, plant, **more):
        return adapter(cls.connection(plant.port, **more))

    @staticmethod
    def device(**more):
        return models.device.model_validate({"connection": "agent"} | more)

    @staticmethod
    def tag(name, kind="float64", **more):
        return models.tag.model_validate({"name": name, "address": name, "type": kind} | more)

    @classmethod
    def feed(cls, *tags, **device):
        return Recorder("d", cls.device(**device), tags)

    @staticmethod
    @asynccontextmanager
    async def subscribed(made, *feeds):
        """A session at work: yields its task, which ends with the fault that ended it."""

        async def work():
            async with made.open() as session:
                task.session = session
                await session.subscribe(Feeds(feeds))

        class Work:
            session = None

        task = Work()
        task.future = asyncio.ensure_future(work())
        try:
            yield task
        finally:
            task.future.cancel()
            await asyncio.wait([task.future])
            if not task.future.cancelled():
                task.future.exception()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def run():
    """Run a coroutine function, and see that it leaves no task behind."""

    def start(work, limit=30):
        async def whole():
            async with asyncio.timeout(limit):
                await work()
            for _ in range(3):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(whole())

    return start


@pytest.fixture
def kit():
    return Kit
