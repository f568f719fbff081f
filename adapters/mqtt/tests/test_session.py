"""A session with a real broker on a real socket: subscribing, acknowledging, coming back, ending."""

import asyncio

import pytest

from adapters.mqtt import adapter
from adapters.mqtt.simulated import Kept
from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.sdk import AuthFault, ConfigFault, Fault, LinkLost, ProtocolFault


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


async def listening(plant, client="gw"):
    await until(lambda: client in plant.broker.sessions and plant.broker.sessions[client].filters)


async def fault_of(task):
    with pytest.raises(Fault) as caught:
        async with asyncio.timeout(10):
            await task
    return caught.value


def test_qos_2_comes_once(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol, qos=2)
            made = adapter(connection)
            feed = kit.feed(kit.device(), kit.tag("t"))
            feeds = kit.feeds(feed, safe=False)

            async def session():
                async with made.open() as at_work:
                    await at_work.subscribe(feeds)

            first = asyncio.create_task(session())
            await listening(plant)
            plant.broker.publish("m/1", b'{"t": 1}', qos=2)
            await until(lambda: feed.values == [{"t": 1}])
            plant.hang_up()  # before it was acknowledged: the broker sends it again
            await fault_of(first)
            second = asyncio.create_task(session())
            await until(lambda: len(feeds.waiting) == 2)
            feeds.commit()
            await until(lambda: plant.counters.acknowledged == 1)
            plant.broker.publish("m/1", b'{"t": 2}', qos=2)
            await until(lambda: len(feeds.waiting) == 1)
            feeds.commit()
            await until(lambda: plant.counters.acknowledged == 2)
            assert feed.values == [{"t": 1}, {"t": 2}]
            assert made.known == set()
            second.cancel()
            await asyncio.wait([second])

    run(work)


def test_receive_maximum_is_told_and_kept(run, kit):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, receive_maximum=5)
            feed = kit.feed(kit.device(), kit.tag("t"))
            feeds = kit.feeds(feed, safe=False)
            async with kit.subscribed(connection, feeds) as task:
                await listening(plant)
                for number in range(20):
                    plant.broker.publish("m/1", b'{"t": %d}' % number)
                await until(lambda: len(feed.values) == 5)
                await asyncio.sleep(0.05)
                assert len(feed.values) == 5
                while len(feed.values) < 20:
                    feeds.commit()
                    await asyncio.sleep(0.005)
                assert plant.counters.in_flight_most == 5
                for client in plant.broker.clients:
                    client.receive_maximum = 100
                for number in range(10):
                    plant.broker.publish("m/1", b'{"t": %d}' % number)
                fault = await fault_of(task)
                assert "more than 5" in str(fault)

    run(work)


def test_without_room_nothing_is_read_and_nothing_is_lost(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol, keepalive="1s")
            feed = kit.feed(kit.device(), kit.tag("t"))
            feeds = kit.feeds(feed)
            async with kit.subscribed(connection, feeds) as task:
                await listening(plant)
                feeds.full = True
                for number in range(100):
                    plant.broker.publish("m/1", b'{"t": %d}' % number, qos=number % 2)
                before = plant.counters.requests
                await asyncio.sleep(2.2)
                assert not task.done(), "the broker is kept happy meanwhile"
                assert plant.counters.requests >= before + 3
                assert plant.counters.acknowledged == 0
                feeds.make_room()
                await until(lambda: feed.values == [{"t": number} for number in range(100)])
                await until(lambda: plant.counters.acknowledged == 50)

    run(work)


