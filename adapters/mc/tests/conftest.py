"""What the tests of this adapter share: a loop, and short ways to a connection, a device, tags and their values."""

from contextlib import asynccontextmanager

import pytest

from adapters.mc import adapter, models
from adapters.mc.simulator import Simulator
from gateway.testing.polled import poll, run_alone, values

WAYS = [
    {"transport": transport, "code": code, "frame": frame}
    for transport in ("tcp", "udp")
    for code in ("binary", "ascii")
    for frame in ("3e", "4e")
]


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""
    return run_alone


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def connection(sim=None, **more):
        of = {"host": "127.0.0.1", "port": 5007}
        if sim is not None:
            of = {"host": sim.host, "port": sim.port, "transport": sim.transport, "code": sim.code, "frame": sim.frame}
        return models.connection.model_validate({"adapter": "mc", "timeout": "500ms"} | of | more)

    @staticmethod
    def device(series="q", **more):
        return models.device.model_validate({"connection": "entry", "series": series} | more)

    @staticmethod
    def tag(address, kind="uint16", **more):
        return models.tag.model_validate({"name": str(address), "address": address, "type": kind} | more)

    @classmethod
    def words(cls, count, first=0, step=1):
        return [cls.tag(f"D{first + step * place}") for place in range(count)]

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


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(way.values()))
def anywhere(request):
    """A simulator for each transport, code and frame in turn, not yet started."""
    return Simulator(**request.param)
