"""A lane: one consumer of the bus, one payload codec, one sink. It never ends by itself and never holds up another.

Nothing leaves the bus before the platform has acknowledged it. A lost link means: forget what was under way, wait,
connect again, send again. One log line says that the lane is down and why, one that it is up; counters say the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Final

import structlog

from gateway import __version__
from gateway.bus.protocol import Bus, BusFailed, Consumer
from gateway.config.root import LaneConfig
from gateway.forward.announce import News, device_status, gateway_status
from gateway.forward.columnar import Columnar
from gateway.forward.deadletters import Spool
from gateway.forward.delivery import Delivery, Shared
from gateway.forward.json_payload import JsonPayload, iso_time
from gateway.forward.payload import Payload
from gateway.model.faults import AuthFault, ConfigFault, Fault
from gateway.observe.status import DeviceStatus, LaneStatus
from gateway.sdk.sink import Sink, SinkSession

log = structlog.get_logger("lane")

PAYLOADS: Final[dict[str, Callable[[str], Payload]]] = {"columnar": Columnar, "json": JsonPayload}
"""Payload codecs by their name in the configuration; each is made with the gateway's id."""


@dataclass(frozen=True, slots=True)
class Retry:
    """First wait and longest wait in seconds; doubles in between."""

    first: float
    longest: float


LINK: Final = Retry(1.0, 5.0)
"""After a lost link. The platform is found again within seconds, and jitter spreads gateways that lost it together."""
REFUSAL: Final = Retry(30.0, 600.0)
"""After a refusal that somebody has to mend: no account is locked out, no log is filled."""


_SLOW: Final = frozenset({"client_id_taken"})
"""Lost links that are better not answered in haste: two clients with one id would throw each other out for ever."""
_UP: Final = "up"
LEAVE: Final = 4.0
"""Seconds that leaving in order may take beyond the deadline of a drain."""


