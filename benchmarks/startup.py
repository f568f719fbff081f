"""Start-up: from exec to the first committed batch, and until every tag has reached the subscriber; memory then.

    script/bench startup --devices 100 --registers 1000

The gateway is started with an empty journal. Commit: the first batch that a second reader of the journal file can see.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from benchmarks.pattern import Pattern
from benchmarks.pipeline import end, tell
from benchmarks.processes import Plant, Setting, Unfit, plant

PATIENCE: Final = 60.0
LOOK_EVERY: Final = 0.02


def measure(devices: int, registers: int, units_per_port: int, folder: Path, seconds: float) -> dict[str, Any]:
    """Start, wait until everything has arrived once, run on for ``seconds``, stop, judge."""
    pattern = Pattern(devices, registers, Fraction(1))
    with plant(Setting(pattern, units_per_port=units_per_port), folder) as run:
        run.gateway.start()
        began = time.monotonic()
        committed = _until(run, lambda: _committed(run, folder / "journal.db"), began)
        delivered = _until(run, lambda: run.subscriber.ask("mark")["points"] >= devices * registers, began)
        cpu = run.gateway.cpu_seconds()
        time.sleep(seconds)
        memory, peak = run.gateway.memory_mb()
        result = {
            "first_commit_s": round(committed, 2),
            "all_delivered_s": round(delivered, 2),
            "cpu_s": round(cpu, 2),
            "rss_mb": round(memory, 1),
            "rss_peak_mb": round(peak, 1),
            **end(run),
        }
    remark = "first commit after {first_commit_s} s, all tags delivered after {all_delivered_s} s, {cpu_s} s of CPU"
    return result | {"remark": remark.format(**result)}


def _until(run: Plant, done: Callable[[], bool], began: float) -> float:
    while not done():
        _ = run.gateway.running
        if time.monotonic() - began > PATIENCE:
            raise Unfit(f"not ready after {PATIENCE:g} s\n{run.gateway.tail()}")
        time.sleep(LOOK_EVERY)
    return time.monotonic() - began


def _committed(run: Plant, journal: Path) -> bool:
    """True when a batch can be seen in the journal, or was there and has been delivered already."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=0)) as reader:
            if reader.execute("SELECT 1 FROM batch LIMIT 1").fetchone():
                return True
    except sqlite3.Error:
        pass  # it is just being made
    return bool(run.subscriber.ask("mark")["points"])


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--registers", type=int, default=1000)
    parser.add_argument("--units-per-port", type=int, default=1)
    options = parser.parse_args(arguments)
    return tell(lambda folder: measure(options.devices, options.registers, options.units_per_port, folder, 1.0))


if __name__ == "__main__":
    sys.exit(main())
