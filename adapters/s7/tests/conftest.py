"""What the tests of this adapter share: a loop, and short ways to a connection, a device, tags and their values."""

from contextlib import asynccontextmanager

import pytest

from adapters.s7 import adapter, models
from gateway.testing.polled import poll, run_alone, values


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""
    return run_alone


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def connection(sim=None, **more):
        settings = {"adapter": "s7", "host": "127.0.0.1", "timeout": "500ms"} | more
        if sim is not None:
            settings = {"port": sim.port} | settings
        return models.connection.model_validate(settings)

    @staticmethod
    def device(**more):
        return models.device.model_validate({"connection": "plc"} | more)

    @staticmethod
    def tag(address, kind="uint16", **more):
        return models.tag.model_validate({"name": str(address), "address": address, "type": kind} | more)

    @classmethod
    def words(cls, count, first=0, block=1):
        return [cls.tag(f"DB{block}.DBW{first + 2 * place}") for place in range(count)]

    values = staticmethod(values)
    poll = staticmethod(poll)

    @classmethod
    @asynccontextmanager
    async def session(cls, sim, **more):
        async with adapter(cls.connection(sim, **more)).open() as session:
            yield session


@pytest.fixture
def kit():
    return Kit
