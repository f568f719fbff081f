"""A session with a real broker on a real socket: subscribing, acknowledging, coming back, ending."""

import asyncio

from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until


def test_values_arrive_and_are_acknowledged_when_they_are_safe(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol)
            device, tags = kit.device(), (kit.tag("t"), kit.tag("n", "int32"))
            feed = kit.feed(device, *tags)
            feeds = kit.feeds(feed, safe=False)
            async with kit.subscribed(connection, feeds):
                await until(lambda: plant.broker.sessions and plant.broker.sessions["gw"].filters)
                plant.broker.publish("m/1", b'{"t": 21.5, "n": 7}')
                plant.broker.publish("m/1", b'{"t": 22, "other": 7}', qos=0)
                await until(lambda: len(feed.samples) == 2)
                assert feed.samples == [({"t": 21.5, "n": 7}, {}, 0, False), ({"t": 22}, {}, 0, False)]
                await asyncio.sleep(0.05)
                assert plant.counters.acknowledged == 0, "not safe yet"
                feeds.commit()
                await until(lambda: plant.counters.acknowledged == 1)
        assert plant.counters.sessions == 0

    run(work)


def test_what_was_not_acknowledged_comes_again(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol)
            feed = kit.feed(kit.device(), kit.tag("t"))
            feeds = kit.feeds(feed, safe=False)
            async with kit.subscribed(connection, feeds):
                await until(lambda: plant.broker.sessions and plant.broker.sessions["gw"].filters)
                plant.broker.publish("m/1", b'{"t": 1}')
                await until(lambda: feed.values == [{"t": 1}])
            plant.broker.publish("m/1", b'{"t": 2}')
            again = kit.feed(kit.device(), kit.tag("t"))
            async with kit.subscribed(connection, kit.feeds(again)):
                await until(lambda: again.values == [{"t": 1}, {"t": 2}])
                await until(lambda: plant.counters.acknowledged == 2)

    run(work)


def test_a_machine_of_the_simulator(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol)
            device = kit.device(topic="hall/+/press/#", time={"path": "$.at.ms"})
            tags = (kit.tag("t", address="$.temp[1].value"), kit.tag("n", "int16", scale=0.1), kit.tag("on", "bool"))
            machine = plant.device(device)
            for tag, value in zip(tags, (21.5, 4.2, True), strict=True):
                machine.set(tag, value)
            feed = kit.feed(device, *tags)
            async with kit.subscribed(connection, kit.feeds(feed)):
                await until(lambda: feed.last == {"t": 21.5, "n": 42, "on": True})
                assert feed.samples[-1][2] > 1.7e18
                machine.refuse(tags[0])
                await until(lambda: feed.last["t"] == "not_available")
                assert feed.last["n"] == 42

    run(work)


def test_sparkplug_of_the_simulator(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol)
            device = kit.device(group="g", node="n", device="d")
            tags = (kit.tag("speed", address="Outputs/Speed"), kit.tag("n", "int16", address="Count"))
            machine = plant.device(device)
            machine.set(tags[0], 1.5)
            machine.set(tags[1], -7)
            feed = kit.feed(device, *tags, kit.tag("gone", address="Gone"))
            async with kit.subscribed(connection, kit.feeds(feed)):
                await until(lambda: feed.last == {"speed": 1.5, "n": -7, "gone": "address_refused"})
                machine.set(tags[0], 2.5)
                await until(lambda: feed.last["speed"] == 2.5)
                assert not feed.faults
                machine.node.skip()
                machine.set(tags[0], 3.5)
                await until(lambda: feed.last["speed"] == 3.5)
                assert [fault.code for fault in feed.faults] == ["sequence_gap"]
                machine.node.die()
                await until(lambda: len(feed.faults) == 2)
                assert feed.faults[-1].code == "declared_offline"

    run(work)
