"""A real adapter whose machine pushes what a test tells it to, when it tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.config.base import DeviceConfig, TagConfig
from gateway.model.faults import Fault
from gateway.sdk.adapter import Limits, Plan
from gateway.sdk.push import Feed, Feeds, Push


class Source:
    """What is at the other end."""

    def __init__(self, push: Push = Push()) -> None:
        self.push = push
        self.feeds: Feeds | None = None
        """Present while a session is at work."""
        self.opened = 0
        self.open_fault: Fault | None = None
        self.history: Fault | None = None
        """Raised by read_history."""
        self.asked: list[tuple[str, int, int]] = []
        self._ended: asyncio.Future[None] | None = None

    @property
    def feed(self) -> Feed:
        assert self.feeds is not None, "there is no session"
        return next(iter(self.feeds))

    def cut(self, fault: Fault | Exception | None) -> None:
        assert self._ended is not None
        if fault is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(fault)


class PushingAdapter:
    """See the module."""

    limits = Limits()

    def __init__(self, source: Source, *, remembers: bool = False) -> None:
        self.source = source
        self.session = RememberingSession if remembers else PushingSession

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:
        return Plan((), push=self.source.push)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PushingSession]:
        if self.source.open_fault is not None:
            raise self.source.open_fault
        self.source.opened += 1
        try:
            yield self.session(self.source)
        finally:
            self.source.feeds = None


class PushingSession:
    def __init__(self, source: Source) -> None:
        self.source = source

    async def subscribe(self, feeds: Feeds) -> None:
        self.source.feeds = feeds
        self.source._ended = asyncio.get_running_loop().create_future()
        await self.source._ended


class RememberingSession(PushingSession):
    async def read_history(self, feed: Feed, since: int, until: int) -> None:
        self.source.asked.append((feed.name, since, until))
        if self.source.history is not None:
            raise self.source.history
        for step in range(1, 4):
            await feed.room()
            feed.sample({0: -step}, time=since + step, replayed=True)
