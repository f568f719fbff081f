"""One gateway in several processes: the supervisor starts the workers, shows them as one, and stops them together.

It moves no data. What it is told by the workers it puts together when somebody asks; nobody else listens on a port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import time_ns

import structlog

from gateway import __version__
from gateway.config.root import Configuration
from gateway.observe.status import GatewayStatus
from gateway.runtime.gateway import DRAIN
from gateway.runtime.keeper import Keeper
from gateway.runtime.merging import merge_buses, merge_lanes
from gateway.runtime.shards import share, shares

log = structlog.get_logger("supervisor")


class Supervisor:
    """A gateway with ``workers`` processes. ``left``: numbers of former workers whose journals hold data."""

    def __init__(self, configuration: Configuration, workers: int, left: Sequence[int] = ()) -> None:
        self.configuration = configuration
        self._started = time_ns()
        self.keepers = [
            Keeper(share(configuration, number, connections))
            for number, connections in enumerate(shares(configuration, workers), 1)
        ]
        self.keepers += [Keeper(share(configuration, number, ()), leftover=True) for number in left]

    async def run(self, stop: asyncio.Event, drain: float = DRAIN) -> None:
        """As `Gateway.run`. Cancelled: all workers are killed, which costs what was not committed yet."""
        configuration = self.configuration
        async with AsyncExitStack() as stack:
            if configuration.observe.http != "off":
                from gateway.observe.http import serve_http

                await stack.enter_async_context(serve_http(configuration.observe.http, self.status))
            log.info(
                "supervisor_started",
                gateway=configuration.gateway.id,
                version=__version__,
                workers=sum(not keeper.status.leftover for keeper in self.keepers),
                leftovers=[keeper.status.number for keeper in self.keepers if keeper.status.leftover],
            )
            async with asyncio.TaskGroup() as group:
                for keeper in self.keepers:
                    group.create_task(keeper.run(stop, drain), name=f"worker {keeper.status.number}")
                await stop.wait()
                log.info("supervisor_stopping", drain_seconds=drain)
        log.info("supervisor_stopped", gateway=configuration.gateway.id)

    async def status(self) -> GatewayStatus:
        """How everything is, now: every worker is asked."""
        answers = await asyncio.gather(*(keeper.ask() for keeper in self.keepers if not keeper.done))
        workers = [worker for worker, _ in answers]
        found = {device.name: device for _, devices in answers for device in devices}
        return GatewayStatus(
            self.configuration.gateway.id,
            __version__,
            self._started,
            time_ns(),
            clock_trusted=all(keeper.clock_trusted for keeper in self.keepers),
            devices=[found[name] for name in self.configuration.devices if name in found],
            lanes=merge_lanes([worker.lanes for worker in workers]),
            bus=merge_buses([worker.bus for worker in workers]),
            workers=workers,
        )
