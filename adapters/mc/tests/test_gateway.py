"""The example configuration at work: simulated CPUs, the whole gateway, a broker, a subscriber who counts."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from adapters.mc.simulator import Simulator
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "mc.yaml"
VALUES = {
    "cycle_time": 12.75, "torque": 61.5, "parts": 1_207_000, "order": "A-2211/7", "motor_on": True, "door_open": False,
    "alarm": True, "press_on": True, "dwell": 1.5, "recipe": 17, "running": True, "pressure": -2.5, "guard": True,
    "valve": False,
}  # fmt: skip


def example(folder, platform):
    """The example, on other ports, with a quick retry."""
    settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    settings["observe"] = {"http": "off"}
    settings["bus"] = {"path": str(folder / "journal.db"), "linger": "20ms"}
    for connection in settings["connections"].values():
        connection |= {"port": free_port(), "retry": "100ms", "timeout": "300ms"}
    settings["lanes"]["platform"]["to"]["port"] = platform
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return load_configuration(path)


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def states(gateway):
    return {device.name: device.state for device in gateway.status().devices}


def test_the_example_from_cpus_to_platform(run, tmp_path):
    async def work():
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(embedded_broker())
            configuration = example(tmp_path, broker.port_v5)
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            plants = {name: Simulator.of(connection) for name, connection in configuration.connections.items()}
            expected = {}
            for name, device in configuration.devices.items():
                cpu = plants[device.config.connection].device(device.config)
                for tag in device.tags:
                    cpu.set(tag, VALUES[tag.name])
                    expected[name, tag.name] = VALUES[tag.name]
            gateway, stop = Gateway(configuration), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            for plant in plants.values():
                await stack.enter_async_context(plant)
            await until(lambda: set(states(gateway).values()) == {DeviceState.UP})
            await until(lambda: {(one.device, one.tag): one.value for one in gateway.values()} == expected)
            behind = plants["cell"].device(configuration.devices["cell-2"].config)
            behind.silent = True
            await until(lambda: states(gateway)["cell-2"] is DeviceState.DOWN)
            assert states(gateway)["press-1"] is DeviceState.UP
            behind.silent = False
            plants["cell"].hang_up()
            await until(lambda: set(states(gateway).values()) == {DeviceState.UP})
            assert plants["cell"].counters.sessions_most == 1
            assert max(plant.counters.in_flight_most for plant in plants.values()) == 1
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0

    run(work)
