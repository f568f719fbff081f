"""What it costs to take in what a device pushes: single samples the short way, the same through arrays, and columns.

    script/bench arrivals

Runs in one process, without journal and lanes: CPU (user + system) per call and per value, from the feed's normaliser
to the frame.

- ``sample``: 4 tags of one device in each call, all changing; ``ruled``: the same tags, one with a deadband;
- ``failing``: the same, and one tag is bad each time, so that the arrays are needed;
- ``column``: 10,000 tags in each call.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.pipeline import circumstances
from gateway.collect.arrivals import Arrivals
from gateway.config.base import Report, TagConfig
from gateway.model.quality import Quality
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Push

SAMPLES: Final = 100_000
COLUMNS: Final = 200
WIDE: Final = 10_000


def _tags(*kinds: str, **more: Any) -> list[TagConfig]:
    found = [{"name": f"t{place}", "type": kind} for place, kind in enumerate(kinds)]
    return [TagConfig.model_validate(tag | (more if place == 0 else {})) for place, tag in enumerate(found)]


def _arrivals(tags: list[TagConfig]) -> Arrivals:
    return Arrivals("d", "1s", tags, Plan((), push=Push()), Report.CHANGE, 0)


def _timed(count: int, step: Callable[[int], object]) -> float:
    """CPU seconds of one step."""
    for number in range(count // 10):
        step(number)
    began = time.process_time()
    for number in range(count, 2 * count):
        step(number)
    return (time.process_time() - began) / count


def measure() -> dict[str, float]:
    """µs of CPU."""
    kinds = ("float64", "float64", "int32", "bool")
    found: dict[str, float] = {}
    bad = {3: Quality.SENSOR_FAILURE}
    for name, more, failures, count in (
        ("sample", {}, None, SAMPLES),
        ("ruled", {"deadband": "0.1"}, None, SAMPLES),
        ("failing", {}, bad, SAMPLES // 10),
    ):
        made = _arrivals(_tags(*kinds, **more))

        def one(number: int, made: Arrivals = made, failures: dict[int, Quality] | None = failures) -> object:
            values = {0: number * 0.5, 1: number * 1.5, 2: number, 3: number % 2 == 0}
            return made.sample(values, failures, number, number, number, replayed=False)

        seconds = _timed(count, one)
        found |= {f"{name}_us": round(1e6 * seconds, 3), f"{name}_us_per_value": round(1e6 * seconds / 4, 4)}
    made = _arrivals(_tags(*["float64"] * WIDE))
    tags, columns = np.arange(WIDE), [np.random.default_rng(seed).random(WIDE) for seed in range(8)]

    def column(number: int) -> object:
        times = np.full(WIDE, number, np.int64)
        return made.put(tags, columns[number % 8], None, times, number, number, replayed=False)

    seconds = _timed(COLUMNS, column)
    return found | {"column_us": round(1e6 * seconds, 1), "column_us_per_value": round(1e6 * seconds / WIDE, 5)}


def main() -> int:
    """Command line: no options."""
    found = measure()
    for name, value in found.items():
        print(f"{name:<24}{value:>12}")
    print(json.dumps(found | circumstances()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
