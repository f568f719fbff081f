"""What the tests of this adapter share."""

import asyncio

import pytest

from adapters.mtconnect import adapter, models
from adapters.mtconnect.simulator import Simulator


@pytest.fixture
def run():
    """Run a coroutine function, and see that it leaves no task behind."""

    def start(work):
        async def whole():
            async with asyncio.timeout(20):
                await work()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(whole())

    return start


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def adapter(plant: Simulator, **more):
        settings = {"adapter": "mtconnect", "host": "127.0.0.1", "port": plant.port, "timeout": "300ms"}
        return adapter(models.connection.model_validate(settings | more))

    device = models.device.model_validate({"connection": "line"})

    @staticmethod
    def tag(address, kind="float64", **more):
        return models.tag.model_validate({"name": address, "address": address, "type": kind} | more)


@pytest.fixture
def kit():
    return Kit
