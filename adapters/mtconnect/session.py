"""One conversation with an agent: what it has, what it is now, and from there on all that changes, in sequence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, cast

from gateway.sdk import (
    Feed,
    Feeds,
    LinkLost,
    OutOfStep,
    ProtocolFault,
    Quality,
    TagFault,
    Timeout,
    Value,
)
from gateway.wire.link import StreamLink

from .codec import Response, Unasked, request, status_fault
from .config import MtconnectConnection, MtconnectDevice
from .document import DataItem, Document, Header, Observation, OutOfRange, parse
from .values import Conditions, time_of, value_of


@dataclass(slots=True)
class Position:
    """How far an agent has been heard. Lives as long as the adapter, and so outlives sessions."""

    instance: int = 0
    """instanceId of the agent: it numbers anew when that changes (Part 1); 0: never heard."""
    next: int = 0
    """Sequence number that comes next."""
    conditions: Conditions = field(default_factory=Conditions)
    """What was active then."""
    absent: set[Feed] = field(default_factory=set)
    """Those whose machine the agent did not have: what it did meanwhile was not heard."""


class MtconnectSession:
    """See the module. ``connect``: makes a new link, for agents that close after each answer."""

    def __init__(
        self, connection: MtconnectConnection, connect: Callable[[], Awaitable[StreamLink]], position: Position
    ) -> None:
        self._connection = connection
        self._connect = connect
        self._position = position
        self._link: StreamLink | None = None
        self._places: dict[str, list[tuple[Feed, int]]] = {}
        self._alive: list[Feed] = []
        self._count = connection.count
        """Most observations to ask for at a time."""
        self._streaming = False
        self.where = f"{connection.host}:{connection.port}"

    async def start(self) -> None:
        """Connect. Raises LinkLost."""
        self._link = await self._connect()
        self._link.stray = Unasked()

    async def get(self, path: str, query: Mapping[str, int] | None = None) -> Document:
        """One document. Raises OutOfStep, LinkLost, ProtocolFault, and what an error of the agent means."""
        answer = Response(self._connection.max_document)
        await self._exchange(path, query, answer, self._connection.timeout)
        if answer.closes and self._link is not None:
            await self._link.close()
            self._link = None
        try:
            document = parse(bytes(answer.body))
        except ProtocolFault:
            if answer.status != 200:
                raise status_fault(f"{self.where}{path}", answer.status) from None
            raise
        if (fault := document.fault(f"{self.where}{path}")) is not None:
            raise fault
        if answer.status != 200:
            raise status_fault(f"{self.where}{path}", answer.status)
        return document

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Tell what was missed if the agent still has it, then what is now, then what changes; see Subscribes."""
        await self._catch_up(feeds)
        await self._follow()

    # inside

    async def _catch_up(self, feeds: Feeds) -> None:
        self._find(feeds, (await self.get("/probe")).items)
        now = await self.get("/current")
        header, position, resumed = _numbered(now), self._position, False
        self._count = min(self._connection.count, header.buffer or self._connection.count)
        if position.instance == header.instance and header.first <= position.next <= header.next:
            resumed = await self._replay(feeds, header.next)
            if not resumed:
                now = await self.get("/current")
                header = _numbered(now)
        position.instance, position.next = header.instance, header.next
        position.conditions.forget()
        for feed in self._alive:
            feed.caught_up(lost=not resumed or feed in position.absent)
        position.absent.difference_update(self._alive)
        self._tell(now.observations)
        for feed in self._alive:
            feed.alive()

    async def _exchange(self, path: str, query: Mapping[str, int] | None, answer: Response, patience: float) -> None:
        if self._link is None:
            await self.start()
        link = cast("StreamLink", self._link)
        data = request(self.where, f"{self._connection.path}{path}", query)
        whole = False
        try:
            await link.exchange(data, answer, patience)
            whole = True
        except Timeout as fault:
            raise OutOfStep(str(fault), code=fault.code) from fault
        finally:
            if not whole:
                link.abort(LinkLost(f"{self.where}: the link was closed, for an answer is overdue"))

    def _find(self, feeds: Iterable[Feed], items: list[DataItem]) -> None:
        """Where observations belong, by the id of their data item. What the agent does not have is told as such."""
        self._places.clear()
        self._alive.clear()
        for feed in feeds:
            wanted = cast("MtconnectDevice", feed.device).device
            own = [item for item in items if not wanted or wanted in (item.device, item.uuid)]
            if wanted and not own:
                known = ", ".join(sorted({item.device for item in items}))
                self._position.absent.add(feed)
                feed.fail(TagFault(f"{self.where} has no device {wanted}, but {known[:200]}"))
                continue
            self._alive.append(feed)
            names = {item.name: item.id for item in reversed(own)} | {item.id: item.id for item in own}
            refused: dict[int, Quality] = {}
            for place, tag in enumerate(feed.tags):
                identity = names.get(str(getattr(tag, "address", "")))
                if identity is None:
                    refused[place] = Quality.ADDRESS_REFUSED
                else:
                    self._places.setdefault(identity, []).append((feed, place))
            if refused:
                feed.sample({}, failures=refused)

    async def _replay(self, feeds: Feeds, until: int) -> bool:
        """Have told again what the buffer of the agent holds, up to the present; False where it did not hold all."""
        position = self._position
        while position.next < until:
            await feeds.room()
            count = min(self._count, until - position.next)
            try:
                part = await self.get("/sample", {"from": position.next, "count": count})
            except OutOfRange:
                return False
            header = _numbered(part)
            if header.instance != position.instance or header.first > position.next or header.next <= position.next:
                return False  # overtaken, or started anew, meanwhile: the rest is a gap
            self._tell([one for one in part.observations if position.next <= one.sequence < until], replayed=True)
            position.next = header.next
        return True

    async def _follow(self) -> NoReturn:
        c = self._connection
        query = {
            "from": self._position.next,
            "count": self._count,
            "interval": round(c.interval * 1000),
            "heartbeat": round(c.heartbeat * 1000),
        }
        answer = Response(c.max_document, self._take)
        await self._exchange("/sample", query, answer, c.interval + c.heartbeat + c.timeout)
        document = parse(bytes(answer.body)) if answer.body else Document()
        raise document.fault(self.where) or LinkLost(f"{self.where}: the agent ended the stream")

    def _take(self, part: bytes) -> None:
        """One part of the stream. Raises LinkLost when it does not continue what came before: then all begins anew."""
        document = parse(part)
        if (fault := document.fault(self.where)) is not None:
            if self._streaming:  # so cppagent says, by one code or another, that it has overwritten what comes next
                raise LinkLost(f"{self.where}: the agent cannot go on with the stream: {fault}") from fault
            raise fault
        self._streaming = True
        header, position = _numbered(document), self._position
        if header.instance != position.instance:
            raise LinkLost(f"{self.where}: the agent was started anew")
        if header.first > position.next:
            raise LinkLost(f"{self.where}: the agent has overwritten what was not told yet")
        self._tell([one for one in document.observations if one.sequence >= position.next])
        position.next = max(position.next, header.next)
        for feed in self._alive:
            feed.alive()

    def _tell(self, observations: Iterable[Observation], *, replayed: bool = False) -> None:
        """Hand over, in sequence; what has one timestamp goes together."""
        groups: dict[Feed, tuple[str, dict[int, Value | None], dict[int, Quality]]] = {}
        for one in sorted(observations, key=lambda one: one.sequence):
            settled = self._position.conditions.settle(one) if one.level else one
            for feed, place in self._places.get(one.id, ()):
                group = groups.get(feed)
                if group is not None and (group[0] != one.timestamp or place in group[1] or place in group[2]):
                    _hand_over(feed, group, replayed)
                    group = None
                if group is None:
                    group = groups[feed] = (one.timestamp, {}, {})
                try:
                    group[1][place] = value_of(feed.tags[place].type, settled)
                except TagFault as fault:
                    group[2][place] = fault.quality
        for feed, group in groups.items():
            _hand_over(feed, group, replayed)


def _hand_over(feed: Feed, group: tuple[str, dict[int, Value | None], dict[int, Quality]], replayed: bool) -> None:
    stamp, values, failures = group
    feed.sample(values, time=time_of(stamp), failures=failures or None, replayed=replayed)


def _numbered(document: Document) -> Header:
    if document.kind != "MTConnectStreams" or not document.header.instance or not document.header.next:
        raise ProtocolFault("a document of observations without their numbers")
    return document.header
