"""What an observation of an MTConnect agent costs: a stream of it, through the gateway, to a broker and a receiver.

    script/bench adapters mtconnect --seconds 8

An agent (the simulator, in a process of its own) has ``--machines`` machines of 20 data items each, which all change
every 100 ms: to the number of the tick, with one timestamp for each machine. The gateway streams them, writes a journal
that is fully synchronous, and sends them on. The figure is CPU, user and system, of the gateway's process by
observation, and its inverse. Every tick of every item is looked for at the receiver, once and in order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.reader import Frames, Reader
from gateway.testing.ports import free_port

ITEMS: Final = 20
"""Data items of a machine."""
EVERY: Final = 0.1
"""Seconds between two ticks."""
BUFFER: Final = 131_072
"""Observations that the agent keeps, as agents do unless told otherwise."""


async def _agent(port: int, machines: int) -> None:
    """Serve; then, told on standard input for how many seconds, change everything every 100 ms."""
    from adapters.mtconnect.simulator import Simulator

    loop = asyncio.get_running_loop()
    async with Simulator(port=port, buffer=BUFFER) as plant:
        names = [[f"m{number}_{item}" for item in range(ITEMS)] for number in range(machines)]
        for number, items in enumerate(names):
            for item in items:
                plant.agent.machine(f"m{number}").observe(item, "0", "SAMPLE")
        print(json.dumps({"serving": True}), flush=True)
        seconds = float(await loop.run_in_executor(None, sys.stdin.readline))
        began, ticks = loop.time(), round(seconds / EVERY)
        for tick in range(1, ticks + 1):
            moment = time.time_ns()
            for number, items in enumerate(names):
                machine = plant.agent.machine(f"m{number}")
                machine.time = moment
                for item in items:
                    machine.observe(item, str(tick), "SAMPLE")
            await asyncio.sleep(max(began + tick * EVERY - loop.time(), 0))
        print(json.dumps({"ticks": ticks, "seconds": loop.time() - began}), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)


def configuration(port: int, broker: int, machines: int) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    tags = [{"name": f"t{item}", "type": "int64", "address": f"${{id}}_{item}"} for item in range(ITEMS)]
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "profiles": {"machine": {"adapter": "mtconnect", "params": {"id": "machine"}, "tags": tags}},
        "connections": {
            "agent": {"adapter": "mtconnect", "host": "127.0.0.1", "port": port, "count": 2000, "interval": "100ms"}
        },
        "devices": {
            f"m{number}": {
                "connection": "agent",
                "profile": "machine",
                "device": f"m{number}",
                "params": {"id": f"m{number}"},
            }
            for number in range(machines)
        },
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": broker}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def run(seconds: float, machines: int) -> dict[str, object]:
    """Measure for some seconds, and wait until all has arrived."""
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        receiver = Receiver(broker.port)
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.adapters.mtconnect", f"--agent={port}", f"--machines={machines}"]
        agent = stack.enter_context(Child("agent", command, folder))
        agent.hear()
        gateway = _gateway(stack, folder, configuration(port, broker.port, machines))
        receiver.settle(1.0, time.monotonic())
        before, began = gateway.cpu_seconds(), time.monotonic()
        told = agent.ask(str(seconds))
        receiver.settle(1.0, began)
        used, memory = gateway.cpu_seconds() - before, gateway.memory_mb()[1]
        gateway.stop(10.0)
        time.sleep(0.5)
        ticks = int(told["ticks"])
        found = _judged(receiver, machines, ticks)
    sent = ticks * machines * ITEMS
    return {
        "items": machines * ITEMS,
        "observations": sent,
        "observations_per_second": round(sent / told["seconds"]),
        "gateway_cpu_us_per_observation": round(used / sent * 1e6, 2),
        "observations_per_second_per_core": round(sent / used),
        "rss_mb": round(memory, 1),
    } | found


def _gateway(stack: ExitStack, folder: Path, made: dict[str, Any]) -> Gateway:
    path = folder / "gateway.yaml"
    path.write_text(json.dumps(made))
    return stack.enter_context(Gateway(folder, path))


def _judged(receiver: Receiver, machines: int, ticks: int) -> dict[str, int]:
    receiver.close()
    reader = Reader()
    last: dict[tuple[str, str], int] = {}
    wrong = 0
    for topic, payload in receiver.messages:
        for event in reader.feed(topic, payload):
            if isinstance(event, Frames):
                for row in event.rows():
                    if row.value:
                        key = row.device, row.tag
                        wrong += row.value != last.get(key, 0) + 1
                        last[key] = row.value
    return {"lost": machines * ITEMS * ticks - sum(last.values()), "wrong": wrong}


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    words = f"observation, {found['items']:,} data items every {EVERY * 1000:g} ms"
    cpu, rate = found["gateway_cpu_us_per_observation"], found["observations_per_second"]
    return [Row("MTConnect", words, cpu, rate, found["lost"])]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument("--agent", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.agent:
        asyncio.run(_agent(options.agent, options.machines))
        return 0
    found = run(options.seconds, options.machines)
    print(json.dumps({"adapter": "mtconnect", **found}))
    return int(bool(found["lost"] or found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
