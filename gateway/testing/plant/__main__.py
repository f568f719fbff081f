"""``python -m gateway.testing.plant FILE``: run the plant of a configuration until the signal or the parent ends it.

Prints one line of JSON, the port of each connection, once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from gateway.config.errors import ConfigErrors
from gateway.config.loader import load
from gateway.model.faults import Fault
from gateway.sdk.manifest import adapter_models
from gateway.sinks import sink_model
from gateway.testing.plant.serve import Mishaps, served, troubled


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway.testing.plant", description="Run a simulated plant.")
    parser.add_argument("config", type=Path, metavar="FILE", help="configuration whose devices are to be simulated")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another day")
    parser.add_argument("--listen", metavar="ADDRESS", help="local address, instead of that of each connection")
    parser.add_argument("--any-port", action="store_true", help="listen on free ports")
    parser.add_argument("--mishaps", action="store_true", help="let a link fail now and then")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(_run(options))
        except ConfigErrors as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except Fault as fault:
            sys.stderr.write(f"error [{fault.code}]: {fault}\n")
            return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    configuration = load(options.config, adapter_models, sink_model)
    device = troubled(configuration) if options.mishaps else None
    chance = Random(options.seed)  # noqa: S311 - physics, not secrets
    mishaps = Mishaps(device, chance) if device is not None else None
    loop = asyncio.get_running_loop()
    async with served(configuration, seed=options.seed, host=options.listen, any_port=options.any_port) as plant:
        running = loop.create_task(plant.run(mishaps), name="plant")
        loop.add_signal_handler(signal.SIGTERM, running.cancel)
        if options.with_parent:
            threading.Thread(target=_when_stdin_closes, args=(loop, running.cancel), daemon=True).start()
        sys.stdout.write(json.dumps(plant.ports) + "\n")
        sys.stdout.flush()
        with suppress(asyncio.CancelledError):
            await running


def _when_stdin_closes(loop: asyncio.AbstractEventLoop, then: Callable[[], object]) -> None:
    sys.stdin.buffer.read()
    with suppress(RuntimeError):  # the loop has closed in the meantime
        loop.call_soon_threadsafe(then)


if __name__ == "__main__":
    sys.exit(main())
