"""Endpoint: the one owner of a socket or serial line. Whoever wants something of a device behind it queues here.

Commands go before polls, polls before browsing. A device that does not answer is left alone by and by and costs the
others at most one time-out per retry; a link that is lost takes all its devices down at once and is opened again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic_ns
from typing import Any, Final, TypeVar, cast

import structlog

from gateway.bus.protocol import Bus
from gateway.collect.clock import Clock
from gateway.collect.device import PolledDevice, PollJob, jobs_of
from gateway.collect.feeds import TICK, DeviceFeed, DeviceFeeds
from gateway.collect.recovery import Backoff, Pace, Recovery, Scope, recovery
from gateway.collect.schedule import Schedule
from gateway.collect.watchdog import Watchdog
from gateway.config.base import ConnectionConfig
from gateway.model.faults import Busy, Fault, LinkLost
from gateway.model.quality import is_bad, quality_label
from gateway.observe.status import DeviceState
from gateway.sdk.adapter import Adapter, Reads, Session
from gateway.sdk.push import ReadsHistory, Subscribes

log = structlog.get_logger("collect")

T = TypeVar("T")
Work = Callable[[Session], Awaitable[Any]]
QUEUE_LIMIT: Final = 256
"""Commands, and likewise browse steps, that may wait at one endpoint; one more is refused as Busy."""
BUG_BUDGET: Final = 5
"""Unexpected exceptions of an adapter that a device may cause before it is parked."""


class _Reopen(Exception):
    """The session is to be closed and opened again at once; its devices are not to blame, or were dealt with."""


class Endpoint:
    """One connection at work: `run` it in a task of its own."""

    def __init__(
        self,
        name: str,
        config: ConnectionConfig,
        adapter: Adapter,
        devices: list[PolledDevice],
        feeds: DeviceFeeds,
        bus: Bus,
        schedule: Schedule,
        clock: Clock,
    ) -> None:
        self.name = name
        self._clock = clock
        self.devices = devices
        self.feeds = feeds
        self._adapter = adapter
        self._bus = bus
        self._backoff = Backoff(config.retry, config.retry_max)
        self._loop = asyncio.get_running_loop()
        self._commands: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._polls: deque[PollJob] = deque()
        self._browses: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.stopping = False
        """To be set before `run` is cancelled: an adapter, or a library of it, may swallow the cancellation."""
        self._open = False
        self._proven = False
        """The present session has brought something: the next loss starts with the shortest wait again."""
        for job in jobs_of(devices):
            if job.group.scan > 0:
                schedule.add(job.group.scan, partial(self._due, job))
        if feeds.members:
            schedule.add(TICK, lambda _skipped: feeds.tick())

    async def submit(self, work: Callable[[Session], Awaitable[T]], *, urgent: bool) -> T:
        """Have some work done with the session: a command (``urgent``, before the next poll) or a browse step (after).

        Raises what the work raises; LinkLost when there is no session; Busy when too much is waiting.
        """
        queue = self._commands if urgent else self._browses
        if not self._open:
            raise LinkLost(f"connection {self.name} is not open", code="link_lost")
        if len(queue) >= QUEUE_LIMIT:
            raise Busy(f"connection {self.name} has {QUEUE_LIMIT} requests waiting", code="queue_full")
        future: asyncio.Future[T] = self._loop.create_future()
        queue.append((work, future))
        self._wake()
        return await future

    async def run(self) -> None:
        """Open, serve, recover; for ever, until cancelled."""
        try:
            while not self.stopping:
                wait = await self._session()
                if wait is None or self.stopping:
                    return
                await asyncio.sleep(wait)
        finally:
            self._abandon(LinkLost(f"connection {self.name} was closed"), "restart")
            for device in self.devices:
                device.rest(None)

    def finish(self) -> None:
        """Declare what is still missing: there will be no further poll."""
        clock = monotonic_ns()
        for job in jobs_of(self.devices):
            self._settle(job, clock, final=True)
        for feed in self.feeds.members:
            feed.finish(self._clock.now())

    async def _session(self) -> float | None:
        """One session from open to close. Returns seconds to wait before the next, None: never again."""
        try:
            async with self._adapter.open() as session:
                self._opened(session)
                if self.feeds.members:
                    await self._serve_both(session)
                else:
                    await self._serve(session)
        except _Reopen:
            return 0.0
        except Fault as fault:
            return self._link_down(fault)
        except Exception as error:  # a bug in an adapter must not end its neighbours
            log.exception("adapter_bug", connection=self.name)
            return self._link_down(Fault(f"adapter failed: {error!r}", code="internal_error"))
        finally:
            self._open = False
        return 0.0

    def _opened(self, session: Session) -> None:
        self._open = True
        self._proven = False
        self.feeds.bridge = self._read_history if isinstance(session, ReadsHistory) else DeviceFeed.declare
        for device in self.devices:
            if not device.parked and not device.resting:
                self._enqueue_all(device)

    async def _serve_both(self, session: Session) -> None:
        """Serve polls and work, and beside them what the devices push; whichever ends first ends the session."""
        broken = self.feeds.opened()
        tasks = [
            asyncio.ensure_future(self._serve(session)),
            asyncio.ensure_future(cast("Subscribes", session).subscribe(self.feeds)),
        ]
        try:
            await asyncio.wait([*tasks, broken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            ended = [future for future in (broken, *tasks) if future.done() and not future.cancelled()]
            faults = [fault for future in ended if (fault := future.exception()) is not None]
            broken.cancel()
        raise faults[0] if faults else LinkLost(f"connection {self.name}: the source ended its subscription")

    def _read_history(self, feed: DeviceFeed, since: int, until: int) -> None:
        """Have the device tell what a feed missed, when no poll waits; if it cannot, declare a gap."""

        def told(done: asyncio.Future[Any]) -> None:
            if (fault := done.exception()) is not None:
                log.warning("history_not_read", device=feed.name, message=str(fault))
                feed.declare(since, until)

        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(told)
        self._browses.append((lambda session: cast("ReadsHistory", session).read_history(feed, since, until), future))
        self._wake()

    async def _serve(self, session: Session) -> None:
        try:
            async with Watchdog() as watchdog:
                await self._work_off(session, watchdog)
        except TimeoutError:
            if not watchdog.expired:
                raise
            message = f"a poll of {watchdog.what} did not come back within {watchdog.patience:.0f} s"
            raise LinkLost(message, code="session_stalled") from None

    async def _work_off(self, session: Session, watchdog: Watchdog) -> None:
        while not self.stopping:
            if self._commands:
                await self._work(session, *self._commands.popleft())
            elif self._polls:
                if not self._bus.has_room:
                    await self._bus.room()
                await self._poll(session, self._polls.popleft(), watchdog)
            elif self._browses:
                await self._work(session, *self._browses.popleft())
            else:
                self._waiter = self._loop.create_future()
                await self._waiter

    async def _poll(self, session: Session, job: PollJob, watchdog: Watchdog) -> None:
        readings = job.readings
        readings.clear()
        started = monotonic_ns()
        try:
            watchdog.start(job.watchdog, job.device.status.name)
            await cast("Reads", session).read(job.plan, readings)
            clock = monotonic_ns()
            now = clock + self._clock.offset
            frames = job.normaliser.frames(readings, now, clock)
        except Fault as fault:
            job.queued = False
            self._poll_failed(job, fault)
            return
        except asyncio.CancelledError:
            job.missed.add("outage" if watchdog.expired else "restart")  # gone with the session, or told to stop
            raise
        except Exception as error:  # our bug, or the adapter's: this device alone pays for it
            log.exception("adapter_bug", device=job.device.status.name, connection=self.name)
            self._poll_crashed(job, error)
            raise _Reopen from None
        finally:
            watchdog.stop()
            job.queued = False
        status = job.device.status
        for frame, points in frames:
            self._bus.publish(frame, points)
            status.points += points
        status.polls += 1
        status.reads += job.normaliser.size - len(readings.failures)
        status.poll_seconds += (clock - started) * 1e-9
        if job.missed.pending:
            self._settle(job, clock)
        job.missed.covered = clock
        if readings.failures or status.state is not DeviceState.UP:
            self._mixed(job, now)
        else:
            status.last_good = now
            job.device.faults = 0
        if not self._proven:
            self._proven = True
            self._backoff.reset()
        if job.group.scan == 0:
            self._enqueue(job)

    def _mixed(self, job: PollJob, now: int) -> None:
        """Note a poll that changes the state of its device, or that brought bad tags."""
        codes = [code for code in job.readings.failures.values() if is_bad(code)]
        if len(codes) < job.normaliser.size:
            job.device.status.last_good = now
        was_resting = job.device.resting
        job.device.good(len(codes), quality_label(codes[0]) if codes else "", now)
        if was_resting:
            self._enqueue_all(job.device)

    def _poll_failed(self, job: PollJob, fault: Fault) -> None:
        """Act on a fault of one poll by the table. Raises when the session must not be used any more."""
        device, rule, now = job.device, recovery(fault), self._clock.now()
        job.missed.add("outage")
        if rule.scope is Scope.LINK:
            raise fault
        device.fault(fault, now)
        if rule.pace is Pace.NEVER:
            self._device_down(device, fault, now, DeviceState.PARKED)
        elif device.faults > rule.forgiven or device.resting or device.status.state is DeviceState.CONNECTING:
            self._device_down(device, fault, now, DeviceState.DOWN)
            self._rest(device, self._wait(rule, device.backoff, fault))
        elif job.group.scan == 0:
            self._enqueue(job)
        if rule.close or all(other.parked or other.resting for other in self.devices):
            raise _Reopen

    def _poll_crashed(self, job: PollJob, error: Exception) -> None:
        device = job.device
        device.bugs += 1
        fault = Fault(f"adapter failed: {error!r}", code="internal_error")
        job.missed.add("outage")
        device.fault(fault, self._clock.now())
        if device.bugs >= BUG_BUDGET:
            self._device_down(device, fault, self._clock.now(), DeviceState.PARKED)
        else:
            self._device_down(device, fault, self._clock.now(), DeviceState.DOWN)
            self._rest(device, device.backoff.wait())

    def _device_down(self, device: PolledDevice, fault: Fault, now: int, state: DeviceState) -> None:
        device.down(state, fault, now)
        for job in device.jobs:
            if job.queued and job in self._polls:
                self._polls.remove(job)
                job.queued = False
                job.missed.add("outage")
            frame = job.normaliser.lost(fault.quality, now)
            if frame is not None:
                self._bus.publish(frame, job.normaliser.size)
                device.status.points += job.normaliser.size

    def _rest(self, device: PolledDevice, wait: float) -> None:
        device.rest(self._loop.call_later(wait, self._retest, device))

    def _retest(self, device: PolledDevice) -> None:
        """Try one poll group of a device that was down: the first, which is the fastest."""
        if self._open:
            self._enqueue(device.jobs[0])
        else:
            device.rest(None)  # the link is down as well: the device is tried when it opens

    def _link_down(self, fault: Fault) -> float | None:
        rule, now = recovery(fault), self._clock.now()
        parked = rule.pace is Pace.NEVER
        if self.feeds.arrived:
            self._backoff.reset()
            self.feeds.arrived = False
        for device in self.devices:
            if not device.parked:
                device.rest(None)
                self._device_down(device, fault, now, DeviceState.PARKED if parked else DeviceState.DOWN)
        for feed in self.feeds.members:
            feed.lost(fault.quality, now)
        self._abandon(fault, "outage")
        return None if parked else self._wait(rule, self._backoff, fault)

    @staticmethod
    def _wait(rule: Recovery, backoff: Backoff, fault: Fault) -> float:
        if rule.pace is Pace.AS_TOLD and isinstance(fault, Busy):
            return fault.wait
        return backoff.slow() if rule.pace is Pace.SLOW else backoff.wait()

    async def _work(self, session: Session, work: Work, future: asyncio.Future[Any]) -> None:
        if future.done():
            return
        try:
            result = await work(session)
        except Fault as fault:
            if not future.done():
                future.set_exception(fault)
            if recovery(fault).close:
                raise _Reopen from fault
        else:
            if not future.done():
                future.set_result(result)
        finally:
            if not future.done():  # the session ended meanwhile, or the adapter has a bug: nobody is left waiting
                future.set_exception(LinkLost(f"connection {self.name} was closed", code="link_lost"))

    def _due(self, job: PollJob, skipped: int) -> None:
        """Act on a tick of a job's scan rate."""
        device = job.device
        if device.parked or device.status.state is DeviceState.CONNECTING:
            return  # nothing is missed before the first try has come to an end
        if skipped:
            self._overrun(job, skipped)
        if job.queued:
            self._overrun(job, 1)
        elif not self._open or device.resting:
            job.missed.add("outage")
        else:
            self._enqueue(job)

    def _overrun(self, job: PollJob, count: int) -> None:
        job.device.status.overruns += count
        job.missed.add("overrun" if self._bus.has_room else "overflow", count)

    def _enqueue_all(self, device: PolledDevice) -> None:
        for job in device.jobs:
            self._enqueue(job)

    def _enqueue(self, job: PollJob) -> None:
        if not job.queued:
            job.queued = True
            self._polls.append(job)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _settle(self, job: PollJob, clock: int, *, final: bool = False) -> None:
        if job.missed.pending:
            time = self._clock
            gap = job.missed.settle(
                job.device.status.name, job.group.name, clock, time.offset, stretch=time.stretch, final=final
            )
            if gap is not None:
                self._bus.declare(gap)

    def _abandon(self, fault: Fault, reason: str) -> None:
        """Empty the queues: polls are missed for ``reason``, work is refused."""
        for job in self._polls:
            job.queued = False
            job.missed.add(reason)
        self._polls.clear()
        for queue in (self._commands, self._browses):
            while queue:
                _, future = queue.popleft()
                if not future.done():
                    future.set_exception(LinkLost(str(fault), code=fault.code))
