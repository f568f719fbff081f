"""The example configuration at work: simulated CPUs, the whole gateway, a broker, a subscriber who counts."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from adapters.s7.simulator import Simulator
from gateway.model.quality import Quality
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "s7.yaml"
VALUES = {
    "running": True, "fault": False, "mode": 3, "force": 1250.5, "parts": 1207, "energy": 123_456.75, "order": "A-4711",
    "operator": "王工", "last_stroke": "2026-03-01T08:15:00.250000000", "cycle": 12.5, "force_limit": 2000.0,
    "temperature": 865.5, "burner": True, "door_closed": True, "setpoint": 870, "soak_left": 127.0, "batches": 42,
    "recipe": "淬火", "started": "2026-03-01T06:00:00.000", "pressure": 6.25, "speed": 2890, "pump_on": True,
}  # fmt: skip


def example(folder, platform):
    """The example, on other ports, with a quick retry."""
    settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    settings["observe"] = {"http": "off"}
    settings["bus"] = {"path": str(folder / "journal.db"), "linger": "20ms"}
    for connection in settings["connections"].values():
        connection |= {"port": free_port(), "retry": "100ms", "timeout": "500ms"}
    settings["devices"]["pump"]["scan"] = "200ms"
    settings["lanes"]["platform"]["to"]["port"] = platform
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return load_configuration(path)


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def states(gateway):
    return {device.name: device.state for device in gateway.status().devices}


def readings(gateway):
    return {(one.device, one.tag): one for one in gateway.values()}


def test_the_example_from_cpus_to_platform(run, tmp_path):
    async def work():
        async with embedded_broker() as broker, AsyncExitStack() as stack:
            configuration = example(tmp_path, broker.port_v5)
            plants = {
                name: await stack.enter_async_context(Simulator.of(connection))
                for name, connection in configuration.connections.items()
            }
            machines = {}
            for name, device in configuration.devices.items():
                machines[name] = plants[device.config.connection].device(device.config)
                for tag in device.tags:
                    machines[name].set(tag, VALUES[tag.name])
            plants["furnace-plc"].cpu.grant_pdu, plants["furnace-plc"].cpu.grant_jobs = 240, 1
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(configuration), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            await until(lambda: set(states(gateway).values()) == {DeviceState.UP})
            await until(lambda: all(one.value is not None for one in gateway.values()))
            assert {place: one.value for place, one in readings(gateway).items()} == {
                (name, tag.name): VALUES[tag.name]
                for name, device in configuration.devices.items()
                for tag in device.tags
            }
            press = {tag.name: tag for tag in configuration.devices["press-1"].tags}
            machines["press-1"].refuse(press["parts"])
            machines["press-1"].set(press["force"], 99.5)
            await until(lambda: readings(gateway)["press-1", "parts"].quality == Quality.ADDRESS_REFUSED)
            await until(lambda: readings(gateway)["press-1", "force"].value == 99.5)
            plants["pump-plc"].hang_up()
            plants["pump-plc"].cpu.silent = True
            await until(lambda: states(gateway)["pump"] is DeviceState.DOWN)
            assert states(gateway)["furnace"] is DeviceState.UP
            plants["pump-plc"].cpu.silent = False
            await until(lambda: states(gateway)["pump"] is DeviceState.UP)
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0
            assert {plant.counters.sessions_most for plant in plants.values()} == {1}
            assert plants["furnace-plc"].counters.pdu_most <= 240
            assert plants["furnace-plc"].counters.in_flight_most == 1

    run(work)
