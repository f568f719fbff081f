"""A probe tells apart what can be wrong, in time, and changes nothing; browsing tells what there is."""

import asyncio
import time

import pytest

from adapters.mqtt import adapter
from adapters.mqtt.browse import Births, Topics
from adapters.mqtt.simulated_node import Kind, metric, varint
from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.model.types import DataType
from gateway.sdk import AuthFault, Browses, Probes


def test_a_broker_that_answers(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            made = adapter(kit.connection(plant.port, protocol=protocol))
            assert isinstance(made, Probes)
            probed = await made.probe(kit.device(topic="$share/g/m/#"))
            assert probed.outcome == "ok"
            assert probed.detail == f"the broker speaks MQTT {protocol} and grants m/#"
            await until(lambda: not plant.broker.sessions)
            assert (await made.probe(kit.device(group="g", node="n"))).outcome == "ok"

    run(work)


def test_a_gateway_at_work_is_left_alone(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol)
            feed = kit.feed(kit.device(), kit.tag("t"))
            async with kit.subscribed(connection, kit.feeds(feed)) as task:
                await until(lambda: plant.broker.sessions and plant.broker.sessions["gw"].filters)
                assert (await adapter(connection).probe(kit.device())).outcome == "ok"
                plant.broker.publish("m/1", b'{"t": 1}')
                await until(lambda: feed.values == [{"t": 1}])
                assert not task.done()
            plant.broker.publish("m/1", b'{"t": 2}')
            assert (await adapter(connection).probe(kit.device())).outcome == "ok"
            assert len(plant.broker.sessions["gw"].waiting) == 1, "what waits for the gateway still waits"

    run(work)


def test_what_a_probe_tells_apart(run, kit):
    async def work():
        async def http(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        web = await asyncio.start_server(http, "127.0.0.1", 0)
        async with Simulator() as plant:

            async def outcome(port=plant.port, **more):
                started = time.monotonic()
                probed = await adapter(kit.connection(port, timeout="200ms", **more)).probe(kit.device())
                assert time.monotonic() - started < 1.5
                assert len(probed.detail) > 10
                return probed.outcome

            plant.faults.silent = True
            assert await outcome() == "timeout"
            plant.faults.silent = False
            for reason, expected in ((0x86, "auth"), (0x84, "refused"), (0x89, "refused"), (0x42, "wrong_protocol")):
                plant.faults.connack = reason
                assert await outcome() == expected
            plant.faults.connack = 0
            plant.faults.suback = {"m/1": 0x87}
            assert await outcome() == "auth"
            assert await outcome(web.sockets[0].getsockname()[1]) == "wrong_protocol"
            assert await outcome(tls={"verify": False}) in ("wrong_protocol", "refused")
            assert await outcome(tls={"ca": "/nowhere.pem"}) == "refused"
        assert await outcome() == "refused"
        web.close()

    run(work)


def test_a_probe_in_a_silent_network(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.broker._server.close()  # nobody accepts, and nobody refuses
            async with asyncio.timeout(5):
                probed = await adapter(kit.connection(plant.port, timeout="200ms")).probe(kit.device())
            assert probed.outcome in ("timeout", "refused")

    run(work)


async def found(made, device, path=""):
    return [node async for node in made.browse(device, path)]


def test_browsing_topics(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            made = adapter(kit.connection(plant.port, protocol=protocol, browse_for="300ms"))
            assert isinstance(made, Browses)
            plant.broker.publish("m/1/kept", b'{"on": true}', retain=True)
            looking = asyncio.create_task(found(made, kit.device(topic="m/#")))
            await until(lambda: any(kept.filters for kept in plant.broker.sessions.values()))
            plant.broker.publish("m/1", '{"motor": {"temp": [1.5]}, "n": 3, "s": "温", "z": null}'.encode())
            plant.broker.publish("m/2", b"{")
            nodes = {node.path: (node.address, node.type) for node in await looking}
            assert nodes == {
                "m/1": ("", None),
                "m/1/$.motor.temp[0]": ("$.motor.temp[0]", DataType.FLOAT64),
                "m/1/$.n": ("$.n", DataType.INT64),
                "m/1/$.s": ("$.s", DataType.STRING),
                "m/1/$.z": ("$.z", None),
                "m/1/kept": ("", None),
                "m/1/kept/$.on": ("$.on", DataType.BOOL),
                "m/2": ("", None),
            }
            plant.faults.suback = {"m/1": 0x87}
            with pytest.raises(AuthFault):
                await found(made, kit.device())

    run(work)


def test_browsing_a_sparkplug_device(run, kit):
    async def work():
        async with Simulator() as plant:
            made = adapter(kit.connection(plant.port, browse_for="300ms"))
            device = kit.device(group="g", node="n", device="d")
            machine = plant.device(device)
            machine.set(kit.tag("speed", "float32", address="Axes/Speed"), 1.5)
            machine.set(kit.tag("name", "string", address="Name"), "x")
            assert {(node.path, node.type) for node in await found(made, device)} == {
                ("Axes/Speed", DataType.FLOAT32), ("Name", DataType.STRING),
            }  # fmt: skip
            assert [node.path for node in await found(made, device, "Axes")] == ["Axes/Speed"]
            assert machine.node.rebirths == 2
            assert await found(made, kit.device(group="g", node="n", device="d", rebirth=False)) == []

    run(work)


def test_what_was_heard_is_bounded_and_readable(kit, monkeypatch):
    monkeypatch.setattr("adapters.mqtt.browse.MOST_TOPICS", 2)
    monkeypatch.setattr("adapters.mqtt.browse.MOST_MEMBERS", 3)
    heard = Topics(kit.device(topic="#"))
    for number in range(5):
        heard.take(b"m/%d" % number, b"[1, 2, 3, 4, 5]", False)
    heard.take(b"m/9", None, False)
    assert [node.path for node in heard.nodes()] == [
        "m/0", "m/0/$[0]", "m/0/$[1]", "m/0/$[2]", "m/1", "m/1/$[0]", "m/1/$[1]", "m/1/$[2]"
    ]  # fmt: skip
    text = Topics(kit.device(format="text"))
    text.take(b"m/1", b"21.5", False)
    assert [(node.path, node.description) for node in text.nodes()] == [("m/1", "21.5")]


def test_births_of_the_node_itself(kit):
    births = Births(kit.device(group="g", node="n"))
    assert list(births.nodes()) == []
    births.take(b"spBv1.0/g/NBIRTH/n", b"\xff", False)
    assert list(births.nodes()) == []
    births.take(b"spBv1.0/g/NBIRTH/other", metric("a", 1, Kind.INT8, 1), False)
    births.take(
        b"spBv1.0/g/NBIRTH/n", varint(1, 5) + metric("a", 1, Kind.INT8, 1) + metric("set", 2, None, None), False
    )
    assert [(node.path, node.address, node.type) for node in births.nodes()] == [
        ("a", "a", DataType.INT8), ("set", "", None)
    ]  # fmt: skip
