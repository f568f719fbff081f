"""Subscriptions, through the simulator: values, signs of life, acknowledgement, missed messages, nodes that come and go."""

import asyncio

import numpy as np
import pytest
from asyncua import ua

from adapters.opcua import subscribing
from adapters.opcua.columns import Column
from adapters.opcua.services import Published
from adapters.opcua.subscription import LAST_SEQUENCE
from adapters.opcua.tests.conftest import until
from gateway.sdk import ConfigFault, LinkLost, ProtocolFault, Quality, Timeout


def tags_of(kit, count, kind="float64"):
    return [kit.tag(f"t{at}", kind, f"ns=2;s=t{at}") for at in range(count)]


def subscription_of(session):
    (found,) = session.subscriber._subscriptions.values()
    return found


def test_groups_share_a_subscription_by_interval(run, kit, made, sim):
    async def work():
        async with sim:
            device = sim.device(kit.device())
            tags = [*tags_of(kit, 3), kit.tag("text", "string", "ns=2;s=text"), kit.tag("flag", "bool", "ns=2;s=flag")]
            for tag, value in zip(tags, (0.5, 1.5, 2.5, "hi", True), strict=True):
                device.set(tag, value)
            opcua = made(sim)
            one, two = kit.feed(opcua, tags[:2]), kit.feed(opcua, tags[2:])
            slow = kit.feed(opcua, tags[:1], scan="200ms")
            async with kit.subscribed(opcua, one, two, slow) as (session, _):
                await until(lambda: all(all(feed.told.values()) for feed in (one, two, slow)))
                assert len(session.subscriber._subscriptions) == 2
                assert [one.last("t0"), one.last("t1"), two.last("t2"), two.last("text"), two.last("flag")] == [
                    0.5, 1.5, 2.5, "hi", True,
                ]  # fmt: skip
                signs = two.signs
                device.set(tags[0], 9.5)
                await until(lambda: one.last("t0") == 9.5)
                assert two.signs > signs, "a message with values of others is a sign of life"
                signs = one.signs
                await until(lambda: one.signs > signs, 3)
                assert sim.counters.in_flight_most == 1

    run(work)


def test_nodes_that_come_and_go(run, kit, made, sim, monkeypatch):
    monkeypatch.setattr(subscribing, "RETEST", 0.3)

    async def work():
        async with sim:
            device = sim.device(kit.device())
            tags = tags_of(kit, 3)
            device.set(tags[0], 1.0)
            device.set(tags[1], 1.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("t0") == 1.0)
                assert feed.quality("t2") is Quality.ADDRESS_REFUSED
                device.set(tags[2], 2.0)
                await until(lambda: feed.last("t2") == 2.0)
                device.refuse(tags[1])
                await until(lambda: feed.quality("t1") is Quality.ADDRESS_REFUSED)
                device.set(tags[1], 3.0)
                await until(lambda: feed.last("t1") == 3.0)
                device.set(tags[0], 4.0)
                await until(lambda: feed.last("t0") == 4.0)

    run(work)


def test_messages_are_acknowledged_when_they_are_safe(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed) as (_, feeds):
                await until(lambda: feed.last("t0") == 0.0)
                feeds.safe = False
                device.set(tags[0], 1.0)
                await until(lambda: feed.last("t0") == 1.0)
                await asyncio.sleep(0.3)
                (server,) = sim.server.iserver.subscription_service.subscriptions.values()
                assert len(server._not_acknowledged_results) == 1
                for then in feeds.held:
                    then()
                await until(lambda: not server._not_acknowledged_results, 3)

    run(work)


def test_nothing_is_taken_while_there_is_no_room(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags, sampling=0, queue=100)
            async with kit.subscribed(opcua, feed) as (_, feeds):
                await until(lambda: feed.last("t0") == 0.0)
                feeds.has_room = False
                for number in range(1, 30):
                    device.set(tags[0], float(number))
                    await asyncio.sleep(0.01)
                assert feed.values("t0") == [0.0]
                feeds.has_room = True
                await until(lambda: feed.last("t0") == 29.0)
                assert feed.values("t0") == [float(number) for number in range(30)]

    run(work)


def test_missed_messages_are_asked_for_again(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed) as (session, feeds):
                await until(lambda: feed.last("t0") == 0.0)
                feeds.safe = False  # so that the server keeps them
                subscriber, taken = session.subscriber, []
                plain = subscriber._take

                async def lossy(future, renewals):
                    if len(taken) < 2 and not future.exception():
                        taken.append(future)
                        return
                    await plain(future, renewals)

                subscriber._take = lossy
                for number in (1.0, 2.0, 3.0):
                    device.set(tags[0], number)
                    await asyncio.sleep(0.12)
                await until(lambda: feed.last("t0") == 3.0)
                assert feed.values("t0") == [0.0, 1.0, 2.0, 3.0]

    run(work)


def test_messages_that_are_gone_end_the_session(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)

            async def missed():
                async with kit.subscribed(opcua, feed) as (session, _):
                    await until(lambda: feed.last("t0") == 0.0)
                    subscription_of(session).expected -= 1
                    device.set(tags[0], 1.0)
                    await asyncio.sleep(1)

            with pytest.raises(LinkLost) as raised:
                await missed()
            assert raised.value.code == "sequence_gap"
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("t0") == 1.0)
                assert not session.channel.resumed

    run(work)


