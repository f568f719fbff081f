"""The example configuration at work, and what an interruption leaves; probing and browsing; settings."""

import asyncio
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from adapters.mtconnect import models
from adapters.mtconnect.adapter import _node
from adapters.mtconnect.document import DataItem
from adapters.mtconnect.simulator import Simulator
from adapters.mtconnect.tests.conftest import until
from gateway.observe.status import DeviceState
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "mtconnect.yaml"
VALUES = {"x": 61.5, "spindle_speed": 1450.0, "execution": "ACTIVE", "parts": 1207, "system": "NORMAL"}


def states(gateway):
    return {device.name: device.state for device in gateway.status().devices}


def test_the_example_from_machines_to_platform(run, tmp_path):
    async def work():
        async with embedded_broker() as broker:
            settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
            settings["observe"] = {"http": "off"}
            settings["bus"] = {"path": str(tmp_path / "journal.db"), "linger": "20ms"}
            settings["connections"]["agent"] |= {"port": free_port(), "retry": "100ms"}
            settings["lanes"]["platform"]["to"]["port"] = broker.port_v5
            (path := tmp_path / "plant.yaml").write_text(yaml.safe_dump(settings), "utf-8")
            configuration = load_configuration(path)
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(configuration), asyncio.Event()
            async with Simulator.of(configuration.connections["agent"]) as plant:
                machines = {name: plant.device(device.config) for name, device in configuration.devices.items()}
                for name, device in configuration.devices.items():
                    for tag in device.tags:
                        machines[name].set(tag, VALUES[tag.name])
                running = asyncio.create_task(gateway.run(stop, 5))
                await until(lambda: set(states(gateway).values()) == {DeviceState.UP}, 20)
                await until(lambda: all(reading.value is not None for reading in gateway.values()), 20)
                assert {(one.device, one.tag): one.value for one in gateway.values()} == {
                    (name, tag): value for name in machines for tag, value in VALUES.items()
                }
                gaps = []
                for forgets in (False, True):
                    plant.hang_up()
                    await until(lambda: states(gateway)["lathe-1"] is DeviceState.DOWN, 20)
                    machines["lathe-1"].observe("l1_parts", "1300")
                    if forgets:
                        plant.agent.restart()
                    machines["lathe-1"].observe("l1_parts", "1301")
                    await until(lambda: states(gateway)["lathe-1"] is DeviceState.UP, 20)
                    await asyncio.sleep(0.5)
                    gaps.append(subscriber.reader.report().gaps)
                assert gaps == [0, 2], "one for each device, and only when the agent was started anew"
                assert plant.counters.sessions_most == 1
            await until(lambda: states(gateway)["lathe-1"] is DeviceState.DOWN, 20)
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points, 20)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0

    run(work, limit=90)


def test_probe_and_browse(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.agent.machine("lathe").observe("x", "1", "SAMPLE")
            plant.agent.machine("press").observe("y", "A")
            made = kit.adapter(plant)
            found = await made.probe(kit.device())
            assert (found.outcome, dict(found.identity)["devices"]) == ("ok", "lathe, press")
            assert dict((await made.probe(kit.device(device="saw"))).identity)["missing"] == "saw"
            nodes = [node async for node in made.browse(kit.device())]
            assert [(node.path, node.address, str(node.type)) for node in nodes] == [
                ("lathe/controller/x_name", "x", "float64"), ("press/controller/y_name", "y", "string"),
            ]  # fmt: skip
            assert [node.address async for node in made.browse(kit.device(device="uuid-press"))] == ["y"]
            assert [node.address async for node in made.browse(kit.device(), "lathe/controller")] == ["x"]
            plant.device().silent = True
            assert (await made.probe(kit.device())).outcome == "timeout"
            plant.device().silent = False
            plant.status = 401
            assert (await made.probe(kit.device())).outcome == "auth"
        assert (await made.probe(kit.device())).outcome == "refused"

    run(work)


def test_a_probe_that_is_told_something_else(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.agent.devices = plant.agent.current
            assert (await kit.adapter(plant).probe(kit.device())).outcome == "wrong_protocol"

    run(work)


@pytest.mark.parametrize(
    ("item", "kind", "unit"),
    [
        (("SAMPLE", "POSITION", "MILLIMETER", ""), "float64", "mm"),
        (("SAMPLE", "MASS", "GRAIN", ""), "float64", "GRAIN"),
        (("SAMPLE", "PATH_POSITION", "MILLIMETER_3D", ""), "string", ""),
        (("SAMPLE", "VOLTAGE", "VOLT", "TIME_SERIES"), "string", ""),
        (("EVENT", "PART_COUNT", "", ""), "int64", ""),
        (("EVENT", "VARIABLE", "", "DATA_SET"), None, ""),
        (("CONDITION", "SYSTEM", "", ""), "string", ""),
    ],
)
def test_what_browsing_proposes(item, kind, unit):
    node = _node(DataItem("m", "u", "m/x", "x", "", *item))
    assert (node.type, node.address, node.unit) == (kind, "x" if kind else "", unit)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"access": "write"}, "read only"), ({"type": "bytes"}, "no bytes"), ({"address": "a b"}, "id")],
)
def test_tags_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        models.tag.model_validate({"name": "x", "address": "x", "type": "int16"} | settings)


def test_what_the_simulator_refuses(run, kit):
    async def work():
        async with Simulator() as plant:
            with pytest.raises(ValueError, match="control"):
                plant.device().set(kit.tag("x", "string"), "\0")
            reader, writer = await asyncio.open_connection("127.0.0.1", plant.port)
            for line, code in ((b"POST /", b"INVALID_REQUEST"), (b"GET /sample?from=x", b"QUERY_ERROR")):
                writer.write(line + b" HTTP/1.1\r\n\r\n")
                assert code in await reader.readuntil(b"</MTConnectError>")
            writer.close()
            await writer.wait_closed()

    run(work)
