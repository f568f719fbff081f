"""A hundred starts and stops of a whole collector: nothing is left behind, and a neighbour at work notices nothing."""

import asyncio
import gc
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.mqtt import adapter
from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.bus import open_bus
from gateway.collect.collector import Collector
from gateway.config.root import BusConfig, BusKind, Configuration, Device, GatewayConfig, ObserveConfig
from gateway.observe.status import DeviceState

TURNS = 100


@asynccontextmanager
async def collecting(kit, port, client, topic):
    """A collector of its own with one machine; yields what tells the machine's status."""
    device = Device("m", kit.device(topic=topic, report="always"), (kit.tag("n", "int32"),))
    connection = kit.connection(port, client_id=client)
    bus_config = BusConfig.model_validate({"kind": BusKind.MEMORY})
    configuration = Configuration(
        GatewayConfig(id="g"), {"broker": connection}, {"m": device}, {}, {}, bus_config, ObserveConfig(), Path()
    )
    async with open_bus(bus_config, "g", Path()) as bus:
        collector = Collector(configuration, bus, lambda _: adapter(connection), lambda _: None)
        task = asyncio.create_task(collector.run())
        try:
            yield lambda: next(iter(collector.statuses()))
        finally:
            task.cancel()
            await asyncio.wait([task])


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def resident():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0])


def test_a_hundred_starts_and_stops(run, kit):
    async def work():
        async with Simulator() as plant, collecting(kit, plant.port, "neighbour", "m/neighbour") as neighbour:
            await until(lambda: plant.broker.sessions and plant.broker.sessions["neighbour"].filters)

            async def once(turn):
                async with collecting(kit, plant.port, "reloaded", "m/reloaded") as status:
                    await until(
                        lambda: (kept := plant.broker.sessions.get("reloaded")) and kept.client and kept.filters
                    )
                    plant.broker.publish("m/reloaded", b'{"n": %d}' % turn)
                    plant.broker.publish("m/neighbour", b'{"n": %d}' % turn)
                    await until(lambda: status().state is DeviceState.UP)

            for turn in range(10):
                await once(turn)
            gc.collect()
            before = descriptors(), len(asyncio.all_tasks()), resident()
            for turn in range(10, TURNS + 10):
                await once(turn)
            gc.collect()
            await until(lambda: (descriptors(), len(asyncio.all_tasks())) == before[:2])
            assert resident() - before[2] < 8_000, "kB"
            await until(lambda: neighbour().points == TURNS + 10)
            assert neighbour().state is DeviceState.UP

    run(work, limit=100)
