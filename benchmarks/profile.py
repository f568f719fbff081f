"""Where the CPU of the gateway goes: a sampling profile of the real process at work, summed up by step.

    script/bench profile                    three workloads, a table and one JSON line
    script/bench profile small --lines 30   one of them, and the lines of code that cost most

py-spy (`pip install py-spy`, bench only) looks at the process from outside 250 times a second, all threads, and
counts only threads that run. A sample belongs to the step of the innermost frame that a row of STEPS knows, so what a
C function costs (numpy, SQLite, zstd, the loop) is the cost of the line that called it. Shares are of samples; the CPU
time they are shares of is measured beside it, without the profiler.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from benchmarks.pattern import Pattern
from benchmarks.pipeline import circumstances
from benchmarks.processes import Setting, Unfit, plant, run_folder

SAMPLES_PER_SECOND: Final = 250

WORKLOADS: Final[dict[str, Setting]] = {
    "max": Setting(Pattern(100, 1000, Fraction(1)), scan="0s"),
    "steady": Setting(Pattern(100, 1000, Fraction(1)), scan="1s"),
    "small": Setting(Pattern(5000, 20, Fraction(1)), scan="1s", units_per_port=50),
}
TITLES: Final = {
    "max": "100 × 1,000, back to back",
    "steady": "100 × 1,000 at 1 s",
    "small": "5,000 × 20 at 1 s",
}

STEPS: Final[tuple[tuple[str, str], ...]] = (
    (r"gateway/wire/registers|gateway/collect/(normalise|report|ranges|reading)", "normalise: gather, compare, pack"),
    (r"adapters/modbus/", "Modbus: requests, answers"),
    (r"gateway/wire/", "link: exchange, time-out, socket write"),
    (r"gateway/collect/", "endpoint: schedule, queue, states"),
    (r"gateway/model/batch|gateway/bus/batcher", "bus: MessagePack, zstd"),
    (r"gateway/bus/(journal|store|ledger|rows|layout|writer|reserve|retention)", "bus: SQLite, fsync"),
    (r"gateway/bus/", "bus: gather, wake, position"),
    (r"gateway/forward/", "lane: fetch, acknowledge"),
    (r"gateway/sinks/|aiomqtt|paho/", "MQTT"),
    (r"gateway/observe/", "metrics, log"),
)
"""Pattern of a frame's file → step. The first row that fits a frame wins; the innermost frame that any row fits."""
WAITING: Final = re.compile(r"(_worker \(concurrent/futures/thread\.py:\d+\)|wait \(threading\.py:\d+\))$")
"""A thread that waits for work: asleep, whatever the profiler makes of it."""
LOOP: Final = "event loop: sockets, timers, wake-ups"
_FRAME: Final = re.compile(r"^(?P<name>.*) \((?P<file>.*?)(?::(?P<line>\d+))?\)$")


def step_of(stack: str) -> str:
    """Step that a stack (outermost frame first, joined by semicolons) belongs to."""
    for frame in reversed(stack.split(";")):
        for pattern, step in STEPS:
            if re.search(pattern, frame):
                return step
    return LOOP


def profiler() -> str:
    """Path of py-spy. Raises Unfit where there is none."""
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found is None:
        raise Unfit("py-spy is not installed: pip install py-spy, or set PATH to where it is")
    return found


def sample(setting: Setting, folder: Path, seconds: float, warm_up: float) -> dict[str, Any]:
    """Profile one workload: samples by step and by line, and the CPU cost per point just before."""
    program = profiler()
    with plant(setting, folder) as run:
        run.gateway.start()
        run.wait_for_data()
        time.sleep(warm_up)
        began, cpu, points = time.monotonic(), run.gateway.cpu_seconds(), run.devices.registers_served()
        time.sleep(seconds / 2)
        took, cpu = time.monotonic() - began, run.gateway.cpu_seconds() - cpu
        points = run.devices.registers_served() - points
        raw = folder / "profile.txt"
        command = [program, "record", "--pid", str(run.gateway.pid), "--duration", str(round(seconds))]
        command += ["--rate", str(SAMPLES_PER_SECOND), "--format", "raw", "--output", str(raw)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode or not raw.exists():
            raise Unfit(f"py-spy could not look at the gateway: {made.stderr[-300:]}")
        stacks = Counter[str]()
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            if not WAITING.search(stack):
                stacks[stack] += int(count)
    return summed(stacks) | {
        "cpu_us_per_point": round(1e6 * cpu / points, 4) if points else None,
        "cpu_percent": round(100 * cpu / took, 1),
    }


def summed(stacks: Counter[str]) -> dict[str, Any]:
    """Shares of steps, and of single lines."""
    total = max(1, sum(stacks.values()))
    steps, lines = Counter[str](), Counter[str]()
    for stack, count in stacks.items():
        steps[step_of(stack)] += count
        found = _FRAME.match(stack.rpartition(";")[2])
        if found is not None:
            lines[f"{'/'.join(Path(found['file']).parts[-3:])}:{found['line']} {found['name']}"] += count
    return {
        "samples": total,
        "steps": {step: round(count / total, 4) for step, count in steps.most_common()},
        "lines": {line: round(count / total, 4) for line, count in lines.most_common(60)},
    }


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Table for the documentation: a row per step, a column per workload, in ns of CPU per point and per cent."""
    steps = sorted({step for each in found.values() for step in each["steps"]}, key=lambda step: -_weight(found, step))
    head = "| step | " + " | ".join(TITLES.get(name, name) for name in found) + " |"
    rows = [head, "|---" * (len(found) + 1) + "|"]
    for step in steps:
        shares = [each["steps"].get(step, 0.0) for each in found.values()]
        costs = [
            1000 * share * (each["cpu_us_per_point"] or 0) for share, each in zip(shares, found.values(), strict=True)
        ]
        cells = [f"{cost:,.0f} ns · {share:.0%}" for cost, share in zip(costs, shares, strict=True)]
        rows.append(f"| {step} | " + " | ".join(cells) + " |")
    totals = [f"**{1000 * (each['cpu_us_per_point'] or 0):,.0f} ns**" for each in found.values()]
    rows.append("| **a point** | " + " | ".join(totals) + " |")
    return "\n".join(rows)


def _weight(found: dict[str, dict[str, Any]], step: str) -> float:
    return sum(each["steps"].get(step, 0.0) for each in found.values())


def tables(share: float) -> str:
    """Measure all workloads; the table for the documentation."""
    found = {}
    for name, setting in WORKLOADS.items():
        with run_folder() as folder:
            found[name] = sample(setting, folder, max(2.0, 6.0 * share), 2.0)
    return markdown(found)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="*", help=f"some of {', '.join(WORKLOADS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each profile")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds between the first data and the profile")
    parser.add_argument("--lines", type=int, default=0, help="also show this many of the costliest lines")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args(arguments)
    if unknown := set(options.workload) - WORKLOADS.keys():
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    found = {}
    try:
        for name in options.workload or WORKLOADS:
            with run_folder() as folder:
                found[name] = sample(WORKLOADS[name], folder, options.seconds, options.warm_up)
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not options.json:
        print(markdown(found))
        for name, each in found.items():
            for line, share in list(each["lines"].items())[: options.lines]:
                print(f"{name:8}{share:7.1%}  {line}")
    print(json.dumps({"profile": found, **circumstances()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
