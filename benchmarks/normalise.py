"""CPU cost of normalisation alone: µs per poll and ns per point, for several kinds of change. One core, no I/O.

Run: python -m benchmarks.normalise
"""

from __future__ import annotations

import json
from time import process_time

import numpy as np

from gateway.collect.normalise import Normaliser
from gateway.config.base import Report, TagConfig
from gateway.model.types import DataType
from gateway.sdk.adapter import Plan, Readings, Request
from gateway.wire.registers import Field, RegisterTable

REGISTERS = 1000
POLLS = 5000


def measure(change: float, deadband: float = 0) -> dict[str, float]:
    """Poll an image in which a share of the registers changes each time."""
    fields = [Field(DataType.UINT16, (2 * place + 1, 2 * place)) for place in range(REGISTERS)]
    table = RegisterTable(2 * REGISTERS, fields)
    tags = [
        TagConfig.model_validate({"name": f"r{place}", "type": "uint16", "scale": 0.1, "deadband": deadband})
        for place in range(REGISTERS)
    ]
    normaliser = Normaliser("d", "1s", tags, Plan([Request(tuple(range(REGISTERS)))], table), Report.CHANGE, 60)
    readings = Readings(REGISTERS, table)
    random = np.random.default_rng(1)
    images = []
    image = random.integers(0, 256, 2 * REGISTERS, np.uint8)
    for _ in range(64):
        places = random.random(REGISTERS) < change
        image = image.copy()
        image[1::2][places] += 100
        images.append(image.tobytes())
    points = 0
    started = process_time()
    for poll in range(POLLS):
        readings.image[:-1] = images[poll % 64]  # type: ignore[index]
        points += sum(count for _, count in normaliser.frames(readings, poll, poll))
    cost = process_time() - started
    return {
        "change": change,
        "deadband": deadband,
        "us_per_poll": round(cost / POLLS * 1e6, 2),
        "ns_per_point_read": round(cost / POLLS / REGISTERS * 1e9, 2),
        "points_reported": points,
    }


if __name__ == "__main__":
    rows = [measure(1.0), measure(0.01), measure(0.0), measure(1.0, deadband=0.5), measure(0.01, deadband=0.5)]
    for row in rows:
        print(row)
    print(json.dumps({"registers": REGISTERS, "polls": POLLS, "rows": rows}))