def test_what_came_before_is_not_taken_twice(run, kit, made, sim):
    async def work():
        async with sim:
            device, tags = sim.device(kit.device()), tags_of(kit, 1)
            device.set(tags[0], 0.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("t0") == 0.0)
                subscription, subscriber = subscription_of(session), session.subscriber
                old = Published(subscription.id, (), False, subscription.expected - 1, False, [], 0)
                await subscriber._fill(subscription, old.sequence)
                subscriber._deliver(subscription, old)
                assert feed.values("t0") == [0.0]
                subscription.expected = LAST_SEQUENCE
                assert subscription.next() == 1

    run(work)


def test_a_value_that_nobody_asked_for(run, kit, made, sim):
    async def work():
        async with sim:
            opcua = made(sim)
            feed = kit.feed(opcua, tags_of(kit, 1))
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: session.subscriber._subscriptions)
                with pytest.raises(ProtocolFault, match="nobody asked"):
                    subscription_of(session).deliver(
                        [Column(np.array([7], np.uint32), 11, np.array([1.0]), None, None)]
                    )

    run(work)


def test_a_silent_server_is_found_out(run, kit, made, sim):
    async def work():
        async with sim:
            tags = tags_of(kit, 1)
            sim.device(kit.device()).set(tags[0], 1.0)
            opcua = made(sim, keepalive="100ms", timeout="300ms")
            feed = kit.feed(opcua, tags)

            async def silent():
                async with kit.subscribed(opcua, feed) as (session, _):
                    await until(lambda: feed.last("t0") == 1.0)
                    assert subscription_of(session).silence == pytest.approx(0.3)
                    sim.silent = True
                    await asyncio.sleep(1.5)

            with pytest.raises(Timeout):
                await silent()
            sim.silent = False
            count = len(feed.told["t0"])
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: len(feed.told["t0"]) > count)
                assert not session.channel.resumed, "half a renewal is nothing to come back to"

    run(work)


def test_a_subscription_that_only_the_server_lost(run, kit, made, sim):
    async def work():
        async with sim:
            tags = tags_of(kit, 1)
            sim.device(kit.device()).set(tags[0], 1.0)
            opcua = made(sim, keepalive="100ms")
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("t0") == 1.0)
                service = sim.server.iserver.subscription_service
                for found in service.subscriptions.values():
                    found._task.cancel()
                await until(lambda: feed.faults, 5)
                assert isinstance(feed.faults[0], LinkLost)
                sim.device(kit.device()).set(tags[0], 2.0)
                await until(lambda: feed.last("t0") == 2.0)
                assert len(service.subscriptions) == 1

    run(work)


@pytest.mark.parametrize("code", [0x80780000, 0x800A0000, 0x80790000, 0x80250000])
def test_what_servers_say_instead_of_publishing(run, kit, made, sim, code):
    async def work():
        async with sim:
            tags = tags_of(kit, 1)
            sim.device(kit.device()).set(tags[0], 1.0)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("t0") == 1.0)
                subscriber = session.subscriber
                waiting = subscriber._waiting
                if code == 0x80250000:
                    with pytest.raises(LinkLost):
                        await subscriber._publish_failed(code)
                    return
                await subscriber._publish_failed(code)
                assert subscriber._waiting == (waiting - 1 if code == 0x80780000 else waiting)
                assert bool(feed.faults) is (code == 0x80790000)
                sim.device(kit.device()).set(tags[0], 2.0)
                await until(lambda: feed.last("t0") == 2.0)

    run(work)


def test_a_server_that_publishes_too_slowly(run, kit, made, sim, monkeypatch):
    async def work():
        async with sim:
            service = sim.server.iserver.subscription_service
            plain = service.create_subscription

            async def slow(params, *more, **others):
                if params.RequestedPublishingInterval < 100:
                    params.RequestedPublishingInterval = 60_000.0
                return await plain(params, *more, **others)

            monkeypatch.setattr(service, "create_subscription", slow)
            opcua, tags = made(sim), tags_of(kit, 1)
            sim.device(kit.device()).set(tags[0], 1.0)
            quick, calm = kit.feed(opcua, tags), kit.feed(opcua, tags, scan="150ms")
            async with kit.subscribed(opcua, quick, calm):
                await until(lambda: calm.last("t0") == 1.0)
                assert isinstance(quick.faults[0], ConfigFault)
                assert "sign of life every" in str(quick.faults[0])

    run(work)


def test_fewer_items_in_a_request_where_the_server_wants_it(run, kit, made, sim, monkeypatch):
    async def work():
        async with sim:
            tags = tags_of(kit, 20)
            for tag in tags:
                sim.device(kit.device()).set(tag, 1.0)
            service = sim.server.iserver.subscription_service
            plain = service.create_monitored_items

            async def picky(params):
                if len(params.ItemsToCreate) > 6:
                    raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
                return await plain(params)

            monkeypatch.setattr(service, "create_monitored_items", picky)
            opcua = made(sim)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed):
                await until(lambda: all(feed.told.values()))
                assert {feed.last(tag.name) for tag in tags} == {1.0}

    run(work)
