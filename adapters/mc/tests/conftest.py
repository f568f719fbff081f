"""What the tests of this adapter share: a loop, and short ways to a connection, a device, tags and their values."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
import uvloop

from adapters.mc import adapter, models
from adapters.mc.simulator import Simulator
from gateway.model.types import DTYPES, DataType
from gateway.sdk import Readings

WAYS = [
    {"transport": transport, "code": code, "frame": frame}
    for transport in ("tcp", "udp")
    for code in ("binary", "ascii")
    for frame in ("3e", "4e")
]


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""

    def start(work, *arguments):
        async def whole():
            async with asyncio.timeout(30):
                await work(*arguments)
            for _ in range(3):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole())

    return start


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

    @staticmethod
    def values(plan, out, tags):
        """Value by tag name, or the quality of what failed."""
        bad = []
        packed = plan.table.packed(out.image, bad)
        found = dict(plan.table.texts(out.image, bad))
        at = 0
        for kind, first, count in plan.table.layout.columns:
            if kind.packed:
                column = np.frombuffer(packed[at : at + count * kind.width].tobytes(), DTYPES[kind]).tolist()
                found |= {
                    first + place: bool(value) if kind is DataType.BOOL else value for place, value in enumerate(column)
                }
                at += count * kind.width
        places = plan.table.layout.position
        return {
            tag.name: out.failures.get(place, "undecodable" if places[place] in bad else found[places[place]])
            for place, tag in enumerate(tags)
        }

    @classmethod
    @asynccontextmanager
    async def session(cls, sim, **more):
        async with adapter(cls.connection(sim, **more)).open() as session:
            yield session

    @classmethod
    async def poll(cls, session, plan, tags, out=None):
        out = out or Readings(len(tags), plan.table)
        out.clear()
        await session.read(plan, out)
        return cls.values(plan, out, tags)


@pytest.fixture
def kit():
    return Kit


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(way.values()))
def anywhere(request):
    """A simulator for each transport, code and frame in turn, not yet started."""
    return Simulator(**request.param)
