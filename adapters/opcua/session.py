"""One established session: reads plans, writes tags; subscriptions and history are in rooms of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, cast

import numpy as np
import numpy.typing as npt

from adapters.opcua import services, status
from adapters.opcua.address import Address
from adapters.opcua.channel import Channel
from adapters.opcua.config import OpcUaConnection, OpcUaTag
from adapters.opcua.history import read_history
from adapters.opcua.plan import OpcUaPlan
from adapters.opcua.resolve import Server
from adapters.opcua.spread import Places, kinds_of, spread
from adapters.opcua.status import Refused
from adapters.opcua.subscribing import Subscriber
from adapters.opcua.values import BUILT_IN, variant
from gateway.sdk import DeviceConfig, Feed, Feeds, Plan, Quality, Readings, TagFault, Write

RETEST_POLLS: Final = 60
"""Polls after which addresses that led nowhere are looked up again."""
REMEMBERED: Final = 1024
"""Plans whose requests are kept ready."""
TOO_MANY: Final = 0x80100000
"""BadTooManyOperations: the server bears fewer nodes in a request than it said."""


@dataclass(slots=True)
class Ready:
    """Requests of a plan, encoded."""

    plan: OpcUaPlan
    """Kept, so that its id is not given to another."""
    kinds: npt.NDArray[np.uint8]
    chunks: list[tuple[bytes, Places]]
    """Body of each request, and the tags that it reads."""
    missing: dict[int, Quality]
    polls: int = 0
    most: int = field(default=0)


class OpcUaSession:
    """See the module."""

    def __init__(self, connection: OpcUaConnection, channel: Channel, subscriber: Subscriber) -> None:
        self.channel = channel
        self.server = Server(connection, channel)
        self.subscriber = subscriber
        self._ready: dict[int, Ready] = {}
        self._written: dict[Address, int] = {}
        """Built-in type of variables that were written to."""

    # reading

    async def read(self, plan: Plan, out: Readings) -> None:
        """Read all nodes of a plan and fill ``out``; see gateway.sdk.Reads."""
        plan = cast("OpcUaPlan", plan)
        while True:
            ready = self._ready.get(id(plan))
            if ready is None or (ready.missing and ready.polls >= RETEST_POLLS):
                ready = await self._prepare(plan)
            try:
                await self._read(ready, out)
            except Refused as fault:
                most = max((len(tags) for _, tags in ready.chunks), default=0)
                if fault.status != TOO_MANY or most < 2:
                    raise
                self.server.bounds = self.server.bounds.lowered(most // 2)
                self._ready.clear()
                out.clear()
            else:
                return

    async def _read(self, ready: Ready, out: Readings) -> None:
        ready.polls += 1
        out.failures.update(ready.missing)
        for body, tags in ready.chunks:
            reader = await self.channel.ask(services.READ, body)
            for column in services.parse_read(reader, len(tags)):
                spread(column, tags[column.keys], ready.kinds, out.put)

    async def _prepare(self, plan: OpcUaPlan) -> Ready:
        found = await self.server.find(tag.address for tag in plan.points)
        missing: dict[int, Quality] = {}
        bodies: list[bytes] = []
        places: list[int] = []
        for place, tag in enumerate(plan.points):
            node = found[tag.address]
            if isinstance(node, Quality):
                missing[place] = node
            else:
                bodies.append(services.value_id(node, tag.index))
                places.append(place)
        most = self.server.bounds.read
        chunks = [
            (services.read_body(bodies[first : first + most]), np.array(places[first : first + most], np.intp))
            for first in range(0, len(bodies), most)
        ]
        while len(self._ready) >= REMEMBERED:
            del self._ready[next(iter(self._ready))]
        ready = self._ready[id(plan)] = Ready(plan, kinds_of(plan.points), chunks, missing)
        return ready

    # writing

    async def write(self, device: DeviceConfig, writes: Sequence[Write]) -> None:
        """Write in order, one request each; see gateway.sdk.Writes."""
        del device
        for write in writes:
            tag = cast("OpcUaTag", write.tag)
            where = f"tag {tag.name} at {tag.address}"
            node = (await self.server.find([tag.address]))[tag.address]
            if isinstance(node, Quality):
                raise TagFault(f"{where}: no such node", quality=node)
            try:
                value = variant(await self._type(tag, node), write.value)
            except ValueError as error:
                raise TagFault(f"{where}: {error}") from error
            reader = await self.channel.ask(services.WRITE, services.write_body(node, tag.index, value))
            (result,) = services.parse_statuses(reader, 1)
            if status.is_bad(result):
                raise Refused(result, where)

    async def _type(self, tag: OpcUaTag, node: bytes) -> int:
        """Built-in type of a variable: that of its present value, else the tag's."""
        if tag.address not in self._written:
            ((kind, value, _),) = await self.server.values([node])
            if isinstance(value, list) and not tag.index:
                raise ValueError("an array is not written as a whole: give the tag an index")
            self._written[tag.address] = kind or BUILT_IN[tag.type]
        return self._written[tag.address]

    # subscribing

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Have the tags of all feeds pushed; see gateway.sdk.Subscribes."""
        await self.subscriber.run(self.server, feeds)

    async def read_history(self, feed: Feed, since: int, until: int) -> None:
        """Fill an interruption; see gateway.sdk.ReadsHistory."""
        if await self.subscriber.bridged(feed, until - since):
            return  # the server kept what it could not send, and has sent it since
        await read_history(self.server, feed, since, until)
