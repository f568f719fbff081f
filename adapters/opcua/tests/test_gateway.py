"""The example configuration at work: simulated servers, the whole gateway, a broker, a subscriber who counts."""

import asyncio
from pathlib import Path

import pytest
import yaml

from adapters.opcua import trust
from adapters.opcua.simulator import Simulator
from adapters.opcua.tests.conftest import until
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "opcua.yaml"
VALUES = {
    "force": 1250.5, "oil_temperature": 48.25, "strokes": 120_345, "running": True, "die": "D-118", "setpoint": 900.0,
    "speed": 42.5, "batch": -7,
}  # fmt: skip


def example(folder, platform):
    """The example, on other ports, with a quick retry."""
    settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    settings["observe"] = {"http": "off"}
    settings["bus"] = {"path": str(folder / "journal.db"), "linger": "20ms"}
    for connection in settings["connections"].values():
        connection |= {
            "url": f"opc.tcp://127.0.0.1:{free_port()}",
            "retry": "100ms",
            "retry_max": "500ms",
            "keepalive": "500ms",
        }
    settings["connections"]["press-line"]["pki"] = str(folder / "pki")
    settings["lanes"]["platform"]["to"] = {"host": "127.0.0.1", "port": platform}
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return load_configuration(path)


def states(gateway):
    return {"mixer": None, "press-1": None} | {device.name: device.state for device in gateway.status().devices}


def test_the_example_from_machines_to_platform(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PRESS_LINE_PASSWORD", "secret")

    async def work():
        async with embedded_broker() as broker:
            configuration = example(tmp_path, broker.port_v5)
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            sims = {name: Simulator.of(config) for name, config in configuration.connections.items()}
            machines = {}
            for name, device in configuration.devices.items():
                machines[name] = sims[device.config.connection].device(device.config)
                for tag in device.tags:
                    machines[name].set(tag, VALUES[tag.name])
            async with sims["press-line"], sims["mixer-cpu"]:
                gateway, stop = Gateway(configuration), asyncio.Event()
                running = asyncio.create_task(gateway.run(stop, 5))
                await until(lambda: states(gateway)["mixer"] is DeviceState.UP, 20)
                await until(lambda: states(gateway)["press-1"] is DeviceState.DOWN, 20)
                assert (
                    next(one for one in gateway.status().devices if one.name == "press-1").reason
                    == "certificate_not_trusted"
                )
                connection = configuration.connections["press-line"]
                refused = next(one for one in await trust(connection) if one.state == "refused")
                await trust(connection, refused.thumbprint)
                await until(lambda: set(states(gateway).values()) == {DeviceState.UP}, 20)
                await until(lambda: all(reading.value is not None for reading in gateway.values()), 20)
                assert {(one.device, one.tag): one.value for one in gateway.values()} == {
                    (name, tag.name): pytest.approx(VALUES[tag.name], abs=1e-3)
                    for name, device in configuration.devices.items()
                    for tag in device.tags
                }
                mixer = configuration.devices["mixer"]
                machines["mixer"].refuse(mixer.tags[1])
                await until(lambda: states(gateway)["mixer"] is DeviceState.DEGRADED, 20)
                sims["mixer-cpu"].hang_up(forget=False)
                machines["mixer"].set(mixer.tags[0], 99.5)
                await until(
                    lambda: ("mixer", "speed", 99.5) in {(r.device, r.tag, r.value) for r in gateway.values()}, 20
                )
                sims["mixer-cpu"].hang_up()
                machines["mixer"].set(mixer.tags[1], 8)
                await until(lambda: states(gateway)["mixer"] is DeviceState.UP, 20)
                await until(lambda: ("mixer", "batch", 8) in {(r.device, r.tag, r.value) for r in gateway.values()}, 20)
            await until(lambda: set(states(gateway).values()) == {DeviceState.DOWN}, 20)
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points, 20)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0

    run(work, limit=100)
