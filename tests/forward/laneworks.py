"""What the lane tests share: a bus with numbered values on it, a lane to an MQTT broker, an end in order."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.bus import Bus, open_bus
from gateway.config.root import BusConfig, BusKind, LaneConfig
from gateway.forward.deadletters import Spool
from gateway.forward.lane import Lane, Retry
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType
from gateway.sinks import make_sink, sink_model

QUICK = Retry(0.05, 0.3)
COUNTER = Schema("press-1", "fast", (Column(DataType.INT64, ("count",)), Column(DataType.STRING, ("text",))))


@asynccontextmanager
async def memory_bus(folder: Path, **settings):
    config = BusConfig.model_validate({"kind": BusKind.MEMORY, "linger": "5ms", **settings})
    async with open_bus(config, "gw", folder) as bus:
        yield bus


def put(bus: Bus, number: int, text: str = "", schema: Schema = COUNTER) -> None:
    identity = bus.define(schema)
    bus.publish(Frame(identity, number + 1, [struct.pack("<q", number), [text]]), 2)


async def put_batches(bus: Bus, first: int, count: int, text: str = "") -> None:
    """One batch for each number."""
    for number in range(first, first + count):
        put(bus, number, text)
        await bus.flush()


def make_lane(bus: Bus, folder: Path, port: int, *, sink: dict | None = None, **settings) -> Lane:
    config = LaneConfig.model_validate({"to": {}, **settings})
    given = {"host": "127.0.0.1", "port": port, "ack_timeout": "5s", "connect_timeout": "1s"} | (sink or {})
    target = make_sink("mqtt", sink_model("mqtt").model_validate(given), "gw", "cloud")
    return Lane("cloud", config, bus, target, "gw", Spool(folder / "dead"), link=QUICK, refusal=QUICK)


@asynccontextmanager
async def running(lane: Lane):
    task = asyncio.create_task(lane.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and task.exception():
        raise task.exception()


def counts(rows) -> list[int]:
    return [value for tag, value in rows if tag == "count"]
