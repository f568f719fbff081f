"""What the tests of this adapter share: a loop, and short ways to a connection, a device, tags and their values."""

from contextlib import asynccontextmanager

import pytest

from adapters.modbus import adapter, models
from adapters.modbus.simulator import Simulator
from gateway.testing.polled import poll, run_alone, values


@pytest.fixture
def run():
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""
    return run_alone


class Kit:
    """Builders of configuration, as a file would give it."""

    @staticmethod
    def connection(sim, **more):
        of = {"rtu": {"serial_port": str(sim.port), "baudrate": 115_200}}.get(
            sim.transport, {"host": sim.host, "port": sim.port}
        )
        settings = {"adapter": "modbus", "transport": sim.transport, "timeout": "500ms"} | of | more
        return models.connection.model_validate(settings)

    @staticmethod
    def device(**more):
        return models.device.model_validate({"connection": "line"} | more)

    @staticmethod
    def tag(address, kind="uint16", **more):
        return models.tag.model_validate({"name": str(address), "address": address, "type": kind} | more)

    @classmethod
    def registers(cls, count, first=0):
        return [cls.tag(f"hr:{first + place}") for place in range(count)]

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


@pytest.fixture(params=["tcp", "rtu_over_tcp", "rtu"])
def anywhere(request):
    """A simulator on each transport in turn, not yet started."""
    return Simulator(transport=request.param)
