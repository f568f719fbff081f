"""`xingsha demo`: a simulated plant, the gateway, and a platform that counts, on one machine and live on screen.

Nothing in it is a mock: the plant is a process of its own that speaks Modbus on loopback, the platform is an MQTT
broker, and a subscriber there checks what arrives by the numbers that stand in the data.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from gateway.cli.run import duration, loop_factory
from gateway.cli.view import Received, View
from gateway.config.root import Configuration
from gateway.model.faults import LinkLost
from gateway.observe import log
from gateway.reader import Report
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import EmbeddedBroker, embedded_broker, stop
from gateway.testing.subscriber import Subscriber

DEFAULT: Final = Path(__file__).parents[2] / "configs" / "demo.yaml"
ALARMS: Final = ("jammed", "tripped", "in_alarm")
_REFRESH: Final = 0.25
_PLAIN: Final = 5.0
_SETTLE: Final = 5.0
"""Seconds that the last batches may take from the broker to the subscriber."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("demo")
    def demo(
        length: Annotated[
            float,
            typer.Option("--for", parser=duration, metavar="DURATION", help="End by itself; needs no terminal."),
        ] = 0.0,
        seed: Annotated[int, typer.Option(help="Another seed, another day in the plant.")] = 14,
        config: Annotated[Path, typer.Option(help="A plant of your own, of the same machines.")] = DEFAULT,
    ) -> None:
        """Show a simulated plant, gateway and platform, live.

        Ends with --for or with Ctrl-C, and then sums up what the subscriber at the platform has counted. Exit code 0:
        values were delivered and none was lost.
        """
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            summary = runner.run(demonstrate(config, length, seed, Console()))
        print(summary)
        raise typer.Exit(0 if summary.good else 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was counted from the first read to the last delivery."""

    seconds: float
    devices: int
    read: int
    """Values read from machines."""
    committed: int
    """Batches that the gateway committed to its journal: all of these have to arrive."""
    received: Received

    @property
    def lost(self) -> int:
        """Batches committed and not received, or missing between those that were: whichever is more."""
        return max(self.committed - self.received.batches, self.received.lost)

    @property
    def good(self) -> bool:
        """True when something was delivered and nothing was lost."""
        return self.received.values > 0 and self.lost == 0

    def __str__(self) -> str:
        got = self.received
        rows = (
            ("points read", f"{self.read:,} from {self.devices} devices in {self.seconds:.0f} s"),
            ("values delivered", f"{got.values:,}, those that changed"),
            ("batches delivered", f"{got.batches:,} of {self.committed:,} committed"),
            ("lost", f"{self.lost:,}"),
            ("duplicates", f"{got.duplicates:,}"),
            ("gaps declared", f"{got.gaps:,}"),
        )
        return "\n".join(f"{name:<18} {value}" for name, value in rows)


async def demonstrate(config: Path, seconds: float, seed: int, console: Console) -> Summary:
    """Run everything for ``seconds`` (0: until told to stop) and return what was counted.

    Raises ConfigErrors for a configuration that is not good, Fault when a part of the demonstration does not come up.
    """
    configuration = load_configuration(config)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    if seconds:
        console.print(f"{len(configuration.devices)} simulated machines, gateway and platform for {seconds:g} s …")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xingsha-demo-")))
        log.configure("info", "text", stream=stack.enter_context((folder / "gateway.log").open("w")))
        broker = await stack.enter_async_context(embedded_broker())
        ports = await stack.enter_async_context(plant(config, seed))
        gateway = Gateway(placed(configuration, ports, broker, folder))
        subscriber = Subscriber()
        return await _watch(gateway, subscriber, broker, told, seconds, console)


def placed(
    configuration: Configuration, ports: Mapping[str, int], broker: EmbeddedBroker, folder: Path
) -> Configuration:
    """Return the configuration with the ports that were free, its journal in ``folder``, and no listening socket."""
    return replace(
        configuration,
        connections={
            name: connection.model_copy(update={"port": ports[name]})
            for name, connection in configuration.connections.items()
        },
        sinks={
            name: sink.model_copy(update={"host": "127.0.0.1", "port": broker.port_v5})
            for name, sink in configuration.sinks.items()
        },
        bus=configuration.bus.model_copy(update={"path": folder / "journal.db"}),
        observe=configuration.observe.model_copy(update={"http": "off"}),
        folder=folder,
    )


@asynccontextmanager
async def plant(config: Path, seed: int) -> AsyncIterator[dict[str, int]]:
    """Run the plant of a configuration as a process of its own; gives the port of each connection."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.testing.plant", str(config), "--seed", str(seed), "--any-port", "--mishaps",
        "--with-parent",
        stdin=PIPE, stdout=PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield await _ports(process)
    finally:
        await stop(process)


async def _ports(process: Process) -> dict[str, int]:
    """Read where the plant listens; it says so once it does, or complains on stderr and ends."""
    line = b""
    with suppress(TimeoutError):
        line = await asyncio.wait_for(process.stdout.readline(), 20.0) if process.stdout else b""
    if not line:
        raise LinkLost("the simulated plant does not come up", code="plant_failed")
    ports: dict[str, int] = json.loads(line)
    return ports


async def _watch(
    gateway: Gateway, subscriber: Subscriber, broker: EmbeddedBroker, told: asyncio.Event, seconds: float,
    console: Console,
) -> Summary:  # fmt: skip
    """Run gateway and subscriber, show them, stop them in order, and count."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(subscriber.run("127.0.0.1", broker.port_v5), name="subscriber")
        await subscriber.subscribed.wait()
        began = loop.time()
        if seconds:
            loop.call_later(seconds, told.set)
        running = group.create_task(gateway.run(stopping), name="gateway")
        await _show(gateway, subscriber, told, running, console, not seconds)
        length = loop.time() - began
        stopping.set()
        await running
        status = gateway.status()
        with suppress(TimeoutError):  # then the summary tells what is missing
            await asyncio.wait_for(subscriber.until(status.bus.batches), _SETTLE)
        receiving.cancel()
    return Summary(
        seconds=length,
        devices=len(status.devices),
        read=sum(device.reads for device in status.devices),
        committed=status.bus.batches,
        received=_received(subscriber),
    )


async def _show(
    gateway: Gateway, subscriber: Subscriber, told: asyncio.Event, running: asyncio.Task[None], console: Console,
    lines: bool,
) -> None:  # fmt: skip
    """Keep the screen up to date until told to stop; ``lines``: without a terminal, say now and then how it goes."""
    order = {name: [tag.name for tag in device.tags] for name, device in gateway.configuration.devices.items()}
    view = View(alarms=ALARMS, order=order)
    screen = Live(view, console=console, screen=True, auto_refresh=False) if console.is_terminal else None
    done = asyncio.create_task(told.wait(), name="told to stop")
    try:
        with screen or nullcontext():
            while not done.done() and not running.done():
                view.update(gateway.status(), gateway.values(), _received(subscriber))
                if screen is not None:
                    screen.refresh()
                elif lines:
                    console.print(view.line())
                pace = _REFRESH if screen is not None else _PLAIN
                await asyncio.wait({done, running}, timeout=pace, return_when=asyncio.FIRST_COMPLETED)
    finally:
        done.cancel()


def _received(subscriber: Subscriber) -> Received:
    report: Report = subscriber.reader.report(from_start=True)
    return Received(report.batches, report.points, report.lost, report.duplicates, report.gaps)


__all__ = ["Summary", "demonstrate", "placed", "plant", "register"]
