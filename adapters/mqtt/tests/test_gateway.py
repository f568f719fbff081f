"""The example configuration at work: simulated machines, the whole gateway, a broker, a subscriber who counts."""

import asyncio
from pathlib import Path

import yaml

from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "mqtt-source.yaml"
VALUES = {
    "motor_temperature": 61.5, "current_l1": 3.125, "current_l2": 3.0, "current_l3": 3.25, "parts": 1207, "state": "run",
    "outdoor_temperature": -4.5, "humidity": 81.0, "flow": 12.5, "axis_1": 1207.25, "program": "weld",
}  # fmt: skip


def example(folder, platform):
    """The example, on other ports, with a quick retry."""
    settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    settings["observe"] = {"http": "off"}
    settings["bus"] = {"path": str(folder / "journal.db"), "linger": "20ms"}
    settings["connections"]["plant-broker"] |= {"port": free_port(), "retry": "100ms"}
    settings["lanes"]["platform"]["to"]["port"] = platform
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return load_configuration(path)


def states(gateway):
    return {device.name: device.state for device in gateway.status().devices}


def test_the_example_from_machines_to_platform(run, tmp_path):
    async def work():
        async with embedded_broker() as broker:
            configuration = example(tmp_path, broker.port_v5)
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(configuration), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            async with Simulator.of(configuration.connections["plant-broker"]) as plant:
                machines = {}
                for name, device in configuration.devices.items():
                    machines[name] = plant.device(device.config)
                    for tag in device.tags:
                        machines[name].set(tag, VALUES[tag.name])
                await until(lambda: set(states(gateway).values()) == {DeviceState.UP}, 20)
                await until(lambda: all(reading.value is not None for reading in gateway.values()), 20)
                assert {(one.device, one.tag): one.value for one in gateway.values()} == {
                    (name, tag.name): VALUES[tag.name]
                    for name, device in configuration.devices.items()
                    for tag in device.tags
                }
                plant.broker.publish("machines/press-1/telemetry", b"{")
                await until(lambda: states(gateway)["press-1"] is DeviceState.DEGRADED)
                assert states(gateway)["press-2"] is DeviceState.UP
                machines["press-1"].publish()
                await until(lambda: states(gateway)["press-1"] is DeviceState.UP)
                machines["robot"].die()
                await until(lambda: states(gateway)["robot"] is DeviceState.DOWN)
                plant.hang_up()
                await until(lambda: states(gateway)["press-1"] is DeviceState.UP, 20)
                assert plant.counters.sessions_most == 1
            await until(lambda: states(gateway)["press-1"] is DeviceState.DOWN, 20)
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points, 20)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0

    run(work, limit=90)


SMALL = """
gateway: {{id: plant}}
observe: {{http: "off"}}
bus: {{path: {folder}/journal.db, linger: 20ms}}
connections:
  machines: {{adapter: mqtt, host: 127.0.0.1, port: {port}, client_id: gateway-1, retry: 100ms}}
devices:
  m1: {{connection: machines, topic: m/1, tags: [{{name: n, type: int32, address: $.n}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


def subscribed(broker):
    return "gateway-1" in broker.sessions and broker.sessions["gateway-1"].filters


def test_an_interruption_is_a_gap_only_where_the_broker_forgot(run, tmp_path):
    async def work():
        async with embedded_broker() as broker, Simulator() as plant:
            path = tmp_path / "plant.yaml"
            path.write_text(SMALL.format(folder=tmp_path, port=plant.port, broker=broker.port_v5), "utf-8")
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(load_configuration(path)), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            gaps = []
            for number, forget in enumerate((False, True)):
                await until(lambda: subscribed(plant.broker))
                plant.broker.publish("m/1", b'{"n": %d}' % (10 * number))
                await until(lambda: states(gateway)["m1"] is DeviceState.UP)
                plant.faults.forget = forget
                plant.hang_up()
                await until(lambda: states(gateway)["m1"] is DeviceState.DOWN)
                plant.broker.publish("m/1", b'{"n": %d}' % (10 * number + 1))
                await until(lambda: plant.broker.clients and subscribed(plant.broker))
                plant.broker.publish("m/1", b'{"n": %d}' % (10 * number + 2))
                await until(lambda: states(gateway)["m1"] is DeviceState.UP)
                await asyncio.sleep(0.3)
                gaps.append(subscriber.reader.report().gaps)
            stop.set()
            await running
            hearing.cancel()
            await asyncio.wait([hearing])
            assert gaps == [0, 1]

    run(work, limit=90)
