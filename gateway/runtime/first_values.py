"""Feeds for a first look: they take what a device pushes until every tag has had something, and keep nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic_ns, time_ns

from gateway.collect.arrivals import Arrivals
from gateway.collect.groups import PollGroup
from gateway.config.base import DeviceConfig, TagConfig
from gateway.model.faults import Fault
from gateway.model.quality import Quality
from gateway.model.types import Value
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Codes, Column, Feed, Subscribes, Tags, Times


def _nobody() -> None:
    """Nobody wants to know."""


class FirstFeed:
    """See `gateway.sdk.push.Feed`."""

    def __init__(self, name: str, group: PollGroup, plan: Plan) -> None:
        config = group.device.config
        self.name = name
        self.device: DeviceConfig = config
        self.tags: tuple[TagConfig, ...] = group.tags
        self.plan = plan
        self.normaliser = Arrivals(name, group.name, group.tags, plan, config.report, 0.0)
        self.missing = set(range(len(group.tags)))
        """Tags for which nothing has arrived."""
        self.changed: Callable[[], None] = _nobody
        """Is called when something arrived."""

    def sample(
        self,
        values: Mapping[int, Value | None],
        *,
        time: int = 0,
        failures: Mapping[int, Quality] | None = None,
        replayed: bool = False,
    ) -> None:
        """See Feed."""
        self.normaliser.sample(values, failures, time, time_ns(), monotonic_ns(), replayed=replayed)
        self._seen({*values, *(failures or ())})

    def put(
        self,
        tags: Tags,
        values: Column,
        *,
        quality: Codes | None = None,
        times: Times | None = None,
        replayed: bool = False,
    ) -> None:
        """See Feed."""
        self.normaliser.put(tags, values, quality, times, time_ns(), monotonic_ns(), replayed=replayed)
        self._seen(set(tags.tolist()))

    def alive(self) -> None:
        """See Feed."""

    def caught_up(self, *, lost: bool) -> None:
        """See Feed."""

    def fail(self, why: Fault) -> None:
        """See Feed."""
        self.normaliser.lost(why.quality, time_ns())
        self._seen(set(self.missing))

    async def room(self) -> None:
        """See Feed."""

    def give_up(self, why: Fault) -> None:
        """Nothing more will arrive: the tags that have nothing get the reason."""
        if self.missing:
            self.sample({}, failures=dict.fromkeys(self.missing, why.quality))

    def _seen(self, tags: set[int]) -> None:
        self.missing -= tags
        self.changed()


class FirstFeeds:
    """See `gateway.sdk.push.Feeds`. Nothing is ever durable here: what a source wants acknowledged, it sends again."""

    def __init__(self, members: Sequence[FirstFeed]) -> None:
        self.members = members
        self.complete = asyncio.Event()
        for member in members:
            member.changed = self._look

    def __iter__(self) -> Iterator[Feed]:
        return iter(self.members)

    @property
    def has_room(self) -> bool:
        """See Feeds."""
        return True

    async def room(self) -> None:
        """See Feeds."""

    def when_durable(self, then: Callable[[], None]) -> None:
        """See Feeds."""

    async def durable(self) -> None:
        """See Feeds."""
        await asyncio.get_running_loop().create_future()

    def unknown(self, identity: str, detail: str = "") -> None:
        """See Feeds."""

    def _look(self) -> None:
        if not any(member.missing for member in self.members):
            self.complete.set()


async def take_first(session: Subscribes, members: Sequence[FirstFeed], wait: float) -> None:
    """Subscribe until every tag has had something, for ``wait`` seconds at most; what is missing then says why."""
    feeds = FirstFeeds(members)
    subscribed = asyncio.create_task(session.subscribe(feeds), name="subscription")
    complete = asyncio.create_task(feeds.complete.wait(), name="first values")
    try:
        await asyncio.wait({subscribed, complete}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (complete, subscribed):
            task.cancel()
        await asyncio.wait({subscribed, complete})
    error = None if subscribed.cancelled() else subscribed.exception()
    if error is not None and not isinstance(error, Fault):
        raise error
    for member in members:
        member.give_up(error or Fault("nothing arrived", quality=Quality.NOT_AVAILABLE))
