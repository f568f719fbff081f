"""Adapter and simulator against each other, over a real socket."""

import asyncio

import pytest

from adapters.mtconnect.simulator import Simulator
from gateway.sdk import OutOfStep, Quality


class Feed:
    """Keeps what arrives."""

    def __init__(self, tags):
        self.tags = tags
        self.arrived = []
        self.signs = 0

    def sample(self, values, *, failures=None):
        self.arrived += [*values.items(), *(failures or {}).items()]

    def alive(self):
        self.signs += 1


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_is_set_arrives(run, kit):
    async def work():
        feed = Feed([kit.tag("speed", scale=0.5), kit.tag("gone"), kit.tag("parts", "uint32")])
        async with Simulator() as plant:
            plant.device().values.update(speed="1450.0", parts="7")
            async with kit.adapter(plant).open() as session:
                hearing = asyncio.create_task(session.subscribe([feed]))
                await until(lambda: len(feed.arrived) == 3)
                assert feed.arrived == [(0, 1450.0), (1, Quality.ADDRESS_REFUSED), (2, 7)]
                plant.device().set(feed.tags[0], 700.0)
                await until(lambda: len(feed.arrived) == 4)
                assert feed.arrived[-1] == (0, 1400.0)
                await until(lambda: feed.signs >= 5)
                assert len(feed.arrived) == 4, "a sign of life is no value"
                hearing.cancel()

    run(work)


def test_a_device_that_falls_silent(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().silent = True
            async with kit.adapter(plant, silence="300ms").open() as session:
                with pytest.raises(OutOfStep):
                    await session.subscribe([Feed([kit.tag("speed")])])

    run(work)


def test_probe(run, kit):
    async def work():
        async with Simulator() as plant:
            adapter = kit.adapter(plant, silence="300ms")
            found = await adapter.probe(kit.device)
            assert (found.outcome, dict(found.identity)["vendor"]) == ("ok", "Xingsha")
            plant.device().silent = True
            assert (await adapter.probe(kit.device)).outcome == "timeout"
        assert (await adapter.probe(kit.device)).outcome == "refused"

    run(work)
