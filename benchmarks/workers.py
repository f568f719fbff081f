"""Workers: what a second process brings, where each has CPU time that nobody else wants.

    script/bench workers --pairs 3

Runs 100 × 1,000 registers back to back with one worker and with two, in turn. Each worker is given the same share of a
core (benchmarks/slower.py), so that devices, broker and subscriber find what they need even on two cores. ``speed_up``
is the median of the ratios, pair by pair; loss is that of all runs together.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import pipeline
from benchmarks.pattern import Pattern
from benchmarks.pipeline import tell
from benchmarks.processes import Setting

SHARE: Final = 0.2
"""Of a core, for each worker."""
ADDED: Final = ("lost", "wrong", "duplicated", "unreadable", "bad_quality", "holes", "refused_requests", "exit_code")


def measure(folder: Path, seconds: float, *, pairs: int = 3) -> dict[str, Any]:
    """So many pairs of runs, each with a window of ``seconds``."""
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for number in range(pairs):
        for workers, found in runs.items():
            inside = folder / f"{workers}-{number}"
            inside.mkdir()
            setting = Setting(Pattern(100, 1000, Fraction(1)), scan="0s", workers=workers)
            found.append(pipeline.measure(setting, inside, seconds, 1.0, core_share=SHARE))
    rates = {workers: [run["points_per_s"] for run in found] for workers, found in runs.items()}
    ratios = [round(two / one, 2) for one, two in zip(rates[1], rates[2], strict=True)]
    everything = [run for found in runs.values() for run in found]
    millions = [f"{median(found) / 1e6:.1f}" for found in rates.values()]
    return runs[2][-1] | {name: sum(run[name] for run in everything) for name in ADDED} | {
        "speed_up": median(ratios),
        "speed_ups": ratios,
        "points_per_s_by_workers": rates,
        "remark": f"{millions[0]} → {millions[1]} million points/s; by pairs {', '.join(map(str, ratios))}",
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each window")
    options = parser.parse_args(arguments)
    return tell(lambda folder: measure(folder, options.seconds, pairs=options.pairs))


if __name__ == "__main__":
    sys.exit(main())