class Lane:
    """See the module. `run` it once; `status` may be read at any time from the same event loop.

    ``spool``: where this lane's dead letters go. Raises ConfigFault for a payload that there is not.
    """

    def __init__(
        self,
        name: str,
        config: LaneConfig,
        bus: Bus,
        sink: Sink,
        gateway: str,
        spool: Spool,
        *,
        link: Retry = LINK,
        refusal: Retry = REFUSAL,
    ) -> None:
        if config.payload not in PAYLOADS:
            raise ConfigFault(f"no payload {config.payload!r}", code="payload_unknown", known=tuple(PAYLOADS))
        self.name = name
        self._config = config
        self._bus = bus
        self._sink = sink
        self._gateway = gateway
        self._link = link
        self._refusal = refusal
        self._status = LaneStatus(name, since=time_ns())
        self._since = monotonic()
        """The same on the clock that nobody sets."""
        self._news = News()
        self._consumer: Consumer | None = None
        self._shared = Shared(
            name,
            gateway,
            config,
            bus,
            sink.topics,
            PAYLOADS[config.payload](gateway),
            spool,
            self._status,
            self._say_up,
        )
        self._failures = 0
        self._refused = False
        self._told = ""
        self._down_seconds = 0.0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ended = asyncio.Event()
        self._log = log.bind(lane=name)

    @property
    def status(self) -> LaneStatus:
        """Counters and state, up to date."""
        if self._consumer is not None:
            self._status.backlog = self._consumer.backlog
        return self._status

    def publish_device(self, status: DeviceStatus) -> None:
        """Tell the platform how a device is. Never waits: of what cannot be sent yet, the newest per device is kept."""
        self._news.put(status.name, device_status(self._sink.topics, self._gateway, status))

    async def run(self) -> None:
        """Deliver until cancelled or drained; then say farewell."""
        self._consumer = self._bus.consumer(self.name, self._config.order)
        try:
            while not self._stop.is_set():
                fault = await self._once(self._consumer)
                if fault is not None:
                    self._consumer.restart()
                    self._down(fault)
                    await self._pause(fault)
        finally:
            self._status.connected = False
            self._ended.set()

    async def drain(self, deadline: float) -> None:
        """Deliver what is committed, for ``deadline`` seconds at most; then let `run` leave in order."""
        self._hurry.set()
        try:
            async with asyncio.timeout(deadline):
                await self._shared.drained(lambda: self._consumer is not None and self._consumer.backlog == 0)
        except TimeoutError:
            self._log.warning("lane_not_drained", backlog=self.status.backlog, deadline=deadline)
        self._stop.set()
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), LEAVE)

    async def _once(self, consumer: Consumer) -> Exception | None:
        """Live through one connection. Returns what ended it; None: it was told to stop."""
        delivered = self._status.batches
        delivery: Delivery | None = None
        try:
            async with self._open() as session:
                self._up()
                delivery = Delivery(self._shared, consumer, session)
                await self._serve(delivery, session)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other lanes and the devices live on
            fault = _first(error)
            if isinstance(fault, BusFailed):
                raise fault from None
            if delivery is not None:
                delivery.lost(_code(fault))
            if self._status.batches > delivered:
                self._failures = 0
            return fault
        finally:
            self._status.in_flight = 0
        return None

    def _open(self) -> AbstractAsyncContextManager[SinkSession]:
        topics, now = self._sink.topics, iso_time(time_ns())
        return self._sink.open(
            will=gateway_status(topics, self._gateway, online=False, reason="connection_lost", connected=now),
            birth=gateway_status(topics, self._gateway, online=True, connected=now, version=__version__),
            farewell=gateway_status(topics, self._gateway, online=False, reason="stopped", version=__version__),
        )

    async def _serve(self, delivery: Delivery, session: SinkSession) -> None:
        self._news.again()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.watch(), name=f"lane {self.name} link")
                group.create_task(self._until_stopped(), name=f"lane {self.name} stop")
                group.create_task(delivery.tell(self._news), name=f"lane {self.name} device status")
                for number in range(self._config.window):
                    group.create_task(delivery.work(), name=f"lane {self.name} {number}")
        except* _Stopped:
            self._log.info("lane_stopped", backlog=self.status.backlog)

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        raise _Stopped

    async def _pause(self, fault: Exception) -> None:
        """Wait before the next try: doubling, with jitter, cut short when the gateway is stopping."""
        slow = isinstance(fault, AuthFault | ConfigFault) or _code(fault) in _SLOW
        if slow != self._refused:  # a refusal after a lost link is the first refusal
            self._refused, self._failures = slow, 0
        retry = self._refusal if slow else self._link
        wait = min(retry.longest, retry.first * 2 ** min(self._failures, 30))
        self._failures += 1
        if self._hurry.is_set():
            wait = min(wait, self._link.first)
        try:
            async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):  # noqa: S311 - spreads load, guards nothing
                await (self._stop if self._hurry.is_set() else self._hurry).wait()
        except TimeoutError:
            return

    def _up(self) -> None:
        status = self._status
        status.connects += 1
        if not status.connected:
            self._down_seconds = round(monotonic() - self._since, 1)
            status.connected, status.reason, status.message, status.since = True, "", "", time_ns()
        if self.status.backlog == 0:
            self._say_up()

    def _say_up(self) -> None:
        """Log that the lane is up: not when it connects, but when it also delivers, or has nothing to deliver."""
        if self._told != _UP:
            self._told = _UP
            self._log.info("lane_up", after_seconds=self._down_seconds, backlog=self.status.backlog)

    def _down(self, error: Exception) -> None:
        status = self._status
        code = _code(error)
        if self._told != code:
            self._told = code
            if not isinstance(error, Fault):
                self._log.error("lane_failed", exc_info=error)
            self._log.warning("lane_down", reason=code, message=str(error), backlog=self.status.backlog)
        if status.connected:
            status.since, self._since = time_ns(), monotonic()
        status.connected, status.reason, status.message = False, code, str(error)


class _Stopped(Exception):
    """The lane was told to stop."""


def _code(error: Exception) -> str:
    return error.code if isinstance(error, Fault) else "internal"


def _first(error: Exception) -> Exception:
    """Return the one error that matters of a group: a bug of ours before a fault."""
    if not isinstance(error, ExceptionGroup):
        return error
    leaves = [_first(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, Fault)), leaves[0])
