"""What a broker keeps for us, and what not: sessions, shared subscriptions, retained messages."""

import asyncio

from adapters.mqtt import adapter
from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.sdk import TagFault


async def listening(plant, client="gw"):
    await until(lambda: client in plant.broker.sessions and plant.broker.sessions[client].filters)


def test_a_session_without_memory(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol, session="0s")
            feed = kit.feed(kit.device(), kit.tag("t"), connection=connection)
            async with kit.subscribed(connection, kit.feeds(feed)):
                await listening(plant)
            await until(lambda: not plant.broker.sessions)

    run(work)


def test_a_shared_subscription(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            device = kit.device(topic="$share/gateways/m/+")
            feeds = [kit.feed(device, kit.tag("t"), name=f"d{n}") for n in range(2)]
            one, two = (kit.connection(plant.port, protocol=protocol, client_id=f"c{n}") for n in range(2))
            async with kit.subscribed(one, kit.feeds(feeds[0])), kit.subscribed(two, kit.feeds(feeds[1])):
                await listening(plant, "c0")
                await listening(plant, "c1")
                plant.broker.publish("m/1", b'{"t": 1}')
                await until(lambda: any(feed.values for feed in feeds))
                await asyncio.sleep(0.05)
                assert sum(len(feed.values) for feed in feeds) == 1

    run(work)


def test_retained_messages_are_old(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            plant.broker.publish("m/1", b'{"t": 1}', retain=True)
            ignoring = kit.feed(kit.device(), kit.tag("t"))
            using = kit.feed(kit.device(retained="use"), kit.tag("t"), name="e")
            async with kit.subscribed(kit.connection(plant.port, protocol=protocol), kit.feeds(ignoring, using)):
                await until(lambda: using.values == [{"t": 1}])
                plant.broker.publish("m/1", b'{"t": 2}')
                await until(lambda: ignoring.values == [{"t": 2}])

    run(work)


def test_what_was_missed_is_told_apart_from_what_was_kept(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            plain, shared = kit.device(), kit.device(topic="$share/g/m/1")
            node = kit.device(group="g", node="n")
            connection = kit.connection(plant.port, protocol=protocol)

            async def missed(device, **more):
                async with adapter(kit.connection(plant.port, protocol=protocol, **more)).open() as session:
                    tag = kit.tag("t", address="T" if device is node else "$.t")
                    try:
                        await session.read_history(kit.feed(device, tag), 1, 2)
                    except TagFault as fault:
                        return fault.code
                    return None

            assert await missed(plain) == "session_not_kept", "the first session of all"
            assert await missed(plain) is None
            assert await missed(shared) == "session_not_kept"
            assert await missed(node) == "session_not_kept"
            assert await missed(plain, qos=0) == "session_not_kept"
            plant.broker.sessions.clear()  # a broker that restarts without its sessions
            assert await missed(plain) == "session_not_kept"
            assert connection.session

    run(work)
