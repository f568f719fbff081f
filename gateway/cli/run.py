"""`xingsha run`: one gateway, in one process or several, until a signal tells it to stop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import Annotated, Final, Protocol

import typer

from gateway.config.fields import format_duration, parse_duration
from gateway.model.faults import Fault
from gateway.observe import log
from gateway.runtime.loop import loop_factory

__all__ = ["duration", "loop_factory", "register", "serve"]

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CLOSING: Final = 5.0
"""Seconds that a gateway gets, beyond its drain, to close its journal and its sockets; and once more when cancelled."""


class Runs(Protocol):
    """The part of the runtime's Gateway, or of its Supervisor, that is needed here."""

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Run until ``stop`` is set; then deliver what is committed, for ``drain`` seconds at most."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("run")
    def run(
        config: Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)],
        drain: Annotated[
            float,
            typer.Option(
                parser=duration, metavar="DURATION", help="Longest wait for data on its way, once told to stop."
            ),
        ] = 10.0,
    ) -> None:
        """Run the gateway until it is told to stop.

        SIGTERM or SIGINT: devices are no longer read, what was read is committed and sent, for as long as --drain
        allows. A second signal ends at once. Either way nothing that was committed is lost.
        """
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


def duration(text: str | float) -> float:
    """Seconds of an option such as ``10s``."""
    if isinstance(text, float):
        return text
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not {error}") from error


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
