"""What the tests of this adapter share."""

import asyncio

import pytest

from adapters.http import adapter, models


@pytest.fixture
def run():
    """Run a coroutine function, and see that it leaves no task behind."""

    def start(work, limit=30):
        async def whole():
            async with asyncio.timeout(limit):
                await work()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(whole())

    return start


class Recorder:
    """A feed that keeps what arrives."""

    def __init__(self, name, device, tags):
        self.name, self.device, self.tags = name, device, tuple(tags)
        self.samples = []

    def sample(self, values, *, time=0, failures=None, replayed=False):
        named = {self.tags[place].name: value for place, value in values.items()}
        bad = {self.tags[place].name: code.label for place, code in (failures or {}).items()}
        self.samples.append((named, bad, time))


class RecordingFeeds:
    """All of them; what is given is safe once `commit` is called, or at once."""

    def __init__(self, *feeds, safe=True):
        self.feeds = list(feeds)
        self.safe = safe
        self.has_room = True
        self.waiting = []
        self.strangers = []

    def __iter__(self):
        return iter(self.feeds)

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

    Recorder, Feeds = Recorder, RecordingFeeds

    @staticmethod
    def adapter(port, **more):
        settings = {"adapter": "http", "host": "127.0.0.1", "port": port, "timeout": "400ms"}
        return adapter(models.connection.model_validate(settings | more))

    @staticmethod
    def device(path="/m", **more):
        return models.device.model_validate({"connection": "line", "path": path} | more)

    @staticmethod
    def tag(name, kind="float64", **more):
        return models.tag.model_validate({"name": name, "address": f"$.{name}", "type": kind} | more)


@pytest.fixture
def kit():
    return Kit
