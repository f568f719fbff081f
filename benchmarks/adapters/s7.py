"""What a value of an S7 controller costs: simulated CPUs, the gateway, a broker, a receiver that checks every value.

    script/bench adapters s7 --seconds 10 --devices 10 --layout scattered --scan 0s

Each CPU has 1,000 words, and a connection of its own. ``scattered``: each lies 120 bytes from the next, so that nothing
can be merged, and 20 to a request are the fewest: 50 requests a poll. ``block``: they lie side by side, which takes 3.
Each word is a random number of its own plus the count of reads that its CPU has served: no two words or CPUs are
alike, every value is new each time, and the values of one tag must be exactly one poll apart; one that is missing or
torn shows. The figure is CPU, user and system, of the gateway's process by value that was read, journal fully
synchronous, MQTT QoS 1. CPUs, broker and receiver share the other core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from adapters.s7 import adapter, models
from adapters.s7.simulator import Simulator
from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import ROOT, Unfit, run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.model.view import FrameView
from gateway.reader import Declared, Frames, Reader

TAGS: Final = 1000
STEP: Final = {"scattered": 120, "block": 2}
"""Bytes from one word to the next."""
FEWEST: Final = {"scattered": 50, "block": 3}
"""Requests below which nothing can go with a PDU of 960: 20 items in each, and 942 bytes in the only item."""
PER_BLOCK: Final = 500
WARM_UP: Final = 2.0


def tags(layout: str) -> list[dict[str, Any]]:
    """Tags of one CPU."""
    return [
        {"name": f"w{place}", "type": "uint16", "address": f"DB{1 + place // PER_BLOCK}.DBW{place % PER_BLOCK * step}"}
        for place in range(TAGS)
        for step in (STEP[layout],)
    ]


async def serve(devices: int, layout: str) -> None:
    """CPUs until standard input ends; tells their ports, and for each line how many reads they have served."""
    async with AsyncExitStack() as stack:
        plants = [await stack.enter_async_context(Simulator()) for _ in range(devices)]
        for number, plant in enumerate(plants):
            size = PER_BLOCK * STEP[layout]
            views = [np.frombuffer(plant.cpu.block(block, size), ">u2") for block in (1, 2)]

            noise = np.random.default_rng(number).integers(0, 65_536, len(views[0]), np.uint16)

            def count(cpu: Any, views: Any = views, noise: Any = noise) -> None:
                for view in views:
                    view[:] = noise + np.uint16(cpu.counters.reads & 0xFFFF)

            plant.cpu.on_read = count
        print(json.dumps({"ports": [plant.port for plant in plants]}), flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            found = [plant.counters for plant in plants]
            print(
                json.dumps(
                    {
                        "reads": sum(counters.reads for counters in found),
                        "in_flight_most": max(counters.in_flight_most for counters in found),
                        "pdu_most": max(counters.pdu_most for counters in found),
                        "sessions_most": max(counters.sessions_most for counters in found),
                    }
                ),
                flush=True,
            )


class Judge(Receiver):
    """Judges what has arrived."""

    def judge(self, step: int) -> dict[str, Any]:
        """Every value of every tag must be ``step`` reads behind the one before."""
        self.close()
        reader = Reader()
        seen: dict[str, list[np.ndarray[Any, Any]]] = {}
        bad, parts, gaps = 0, 0, set()
        for topic, payload in self.messages:
            for event in reader.feed(topic, payload):
                if isinstance(event, Declared):
                    gaps.add(event.gap.reason)
                for frame in event.frames if isinstance(event, Frames) else ():
                    if not isinstance(frame, FrameView) or frame.confirmed:
                        continue
                    bad += int(np.count_nonzero(frame.quality))
                    if frame.points == TAGS:  # every value is new, so every poll brings all of them
                        seen.setdefault(frame.device, []).append(np.array(frame.columns[0].values))
                    else:
                        parts += 1
        lost = wrong = 0
        for rows in seen.values():
            polls = np.diff(np.array(rows).astype(np.int32), axis=0) % 65_536 / step
            wrong += int(np.count_nonzero(polls % 1)) + int(np.count_nonzero(polls == 0))
            lost += int(np.sum(np.maximum(np.floor(polls) - 1, 0)))
        return {
            "points": sum(map(len, seen.values())) * TAGS,
            "lost": lost,
            "wrong": wrong,
            "frames_in_part": parts,
            "bad_quality": bad,
            "gaps": sorted(gaps),
        }


def configuration(ports: list[int], broker: int, layout: str, scan: str) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "profiles": {"plc": {"adapter": "s7", "scan": scan, "tags": tags(layout)}},
        "connections": {
            f"c{number}": {"adapter": "s7", "host": "127.0.0.1", "port": port, "timeout": "5s"}
            for number, port in enumerate(ports)
        },
        "devices": {f"d{number}": {"connection": f"c{number}", "profile": "plc"} for number in range(len(ports))},
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": broker}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def requests(layout: str) -> int:
    """Requests of one poll, as planned."""
    made = adapter(models.connection.model_validate({"adapter": "s7", "host": "127.0.0.1"}))
    device = models.device.model_validate({"connection": "c"})
    return len(made.plan(device, [models.tag.model_validate(tag) for tag in tags(layout)]).requests)


def run(seconds: float, devices: int = 10, layout: str = "scattered", scan: str = "0s") -> dict[str, object]:
    """Measure for some seconds, and wait until all has arrived."""
    per_poll = requests(layout)
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        receiver = Judge(broker.port)
        cpus = stack.enter_context(_cpus(folder, devices, layout))
        ports = cpus.hear()["ports"]
        (folder / "gateway.yaml").write_text(json.dumps(configuration(ports, broker.port, layout, scan)))
        gateway = stack.enter_context(Gateway(folder, folder / "gateway.yaml"))
        until = time.monotonic() + 60
        while not receiver.last:
            _ = gateway.running
            if time.monotonic() > until:
                raise Unfit(f"nothing arrives\n{gateway.tail()}")
            time.sleep(0.05)
        time.sleep(WARM_UP)
        before, cpu, began = cpus.ask("mark"), gateway.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        after, cpu, took = cpus.ask("mark"), gateway.cpu_seconds() - cpu, time.monotonic() - began
        memory = gateway.memory_mb()[1]
        gateway.stop(20.0)
        receiver.settle(2.0, began)
        reads = after["reads"] - before["reads"]
        points = reads / per_poll * TAGS
        return {
            "layout": layout,
            "devices": devices,
            "scan": scan,
            "requests_per_poll": per_poll,
            "fewest_possible": FEWEST[layout],
            "points_per_second": round(points / took),
            "requests_per_second": round(reads / took),
            "gateway_cpu_us_per_point": round(cpu / points * 1e6, 3),
            "gateway_cpu_us_per_request": round(cpu / reads * 1e6, 1),
            "gateway_cores": round(cpu / took, 2),
            "rss_mb": round(memory, 1),
            "in_flight_most": after["in_flight_most"],
            "pdu_most": after["pdu_most"],
            "sessions_most": after["sessions_most"],
            **receiver.judge(per_poll),
        }


def _cpus(folder: Path, devices: int, layout: str) -> Child:
    options = ["--serve", f"--devices={devices}", f"--layout={layout}"]
    return Child("cpus", [sys.executable, "-m", "benchmarks.adapters.s7", *options], folder)


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    layout = {"scattered": "scattered", "block": "side by side"}[found["layout"]]
    beside = f"{found['requests_per_poll']} requests a poll, {found['fewest_possible']} the fewest possible"
    words = f"point, {TAGS:,} words {layout}, back to back"
    cpu, rate = found["gateway_cpu_us_per_point"], found["points_per_second"]
    return [Row("S7", words, cpu, rate, found["lost"], beside)]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--devices", type=int, default=10, help="CPUs, each with 1,000 tags")
    parser.add_argument("--layout", choices=tuple(STEP), default=None, help="default: both, one after the other")
    parser.add_argument("--scan", default="0s", help="0s: as fast as the CPUs answer")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.devices, options.layout))
        return 0
    sound = True  # the gap "restart" tells of polls that were under way when the gateway was told to stop
    for layout in STEP if options.layout is None else (options.layout,):
        found = run(options.seconds, options.devices, layout, options.scan)
        print(json.dumps({"adapter": "s7", **found}))
        sound &= not (
            found["lost"]
            or found["wrong"]
            or found["frames_in_part"]
            or found["bad_quality"]
            or found["gaps"] not in ([], ["restart"])
        )
    return 0 if sound else 1


if __name__ == "__main__":
    assert ROOT.is_dir()
    sys.exit(main())
