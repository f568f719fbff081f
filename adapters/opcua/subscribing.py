"""Subscriptions of a session: made, published, acknowledged, made good where messages were missed, and made anew.

One coroutine keeps a few publish requests waiting at the server and takes what they bring. It outlives the connection:
when the session can be resumed, the messages that got lost are asked for again (Part 4, 5.13.1, 6.7).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final, NoReturn, cast

import numpy as np
from asyncua import ua

from adapters.opcua import services, status
from adapters.opcua.plan import OpcUaPlan
from adapters.opcua.resolve import Server
from adapters.opcua.services import Published
from adapters.opcua.subscription import Subscription
from gateway.sdk import ConfigFault, Fault, Feed, Feeds, LinkLost, Quality

RETEST: Final = 30.0
"""Seconds after which nodes that could not be watched are tried again."""
MOST_MISSED: Final = 1000
"""Messages that are asked for again; when more are missing, so is the server's memory of them."""
ACKNOWLEDGED: Final = 1000
"""Acknowledgements in one request."""
NO_SUBSCRIPTION, INVALID, TIMED_OUT = 0x80790000, 0x80280000, 0x800A0000
TOO_MANY_PUBLISH, TOO_MANY, NOT_AVAILABLE = 0x80780000, 0x80100000, 0x807B0000