def test_a_payload_that_is_too_large_is_bad_and_passed_over(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            connection = kit.connection(plant.port, protocol=protocol, max_payload=100)
            feed = kit.feed(kit.device(), kit.tag("t"))
            async with kit.subscribed(connection, kit.feeds(feed)):
                await listening(plant)
                plant.broker.publish("m/1", b"x" * 500_000)
                plant.broker.publish("m/1", b'{"t": 1}')
                await until(lambda: feed.last == {"t": 1})
                assert feed.samples[0][1] == {"t": "undecodable"}
                await until(lambda: plant.counters.acknowledged == 2)

    run(work)


@pytest.mark.parametrize(("reason", "kind"), [(0x87, AuthFault), (0x88, LinkLost), (0x85, ConfigFault)])
def test_a_broker_that_refuses(run, kit, reason, kind):
    async def work():
        async with Simulator() as plant:
            plant.faults.connack = reason
            with pytest.raises(kind):
                async with adapter(kit.connection(plant.port)).open():
                    pass

    run(work)


def test_one_filter_that_is_refused_takes_its_devices_down_only(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            plant.faults.suback = {"m/2": 0x80}
            well, ill = (kit.feed(kit.device(topic=f"m/{n}"), kit.tag("t"), name=f"d{n}") for n in (1, 2))
            async with kit.subscribed(kit.connection(plant.port, protocol=protocol), kit.feeds(well, ill)):
                await listening(plant)
                plant.broker.publish("m/1", b'{"t": 1}')
                await until(lambda: well.values)
                assert [fault.code for fault in ill.faults] == ["subscription_refused"]
                assert well.faults == []
            async with kit.subscribed(kit.connection(plant.port, protocol=protocol), kit.feeds(ill)) as task:
                assert (await fault_of(task)).code == "subscription_refused"

    run(work)


def test_why_a_broker_ends_a_session(run, kit):
    async def work():
        async with Simulator() as plant:
            for reason, code in ((0x8E, "client_id_taken"), (0x8B, "broker_stopped"), (0x00, "link_lost")):
                feed = kit.feed(kit.device(), kit.tag("t"))
                async with kit.subscribed(kit.connection(plant.port), kit.feeds(feed)) as task:
                    await listening(plant)
                    await until(lambda: plant.broker.clients)
                    for client in tuple(plant.broker.clients):
                        client.send(bytes((0xE0, 1, reason)))
                        client._transport.close()
                    assert (await fault_of(task)).code == code

    run(work)


def test_a_broker_that_falls_silent(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            feed = kit.feed(kit.device(), kit.tag("t"))
            connection = kit.connection(plant.port, protocol=protocol, keepalive="1s", timeout="300ms")
            async with kit.subscribed(connection, kit.feeds(feed)) as task:
                await listening(plant)
                await asyncio.sleep(1.5)
                assert not task.done()
                plant.faults.silent = True
                fault = await fault_of(task)
                assert (type(fault), fault.code) == (LinkLost, "no_answer")
            with pytest.raises(LinkLost, match="no answer"):
                async with adapter(connection).open():
                    pass

    run(work)


def test_many_filters_are_asked_for_in_small_packets(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            feeds = [kit.feed(kit.device(topic=f"m/{n}"), kit.tag("t"), name=f"d{n}") for n in range(100)]
            async with kit.subscribed(kit.connection(plant.port, protocol=protocol), kit.feeds(*feeds)):
                await until(lambda: len(plant.broker.sessions.get("gw", Kept("")).filters) == 100)
                plant.broker.publish("m/99", b'{"t": 1}')
                await until(lambda: feeds[99].values)
                assert not any(feed.values for feed in feeds[:99])

    run(work)


@pytest.mark.parametrize(
    "answer",
    [
        "90 05 0001 00 01 01",
        "90 04 0007 00 01",
        "70 02 0001",
        "d0 00 b0 02 0001",
        "20 03 00 00 00",
        "90 04 0001 00 01 90 04 0001 00 01",
        "34 05 0001 61 0000 00",
        "36 06 0001 61 0001 00",
    ],
)
def test_a_broker_that_answers_something_else(run, kit, answer):
    async def work():
        async def broker(reader, writer):
            await reader.read(100)
            writer.write(bytes.fromhex("20 03 00 00 00"))
            await reader.read(100)
            writer.write(bytes.fromhex(answer))
            await reader.read(100)
            writer.close()

        server = await asyncio.start_server(broker, "127.0.0.1", 0)
        connection = kit.connection(server.sockets[0].getsockname()[1], timeout="300ms")
        async with kit.subscribed(connection, kit.feeds(kit.feed(kit.device(), kit.tag("t")))) as task:
            fault = await fault_of(task)
            assert isinstance(fault, ProtocolFault)
        server.close()
        await server.wait_closed()

    run(work)


def test_a_broker_that_goes_while_somebody_listens(run, kit):
    async def work():
        async with Simulator() as plant:
            made = adapter(kit.connection(plant.port, browse_for="10s"))

            async def look():
                return [node async for node in made.browse(kit.device())]

            for says in (b"", bytes((0xE0, 1, 0x8B))):
                looking = asyncio.create_task(look())
                await until(lambda: any(kept.filters for kept in plant.broker.sessions.values()))
                for client in tuple(plant.broker.clients):
                    client.send(says)
                    client._transport.close()
                assert (await fault_of(looking)).code == ("broker_stopped" if says else "link_lost")
                await until(lambda: not plant.broker.sessions)

    run(work)
