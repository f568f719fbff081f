"""What the bus costs: CPU of the process (user + system) for each frame and each point, journal at full speed.

    python benchmarks/bus.py [--kind journal] [--seconds 3] [--points 1000] [--rate 100] [--folder FOLDER]

Random values throughout, so that nothing compresses; one consumer fetches and acknowledges every batch. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.bus import open_bus
from gateway.config.root import BusConfig, BusKind
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType

BURST = 64
"""Frames made before the loop gets a turn."""


async def run(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    config = BusConfig(kind=BusKind(arguments.kind), path=Path("bench.db"), synchronous=arguments.synchronous)
    points = arguments.points
    # Made beforehand: making random bytes is not what is measured.
    columns = [[os.urandom(2 * points)] for _ in range(512)]
    names = tuple(f"t{number}" for number in range(points))
    delivered = 0
    async with open_bus(config, "bench", folder) as bus:
        schema = bus.define(Schema("device", "fast", (Column(DataType.UINT16, names),)))
        consumer = bus.consumer("lane")

        async def consume() -> None:
            nonlocal delivered
            while True:
                batch = await consumer.fetch()
                delivered += batch.points
                consumer.acknowledge(batch.seq)

        reading = asyncio.create_task(consume())
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        cpu = time.process_time()
        frames, in_publish = 0, 0.0
        count = max(1, round(arguments.rate / 100)) if arguments.rate else BURST
        while time.perf_counter() - started < arguments.seconds:
            now = time.time_ns()
            burst = [Frame(schema, now, columns[(frames + each) % 512]) for each in range(count)]
            begun = time.perf_counter()
            for frame in burst:
                bus.publish(frame, points)
            in_publish += time.perf_counter() - begun
            frames += count
            if arguments.rate:
                await asyncio.sleep(frames / arguments.rate - (time.perf_counter() - started))
            else:
                await (asyncio.sleep(0) if bus.has_room else bus.room())
        await bus.flush()
        while consumer.backlog:
            await asyncio.sleep(0.001)
        cpu = time.process_time() - cpu
        wall = time.perf_counter() - started
        reading.cancel()
        statistics = bus.statistics
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "kind": arguments.kind,
        "rate": arguments.rate or "max",
        "synchronous": arguments.synchronous,
        "frames": frames,
        "points": frames * points,
        "delivered": delivered,
        "points_per_s": round(frames * points / wall),
        "cpu_percent": round(100 * cpu / wall, 1),
        "cpu_us_per_frame": round(1e6 * cpu / frames, 3),
        "cpu_ns_per_point": round(1e9 * cpu / frames / points, 2),
        "publish_us": round(1e6 * in_publish / frames, 3),
        "batches": statistics.batches,
        "commits": statistics.commits,
        "commit_ms": round(1e3 * statistics.commit_seconds / max(1, statistics.commits), 3),
        "system_share": round((after.ru_stime - before.ru_stime) / cpu, 2),
        "rss_mb": round(after.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["journal", "memory"], default="journal")
    parser.add_argument("--synchronous", choices=["full", "normal", "off"], default="full")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0, help="frames a second, in bursts every 10 ms; 0: full speed")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None, help="where the journal is put; default: a new folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print(json.dumps(uvloop.run(run(arguments, Path(folder)))))


if __name__ == "__main__":
    main()