class Subscriber:
    """See the module. Lives as long as the session at the server."""

    def __init__(self, session_timeout: float) -> None:
        self.complete = False
        """All subscriptions are made, and bring messages: worth coming back to."""
        self._session_timeout = session_timeout
        self._subscriptions: dict[int, Subscription] = {}
        self._members: list[Feed] = []
        self._safe: dict[tuple[int, int], None] = {}
        """Messages (subscription, sequence number) that are in the journal, to be acknowledged."""
        self._resumed = False
        self._settled: asyncio.Future[bool] | None = None
        """Of a session that was resumed: true when all that the server kept has arrived; false: it never will."""
        self._renewals = 0
        self._retest_at = self._refresh_at = math.inf
        self._waiting = 2
        self._server: Server | None = None
        self._feeds: Feeds | None = None

    @property
    def server(self) -> Server:
        """The server, of this session."""
        assert self._server is not None
        return self._server

    async def bridged(self, feed: Feed, span: int) -> bool:
        """True when the server kept, and has sent since, all that happened in an interruption of ``span`` ns."""
        if not self._resumed or self._settled is None or not await asyncio.shield(self._settled):
            return False
        return self._resumed and any(
            feed in subscription.feeds and subscription.covers(feed, span / 1e9)
            for subscription in self._subscriptions.values()
        )

    async def run(self, server: Server, feeds: Feeds) -> NoReturn:
        """Make subscriptions, or go on with those that are there; then serve until a fault. Raises a Fault."""
        self._server, self._feeds = server, feeds
        settled = self._settled = asyncio.get_running_loop().create_future()
        try:
            await self._run(server, feeds)
        finally:
            if not settled.done():
                settled.set_result(False)

    async def _run(self, server: Server, feeds: Feeds) -> NoReturn:
        members = list(feeds)
        self._resumed = server.channel.resumed and self.complete and self._members == members
        if self._resumed:
            self.complete = False  # until a message shows that the server has found its way to this connection
            for subscription in list(self._subscriptions.values()):
                await self._catch_up(subscription)
        else:
            self._members, self._subscriptions = members, {}
            for subscription in _grouped(members):
                await self._create(subscription)
            self.complete = True
        self._waiting = max(1, min(server.bounds.publish, len(self._subscriptions) + 1))
        await self._serve(feeds)

    async def _serve(self, feeds: Feeds) -> NoReturn:
        loop = asyncio.get_running_loop()
        pending: dict[asyncio.Future[Any], int] = {}
        self._retest_at = loop.time() + RETEST
        longest = max((one.interval for one in self._subscriptions.values()), default=0.0)
        self._refresh_at = loop.time() + 2 * longest if self._resumed else math.inf
        try:
            while True:
                while len(pending) < self._waiting:
                    pending[self._ask()] = self._renewals
                wait = max(self._due() - loop.time(), 0.0)
                done, _ = await asyncio.wait(pending, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for future in [future for future in pending if future in done]:
                    if not feeds.has_room:
                        await feeds.room()
                    await self._take(future, pending.pop(future))
                await self._chores(loop.time())
        finally:
            for future in pending:
                future.cancel()

    def _due(self) -> float:
        """Time of the loop at which there is something to do although nothing arrives."""
        return min(self._retest_at, self._refresh_at, *(one.stale_at for one in self._subscriptions.values()))

    async def _chores(self, now: float) -> None:
        """Do what is due."""
        every = list(self._subscriptions.values())
        if now >= self._refresh_at:
            self._refresh_at = math.inf
            for subscription in every:
                await self._refresh(subscription)
            if self._settled is not None and not self._settled.done():
                self._settled.set_result(True)
        for subscription in every:
            if subscription.stale_at <= now:
                await self._renew(subscription, TIMED_OUT)
        if now >= self._retest_at:
            self._retest_at = now + RETEST
            for subscription in list(self._subscriptions.values()):
                await self._retest(subscription)

    def _ask(self) -> asyncio.Future[Any]:
        """Leave a publish request at the server, with what can be acknowledged by now."""
        safe = list(islice(self._safe, ACKNOWLEDGED))
        for pair in safe:
            del self._safe[pair]
        return self.server.channel.send(services.PUBLISH, services.publish_body(safe))

    async def _take(self, future: asyncio.Future[Any], renewals: int) -> None:
        """Take a response; ``renewals``: how many there had been when it was asked for."""
        code, reader = self.server.channel.status_of(services.PUBLISH, future.result())
        if status.is_bad(code):
            if code & status.CODE not in (NO_SUBSCRIPTION, INVALID) or renewals == self._renewals:
                await self._publish_failed(code)
            return
        published = services.parse_publish(reader)
        subscription = self._subscriptions.get(published.subscription)
        if subscription is None:
            return  # one that was made anew in the meantime
        subscription.heard(asyncio.get_running_loop().time())
        self.complete = True
        if published.status:
            await self._renew(subscription, published.status)
            return
        await self._fill(subscription, published.sequence)
        self._deliver(subscription, published)

    async def _publish_failed(self, code: int) -> None:
        match code & status.CODE:
            case code if code in (NO_SUBSCRIPTION, INVALID):
                for subscription in list(self._subscriptions.values()):
                    await self._renew(subscription, code)
                if not self._subscriptions:
                    raise LinkLost(f"{self.server.channel.where}: nothing can be subscribed to")
            case code if code == TOO_MANY_PUBLISH and self._waiting > 1:
                self._waiting -= 1
            case code if code == TIMED_OUT:
                pass  # the server keeps no request that long; there will be another
            case _:
                raise status.fault(code, self.server.channel.where)

    def _deliver(self, subscription: Subscription, published: Published) -> None:
        """Hand over a message that is the next."""
        if published.alive:
            subscription.alive()
            return
        if subscription.expected and published.sequence != subscription.expected:
            return  # one that came before
        subscription.expected = published.sequence
        subscription.expected = subscription.next()
        subscription.deliver(published.columns)
        pair = (subscription.id, published.sequence)
        cast("Feeds", self._feeds).when_durable(partial(self._safe.__setitem__, pair, None))

    # what was missed

    async def _fill(self, subscription: Subscription, sequence: int) -> None:
        """Ask again for messages before ``sequence`` that did not arrive. Raises LinkLost when they are gone."""
        missing = (sequence - subscription.expected) % 0x100000000 if subscription.expected else 0
        if not missing or missing > 0x80000000:
            return
        for _ in range(min(missing, MOST_MISSED)):
            if subscription.expected == sequence or await self._republish(subscription):
                break
        if subscription.expected != sequence:
            self.complete = False  # coming back to it would not bring them
            where = self.server.channel.where
            raise LinkLost(f"{where}: {missing} messages of a subscription were missed", code="sequence_gap")

    async def _republish(self, subscription: Subscription) -> int:
        """Have the expected message sent again: 0, or the status with which the server refuses. Raises a Fault."""
        body = services.republish_body(subscription.id, subscription.expected)
        code, reader = await self.server.channel.tried(services.REPUBLISH, body)
        if status.is_bad(code):
            return code
        published = services.parse_republish(reader, subscription.id)
        if published.alive or published.sequence != subscription.expected:
            return NOT_AVAILABLE
        self.complete = True
        self._deliver(subscription, published)
        return 0

    async def _catch_up(self, subscription: Subscription) -> None:
        """After the session was resumed: take what was sent into the broken connection."""
        subscription.expected = subscription.expected or 1
        subscription.resume()
        subscription.heard(asyncio.get_running_loop().time())
        for _ in range(MOST_MISSED):
            code = await self._republish(subscription)
            if code & status.CODE == INVALID:
                await self._renew(subscription, code)
                return
            if code:
                break
        subscription.tell_bad(subscription.bad)

    async def _refresh(self, subscription: Subscription) -> None:
        """Read what did not change during an interruption, for which no message comes. Raises a Fault."""
        handles = subscription.unseen()
        found = await self.server.find(map(subscription.address, handles))
        nodes = [(handle, found[subscription.address(handle)]) for handle in handles]
        known = [(handle, node) for handle, node in nodes if isinstance(node, bytes)]
        for first in range(0, len(known), self.server.bounds.read):
            some = known[first : first + self.server.bounds.read]
            values = [services.value_id(node, subscription.item(handle, node).index_range) for handle, node in some]
            reader = await self.server.channel.ask(services.READ, services.read_body(values))
            keys = np.array([handle for handle, _ in some], np.uint32)
            columns = services.parse_read(reader, len(some))
            subscription.deliver([column._replace(keys=keys[column.keys]) for column in columns])

    # making

    async def _create(self, subscription: Subscription) -> None:
        """Create a subscription and all its items. Raises a Fault."""
        request = ua.CreateSubscriptionRequest()
        asked = request.Parameters
        asked.RequestedPublishingInterval = subscription.interval * 1000
        asked.RequestedMaxKeepAliveCount = subscription.keepalive
        lifetime = math.ceil(self._session_timeout / max(subscription.interval, 0.01))
        asked.RequestedLifetimeCount = max(3 * subscription.keepalive, lifetime)
        asked.MaxNotificationsPerPublish = 0
        asked.PublishingEnabled = True
        answer = await self.server.channel.service(request, ua.CreateSubscriptionResponse)
        made = answer.Parameters
        subscription.id, subscription.expected = int(made.SubscriptionId), 0
        subscription.bad, subscription.ids, subscription.overflowed = {}, {}, False
        period = made.RevisedPublishingInterval * made.RevisedMaxKeepAliveCount / 1000
        if period > subscription.silence:
            slow = made.RevisedPublishingInterval / 1000
            words = f"shows a sign of life every {period:g} s, publishing every {slow:g} s: raise keepalive or scan"
            for feed in subscription.feeds:
                feed.fail(ConfigFault(f"{self.server.channel.where}: the server {words}"))
            await self._delete(subscription)
            return
        self._subscriptions[subscription.id] = subscription
        subscription.heard(asyncio.get_running_loop().time())
        await self._watch(subscription, subscription.handles())
        subscription.tell_bad(subscription.bad)

    async def _watch(self, subscription: Subscription, handles: Sequence[int]) -> None:
        """Have tags watched; those that cannot be are noted as bad. Raises a Fault."""
        found = await self.server.find(map(subscription.address, handles))
        items = []
        for handle in handles:
            node = found[subscription.address(handle)]
            if isinstance(node, Quality):
                subscription.bad[handle] = node
            else:
                items.append(subscription.item(handle, node))
        at = 0
        while at < len(items):
            some = items[at : at + self.server.bounds.items]
            body = services.create_items_body(subscription.id, some)
            code, reader = await self.server.channel.tried(services.CREATE_ITEMS, body)
            if code & status.CODE == TOO_MANY and len(some) > 1:
                self.server.bounds = self.server.bounds.lowered(len(some) // 2)
                continue
            if status.is_bad(code):
                raise status.fault(code, self.server.channel.where)
            for item, created in zip(some, services.parse_created(reader, len(some)), strict=True):
                if status.is_bad(created.status):
                    subscription.bad[item.handle] = status.quality(created.status)
                else:
                    subscription.watched(item.handle, created)
            at += len(some)

    async def _retest(self, subscription: Subscription) -> None:
        """Try once more what could not be watched; of a node that was there, the old item goes first."""
        handles = list(subscription.bad)
        old = [subscription.ids.pop(handle) for handle in handles if handle in subscription.ids]
        if old:
            request = ua.DeleteMonitoredItemsRequest()
            request.Parameters.SubscriptionId = subscription.id
            request.Parameters.MonitoredItemIds = old
            with suppress(Fault):  # some servers have thrown the item away with its node; a lost link shows right below
                await self.server.channel.service(request, ua.DeleteMonitoredItemsResponse)
        if handles:
            await self._watch(subscription, handles)

    async def _renew(self, subscription: Subscription, code: int) -> None:
        """Replace a subscription that has ended: what happened until then is an interruption. Raises a Fault."""
        self.complete = False  # until a message of the new one: half a renewal is not worth coming back to
        self._subscriptions.pop(subscription.id, None)
        self._resumed = False
        self._renewals += 1
        if code == TIMED_OUT:
            await self._delete(subscription)  # the server may still have it, and not know that it is stale
        words = f"{self.server.channel.where}: the server ended a subscription ({status.name(code)})"
        for feed in subscription.feeds:
            feed.fail(LinkLost(words))
        await self._create(subscription)

    async def _delete(self, subscription: Subscription) -> None:
        request = ua.DeleteSubscriptionsRequest()
        request.Parameters.SubscriptionIds = [subscription.id]
        await self.server.channel.service(request, ua.DeleteSubscriptionsResponse)


def _grouped(feeds: Sequence[Feed]) -> list[Subscription]:
    """Subscriptions of poll groups: one for each publishing interval."""
    groups: dict[float, list[Feed]] = {}
    for feed in feeds:
        groups.setdefault(cast("OpcUaPlan", feed.plan).interval, []).append(feed)
    found = []
    for interval, members in groups.items():
        plan = cast("OpcUaPlan", members[0].plan)
        found.append(Subscription(interval, plan.keepalive, plan.stale, members))
    return found
