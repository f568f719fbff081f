"""Sessions that are come back to, or begun anew, after the connection was cut."""

import pytest

from adapters.opcua import services, subscribing
from adapters.opcua.tests.conftest import ended, until
from adapters.opcua.tests.test_subscribing import subscription_of, tags_of
from gateway.sdk import LinkLost


def test_a_resumed_session_misses_nothing(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 2)
            for tag in tags:
                device.set(tag, 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags, sampling="10ms", queue=100)

            async def lost():
                async with kit.subscribed(opcua, feed) as (session, _):
                    await until(lambda: feed.last("t1") == 0.0)
                    sim.hang_up(forget=False)
                    await ended(session)

            with pytest.raises(LinkLost):
                await lost()
            for number in (1.0, 2.0, 3.0):
                device.set(tags[0], number)
            count = len(feed.told["t1"])
            async with kit.subscribed(opcua, feed) as (session, _):
                assert session.channel.resumed
                await until(lambda: feed.last("t0") == 3.0)
                await session.read_history(feed, 0, 10**8)
                await until(lambda: len(feed.told["t1"]) > count)
                assert [value for value in feed.values("t0") if value] == [1.0, 2.0, 3.0]

    run(work)


def test_a_server_that_forgot_the_session_is_begun_anew(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 1.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)

            async def lost():
                async with kit.subscribed(opcua, feed) as (session, _):
                    await until(lambda: feed.last("t0") == 1.0)
                    sim.hang_up(forget=True)
                    await ended(session)

            with pytest.raises(LinkLost):
                await lost()
            device.set(tags[0], 2.0)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("t0") == 2.0)
                assert not session.channel.resumed

    run(work)


def test_a_subscription_that_ended_while_the_connection_was_cut(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 1.0)
            feed = kit.feed(opcua := made(sim), tags)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("t0") == 1.0)
                subscription, channel = subscription_of(session), session.channel
                plain = channel.tried

                async def refused(kind, body):
                    return (subscribing.INVALID, None) if kind == services.REPUBLISH else await plain(kind, body)

                channel.tried = refused
                await session.subscriber._catch_up(subscription)
                assert feed.faults
                assert not subscription.covers(feed, 1e9)
                device.set(tags[0], 2.0)
                await until(lambda: feed.last("t0") == 2.0)

    run(work)
