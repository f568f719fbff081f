"""Feeds at work: what a session that pushes is given. They note who shows signs of life, and what was interrupted.

A feed publishes what arrives, as its normaliser makes it. The feeds of a connection share what concerns the session as
a whole: room in the bus, safety in the journal, and the fault that ends it when every device has fallen silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from time import monotonic_ns
from typing import Final

import structlog

from gateway.bus.protocol import Bus
from gateway.collect.arrivals import Arrivals, Frames
from gateway.collect.clock import Clock
from gateway.collect.device import PolledDevice
from gateway.collect.groups import PollGroup
from gateway.collect.recovery import Pace, recovery
from gateway.config.base import DeviceConfig, TagConfig
from gateway.model.batch import Gap
from gateway.model.faults import Fault, LinkLost, Timeout
from gateway.model.quality import Quality, quality_label
from gateway.model.types import Value
from gateway.observe.status import DeviceState
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Codes, Column, Feed, Push, Tags, Times

log = structlog.get_logger("collect")

TICK: Final = 1.0
"""Seconds between two looks: who is silent, what was held back."""
UNKNOWN_LIMIT: Final = 256
"""Devices that nobody configured whose announcements are remembered, per connection."""

Bridge = Callable[["DeviceFeed", int, int], None]
"""Asked to fill in what a feed missed, from one time to another, ns since the epoch."""


class DeviceFeed:
    """See `gateway.sdk.push.Feed`."""

    def __init__(self, group: PollGroup, plan: Plan, device: PolledDevice, feeds: DeviceFeeds) -> None:
        config = device.device.config
        self.name = device.status.name
        self.device: DeviceConfig = config
        self.tags: tuple[TagConfig, ...] = group.tags
        self.plan = plan
        self.group = group
        self.push = plan.push or Push()
        self.normaliser = Arrivals(self.name, group.name, group.tags, plan, config.report, config.heartbeat)
        self.quiet = 0.0
        """Seconds without a sign of life in this session, counted in ticks."""
        self.interrupted = 0
        """Last sign of life before an interruption, ns since the epoch; 0: all is well."""
        self._heard = 0
        """Monotonic time of the last sign of life, ns; 0: never."""
        self._dropped = 0
        """Values for which there was no room since the last one for which there was."""
        self._dropped_since = 0
        self._device = device
        self._feeds = feeds

    def sample(
        self,
        values: Mapping[int, Value | None],
        *,
        time: int = 0,
        failures: Mapping[int, Quality] | None = None,
        replayed: bool = False,
    ) -> None:
        """See Feed."""
        count = len(values) + (len(failures) if failures else 0)
        if self._admitted(count):
            clock, now = self._feeds.time()
            frames = self.normaliser.sample(values, failures, time, now, clock, replayed=replayed)
            self._arrived(frames, count, clock, now, doubtful=bool(failures))

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
        if self._admitted(len(tags)):
            clock, now = self._feeds.time()
            frames = self.normaliser.put(tags, values, quality, times, now, clock, replayed=replayed)
            self._arrived(frames, len(tags), clock, now, doubtful=quality is not None and bool(quality.any()))

    def alive(self) -> None:
        """See Feed."""
        self._arrived([], 0, *self._feeds.time(), doubtful=False)

    def caught_up(self, *, lost: bool) -> None:
        """See Feed."""
        if self.interrupted and self.push.resumes:
            since, self.interrupted = self.interrupted, 0
            if lost:
                log.warning("history_not_read", device=self.name, message="the source has not kept what was missed")
                self.declare(since, self._feeds.clock.now())

    def fail(self, why: Fault) -> None:
        """See Feed."""
        now = self._feeds.clock.now()
        self._device.status.failed_polls += 1
        parked = recovery(why).pace is Pace.NEVER
        self._device.down(DeviceState.PARKED if parked else DeviceState.DOWN, why, now)
        self.lost(why.quality, now)

    def lost(self, quality: Quality, now: int) -> None:
        """Nothing arrives any more: say so once, and remember since when.

        That is the last sign of life: what a dying link swallowed is missing too, although nobody noticed yet.
        """
        self.interrupted = self.interrupted or (self._heard + self._feeds.clock.offset if self._heard else now)
        frame = self.normaliser.lost(quality, now)
        if frame is not None:
            self._feeds.bus.publish(frame, self.normaliser.size)
            self._device.status.points += self.normaliser.size

    @property
    def silent(self) -> bool:
        """True when there was no sign of life for longer than the source may be silent."""
        return 0 < self.push.silence < self.quiet

    async def room(self) -> None:
        """See Feed."""
        await self._feeds.room()

    def tick(self, clock: int, now: int) -> None:
        """Do what is due without any arrival."""
        if self._device.parked:
            return
        self.quiet += TICK
        if self.interrupted:
            return
        if self.silent:
            self.fail(Timeout(f"{self.name}: no sign of life for {self.push.silence:g} s", code="no_answer"))
        else:
            self._publish(self.normaliser.tick(now, clock))

    def declare(self, since: int, until: int) -> None:
        """Declare a time for which values may be missing."""
        self._declare("outage", since, until)

    def finish(self, now: int) -> None:
        """Declare what is still missing: nothing more will arrive."""
        if self.interrupted and not self.push.kept:
            self.declare(self.interrupted, now)
        self._settle(now)

    def _admitted(self, count: int) -> bool:
        """Tell whether values can be taken; what cannot is counted, and declared later."""
        if self._device.parked:
            return False
        if self._feeds.has_room:
            return True
        self._dropped_since = self._dropped_since or self._feeds.clock.now()
        self._dropped += count
        self._device.status.dropped += count
        return False

    def _arrived(self, frames: Frames, count: int, clock: int, now: int, *, doubtful: bool) -> None:
        status = self._device.status
        self.quiet = 0.0
        self._heard = clock
        self._feeds.arrived = True
        self._publish(frames)
        status.reads += count
        if count:
            status.polls += 1
            status.last_good = now
        if self._dropped and self._feeds.has_room:
            self._settle(now)
        if self.interrupted and not self.push.resumes:
            since, self.interrupted = self.interrupted, 0
            if not self.push.kept:
                self._feeds.bridge(self, since, now)
        if doubtful or status.state is not DeviceState.UP:
            failures, code = self.normaliser.bad()
            self._device.good(failures, quality_label(code) if failures else "", now)

    def _publish(self, frames: Frames) -> None:
        for frame, points in frames:
            self._feeds.bus.publish(frame, points)
            self._device.status.points += points

    def _settle(self, now: int) -> None:
        if self._dropped:
            self._declare("overflow", self._dropped_since, now, self._dropped)
            self._dropped = self._dropped_since = 0

    def _declare(self, reason: str, since: int, until: int, count: int = 0) -> None:
        stretch = self._feeds.clock.stretch
        gap = Gap(reason, since, until, device=self.name, group=self.group.name, count=count, clock=stretch)
        self._feeds.bus.declare(gap)


class DeviceFeeds:
    """See `gateway.sdk.push.Feeds`. All feeds of one connection; lives as long as its endpoint."""

    def __init__(self, connection: str, bus: Bus, clock: Clock) -> None:
        self.connection = connection
        self.bus = bus
        self.clock = clock
        self.members: list[DeviceFeed] = []
        self.bridge: Bridge = lambda feed, since, until: feed.declare(since, until)
        self.announced: dict[str, str] = {}
        """Devices that nobody configured: identity → what they said."""
        self.arrived = False
        """The present session has brought something."""
        self._broken: asyncio.Future[None] | None = None

    def add(self, group: PollGroup, plan: Plan, device: PolledDevice) -> DeviceFeed:
        """Add a poll group that its device pushes."""
        self.members.append(feed := DeviceFeed(group, plan, device, self))
        return feed

    def __iter__(self) -> Iterator[Feed]:
        return iter(self.members)

    @property
    def has_room(self) -> bool:
        """See Feeds."""
        return self.bus.has_room

    async def room(self) -> None:
        """See Feeds."""
        await self.bus.room()

    def when_durable(self, then: Callable[[], None]) -> None:
        """See Feeds."""
        self.bus.when_durable(then, self._given_up)

    async def durable(self) -> None:
        """See Feeds. Raises LinkLost when it cannot be made safe."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def safe() -> None:
            if not future.done():
                future.set_result(None)

        def gone() -> None:
            if not future.done():
                future.set_exception(LinkLost("what was received cannot be stored", code="bus_failed"))
            self._given_up()

        self.bus.when_durable(safe, gone)
        await future

    def unknown(self, identity: str, detail: str = "") -> None:
        """See Feeds."""
        if identity not in self.announced and len(self.announced) < UNKNOWN_LIMIT:
            self.announced[identity] = detail
            log.warning("device_not_configured", connection=self.connection, identity=identity, detail=detail)

    def time(self) -> tuple[int, int]:
        """Return monotonic and wall time, ns."""
        clock = monotonic_ns()
        return clock, clock + self.clock.offset

    def opened(self) -> asyncio.Future[None]:
        """A session begins; the future fails when it is to end."""
        for feed in self.members:
            feed.quiet = 0.0
        self.arrived = False
        self._broken = asyncio.get_running_loop().create_future()
        return self._broken

    def tick(self) -> None:
        """Do what is due without any arrival; end the session when every device has fallen silent."""
        clock, now = self.time()
        for feed in self.members:
            feed.tick(clock, now)
        if self.members and all(feed.silent for feed in self.members):
            message = f"connection {self.connection}: every device has fallen silent"
            self._break(LinkLost(message, code="no_answer", quality=Quality.TIMEOUT))

    def _given_up(self) -> None:
        """Something that was received could not be stored: begin anew, so that the source sends it again."""
        self._break(LinkLost("what was received cannot be stored", code="bus_failed"))

    def _break(self, fault: Fault) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(fault)
