"""Runs one gateway, in this process or in several, until a signal says stop. Knows nothing of command lines.

That is why it is a module of its own: what `xingsha run CONFIG` does all day needs no library that reads options.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import Final, Protocol

from gateway.config.fields import format_duration
from gateway.model.faults import Fault
from gateway.observe import log
from gateway.runtime.loop import loop_factory

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CLOSING: Final = 5.0
"""Seconds that a gateway gets, beyond its drain, to close its journal and its sockets; and once more when cancelled."""
DRAIN: Final = 10.0
"""Seconds to wait for data on its way, once told to stop, unless told otherwise."""


class Runs(Protocol):
    """The part of the runtime's Gateway, or of its Supervisor, that is needed here."""

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Run until ``stop`` is set; then deliver what is committed, for ``drain`` seconds at most."""


def start(config: Path, drain: float) -> None:
    """Run the gateway of a configuration until it is told to stop. Raises ConfigErrors, and what ended it."""
    from gateway.runtime import launch
    from gateway.runtime.making import load_configuration

    take_descriptors()
    configuration = load_configuration(config)
    log.configure(configuration.observe.log, configuration.observe.log_format)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(launch(configuration), drain))


def take_descriptors() -> None:
    """Use as many descriptors as the system lets this process have.

    The usual soft limit of 1,024 is there for programs that call select(); this one does not, and a socket for each
    of a thousand devices must not leave the lanes without one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(gateway: Runs, drain: float) -> None:
    """Run ``gateway`` until a signal arrives or it ends by itself; raises what ended it.

    Raises Fault ``drain_timeout`` when it is not done CLOSING seconds after its time to drain is over.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, stop)
    running = asyncio.create_task(gateway.run(stop, drain), name="gateway")
    told = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
        finished, _ = await asyncio.wait({running}, timeout=drain + CLOSING)
        if not finished:
            running.cancel()
            await asyncio.wait({running}, timeout=CLOSING)
            raise Fault(f"still busy {format_duration(drain + CLOSING)} after the signal", code="drain_timeout")
        await running
    finally:
        told.cancel()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _on_signal(number: signal.Signals, stop: asyncio.Event) -> None:
    import structlog

    if stop.is_set():
        structlog.get_logger().warning("gateway_ended_at_once", signal=number.name)
        os._exit(128 + number)
    structlog.get_logger().info("signal_received", signal=number.name)
    stop.set()
