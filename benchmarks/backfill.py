"""Backfill: the broker was down, comes back, and the backlog drains while live data flows.

    script/bench backfill --outage 10

The lane has ``order: fresh_first``. From the first message after the outage to the last that is older than it: points
of backlog per second; and the age on arrival of what was read meanwhile, or in the first two seconds where the drain is
shorter. A live frame that waits behind the backlog shows in their p99. What was under way when the broker went is sent
again under the same number, and counted apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from benchmarks.pattern import Pattern
from benchmarks.pipeline import end, tell
from benchmarks.processes import Plant, Setting, Unfit, plant

PATIENCE: Final = 120.0
STEADY: Final = 2.0
CACHE: Final = 2_000_000
"""Bytes of batches that the bus may keep in memory: the backlog is to come from the disk."""
PER_SECOND: Final = 1_000_000
"""Points: 100 × 1,000 registers every 100 ms."""
LOOK_EVERY: Final = 0.05


def measure(folder: Path, outage: float, *, order: str = "fresh_first") -> dict[str, Any]:
    """One outage of ``outage`` seconds, with PER_SECOND points read a second."""
    pattern = Pattern(100, 1000, Fraction(1))
    with plant(Setting(pattern, scan="100ms", lane={"order": order}, bus={"cache": CACHE}), folder) as run:
        run.gateway.start()
        run.wait_for_data()
        time.sleep(STEADY)
        run.broker.stop(10.0)
        down = time.time_ns()
        time.sleep(outage)
        run.broker.start()
        began, cpu = time.monotonic(), run.gateway.cpu_seconds()
        before = run.subscriber.ask("window")["points"]
        _until(run, lambda: run.subscriber.ask("mark")["points"] > before)
        _until(run, lambda: run.devices.registers_served() - run.subscriber.ask("mark")["points"] < PER_SECOND)
        time.sleep(STEADY)
        seconds, spent = time.monotonic() - began, run.gateway.cpu_seconds() - cpu
        drain = run.subscriber.ask(f"drain {down}")
        points = drain["points"] - before
        backlog = drain["backlog_frames"] * pattern.registers
        memory, peak = run.gateway.memory_mb()
        result = {
            "outage_s": outage,
            "backlog_points": backlog,
            "drain_s": round(drain["drain_s"], 2),
            "backlog_points_per_s": round(backlog / drain["drain_s"]) if drain["drain_s"] else None,
            "live_frames": drain["live_frames"],
            "live_latency_ms": drain.get("live_latency_ms"),
            "points_read_per_s": PER_SECOND,
            "cpu_us_per_point": round(1e6 * spent / points, 4) if points else None,
            "cpu_percent": round(100 * spent / seconds, 1),
            "rss_mb": round(memory, 1),
            "rss_peak_mb": round(peak, 1),
            **end(run),
        }
    result["duplicated"] -= result["repeated"]  # sent, and not acknowledged when the broker went: known by the number
    told = f"{backlog:,} points of backlog in {result['drain_s']:g} s beside the live ones"
    return result | {"remark": told}


def _until(run: Plant, done: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not done():
        _ = run.gateway.running
        if time.monotonic() - began > PATIENCE:
            raise Unfit(f"not drained after {PATIENCE:g} s\n{run.gateway.tail()}")
        time.sleep(LOOK_EVERY)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=10.0, help="seconds that the broker is down")
    parser.add_argument("--order", choices=("fresh_first", "oldest_first"), default="fresh_first")
    options = parser.parse_args(arguments)
    return tell(lambda folder: measure(folder, options.outage, order=options.order))


if __name__ == "__main__":
    sys.exit(main())
