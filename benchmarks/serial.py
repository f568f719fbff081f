"""RTU: serial lines at their real speed, the CPU that a request costs; judged like every other run.

    script/bench serial --lines 8 --units 4 --baud 115200 --seconds 10

Simulated units answer over pseudo-terminals after the time that the bytes take on such a line. A line then carries
about 40 reads of 125 registers a second, whoever reads: what is measured is what the gateway spends on them.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks import pipeline
from benchmarks.pattern import Pattern
from benchmarks.processes import Setting


def measure(folder: Path, seconds: float, *, lines: int = 8, units: int = 4, baud: int = 115_200) -> dict[str, Any]:
    """Poll all units back to back for a while."""
    pattern = Pattern(lines * units, 125, Fraction(1))
    setting = Setting(pattern, scan="0s", units_per_port=units, baud=baud)
    result = pipeline.measure(setting, folder, seconds, min(2.0, seconds))
    requests = result["points_read_per_s"] / pattern.width
    cost = 1e4 * result["cpu_percent"] / requests if requests else 0.0
    return result | {
        "requests_per_s": round(requests, 1),
        "cpu_us_per_request": round(cost, 1),
        "remark": f"{requests:.0f} requests/s, {cost:.0f} µs each",
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--units", type=int, default=4, help="devices on each line")
    parser.add_argument("--baud", type=int, default=115_200)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    return pipeline.tell(
        lambda folder: measure(folder, options.seconds, lines=options.lines, units=options.units, baud=options.baud)
    )


if __name__ == "__main__":
    sys.exit(main())
