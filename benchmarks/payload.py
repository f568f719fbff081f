"""CPU of the way out: batches of random bytes of a given size, from the bus's memory through a lane to a Mosquitto.

    python -m benchmarks.payload [--size 200kB] [--batches 500] [--window 16] [--payload columnar|json]

Every batch is committed before the lane starts, so that nothing but fetch, encode, publish and acknowledge is counted.
The last line is one JSON object: CPU and wall microseconds a batch in this process, and what each codec costs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

import uvloop

from benchmarks.processes import Broker, run_folder
from gateway.bus import Bus, open_bus
from gateway.config.fields import parse_size
from gateway.config.root import BusConfig, LaneConfig
from gateway.forward.lane import PAYLOADS, Lane
from gateway.model.batch import Batch, encode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from gateway.sinks import make_sink, sink_model

TAGS = 1000
TENTHS = Schema("bench", "g", (Column(DataType.INT16, tuple(f"r{n}" for n in range(TAGS)), divide=(10.0,) * TAGS),))


def frames(bus: Bus, size: int) -> list[Frame]:
    """As many frames of 1,000 random registers as make up ``size`` bytes."""
    identity = bus.define(TENTHS)
    return [Frame(identity, time.time_ns(), [os.urandom(2 * TAGS)]) for _ in range(max(1, size // (2 * TAGS)))]


async def deliver(folder: Path, port: int, arguments: argparse.Namespace) -> dict[str, float]:
    unbounded = {"batch_bytes": 1 << 30, "batch_frames": 65_536, "linger": "1h", "limit": 1 << 40, "cache": 1 << 40}
    config = BusConfig.model_validate({"kind": "memory"} | unbounded)
    async with open_bus(config, "bench", folder) as bus:
        for _ in range(arguments.batches):
            for frame in frames(bus, arguments.size):
                bus.publish(frame, TAGS)
            await bus.flush()
        target = sink_model("mqtt").model_validate({"host": "127.0.0.1", "port": port})
        sink = make_sink("mqtt", target, "bench", "lane")
        settings = LaneConfig.model_validate({"to": {}, "window": arguments.window, "payload": arguments.payload})
        lane = Lane("lane", settings, bus, sink, "bench", folder / "dead")
        task = asyncio.create_task(lane.run())
        while not lane.status.connected:
            await asyncio.sleep(0.001)
        cpu, wall = time.process_time(), time.perf_counter()
        done = lane.status.batches
        while lane.status.batches < arguments.batches:
            await asyncio.sleep(0.005)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        count = arguments.batches - done
        status = lane.status
        task.cancel()
        await asyncio.wait([task])
        return {
            "cpu_us_per_batch": round(cpu / count * 1e6, 1),
            "wall_us_per_batch": round(wall / count * 1e6, 1),
            "cpu_us_per_point": round(cpu / status.points * 1e6, 4),
            "mb_per_s": round(status.payload_bytes / wall / 1e6, 1),
            "resent": status.resent,
        }


def encode_alone(size: int) -> dict[str, float]:
    """Microseconds of CPU that each codec takes for one batch."""
    identity = schema_id(TENTHS.encode())
    values = [Frame(identity, 0, [os.urandom(2 * TAGS)]) for _ in range(max(1, size // (2 * TAGS)))]
    batch = Batch(1, 1, encode_body(values), len(values), TAGS * len(values), 0, 0, (identity,))
    found = {}
    for name, make in PAYLOADS.items():
        payload, rounds = make("bench"), 200 if name == "columnar" else 3
        start = time.process_time()
        for _ in range(rounds):
            payload.encode(batch, 1 << 28, {identity: TENTHS.encode()})
        found[f"{name}_us_per_batch"] = round((time.process_time() - start) / rounds * 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=200_000)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--payload", choices=sorted(PAYLOADS), default="columnar")
    arguments = parser.parse_args()
    with run_folder() as folder:
        broker = Broker(folder)
        broker.start()
        try:
            result = uvloop.run(deliver(folder, broker.port, arguments))
        finally:
            broker.kill()
    print(json.dumps({"size": arguments.size, "batches": arguments.batches} | result | encode_alone(arguments.size)))


if __name__ == "__main__":
    main()
