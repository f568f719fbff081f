"""The gateway as a whole: bus, collector, lanes and health, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from time import time_ns
from typing import Final

import structlog

from gateway import __version__
from gateway.bus import open_bus
from gateway.bus.protocol import Bus, BusFailed
from gateway.collect.collector import Collector
from gateway.config.root import Configuration
from gateway.forward.deadletters import Spool
from gateway.forward.lane import Lane
from gateway.model.faults import Fault
from gateway.observe.status import DeviceStatus, GatewayStatus
from gateway.runtime.making import make_adapter
from gateway.runtime.reading import TagReading, rows
from gateway.sinks import MakeSink, make_sink

log = structlog.get_logger("gateway")

DRAIN: Final = 10.0
"""Seconds that a stop may take to deliver what is committed."""

EMPTY_CHECK: Final = 0.25
"""Seconds between two looks whether everything was delivered."""


class Gateway:
    """One gateway. `run` it once; `status` and `values` may be asked at any time from the same event loop.

    ``make_sink``: where lanes lead; tests have a platform in memory.
    """

    def __init__(self, configuration: Configuration, make_sink: MakeSink = make_sink) -> None:
        self.configuration = configuration
        self._make_sink = make_sink
        self._started = time_ns()
        self._bus: Bus | None = None
        self._collector: Collector | None = None
        self._lanes: list[Lane] = []

    async def run(self, stop: asyncio.Event, drain: float = DRAIN) -> None:
        """Read and forward until ``stop`` is set; then deliver what is committed, for ``drain`` seconds at most.

        Raises ConfigFault for what only an operator can mend (journal of another gateway, port in use).
        """
        configuration = self.configuration
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(
                open_bus(configuration.bus, configuration.gateway.id, configuration.folder)
            )
            self._bus = bus
            self._lanes = [self._lane(name, bus) for name, lane in configuration.lanes.items() if lane.enabled]
            self._collector = Collector(configuration, bus, make_adapter, self._changed)
            if configuration.observe.http != "off":
                from gateway.observe.http import serve_http

                await stack.enter_async_context(serve_http(configuration.observe.http, self.status))
            log.info(
                "gateway_started",
                gateway=configuration.gateway.id,
                version=__version__,
                devices=len(self._collector.devices),
                lanes=len(self._lanes),
                epoch=bus.epoch,
            )
            try:
                await self._work(bus, self._collector, stop, drain)
            except* BusFailed as failed:
                raise Fault(str(_first(failed)), code="bus_failed") from None
        log.info("gateway_stopped", gateway=configuration.gateway.id)

    def status(self) -> GatewayStatus:
        """How everything is, now."""
        status = GatewayStatus(self.configuration.gateway.id, __version__, self._started, time_ns())
        if self._collector is not None:
            status.devices = self._collector.statuses()
            status.clock_trusted = self._collector.clock.trusted
        if self._bus is not None:
            status.bus = self._bus.statistics
        status.lanes = [lane.status for lane in self._lanes]
        return status

    async def emptied(self) -> None:
        """Wait until the bus holds nothing any more: every consumer that it knows has had everything."""
        while True:
            await asyncio.sleep(EMPTY_CHECK)
            if self._bus is not None:
                await self._bus.flush()
                if not self._bus.statistics.depth_batches:
                    return

    def values(self) -> Iterator[TagReading]:
        """Every tag as it was last read, reported or not."""
        for normaliser in self._collector.normalisers() if self._collector is not None else ():
            frame = normaliser.snapshot()
            if frame is not None:
                yield from rows(normaliser.schema, frame)

    async def _work(self, bus: Bus, collector: Collector, stop: asyncio.Event, drain: float) -> None:
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(lane.run(), name=f"lane {lane.status.name}") for lane in self._lanes]
            collecting = group.create_task(collector.run(), name="collector")
            watching = group.create_task(bus.watch(), name="bus")
            await stop.wait()
            log.info("gateway_stopping", drain_seconds=drain)
            collecting.cancel()
            await asyncio.wait([collecting])
            await bus.flush()
            async with asyncio.TaskGroup() as draining:
                for lane in self._lanes:
                    draining.create_task(lane.drain(drain), name=f"drain {lane.status.name}")
            for task in (watching, *lanes):
                task.cancel()

    def _lane(self, name: str, bus: Bus) -> Lane:
        configuration = self.configuration
        lane = configuration.lanes[name]
        gateway, folder = configuration.gateway.id, configuration.folder
        sink = self._make_sink(lane.sink, configuration.sinks[name], gateway, name, folder=folder)
        mark = f"-{configuration.worker}" if configuration.worker > 1 else ""
        spool = Spool(folder / configuration.bus.path.parent / "deadletters" / name, mark=mark)
        return Lane(name, lane, bus, sink, gateway, spool)

    def _changed(self, status: DeviceStatus) -> None:
        for lane in self._lanes:
            lane.publish_device(status)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
