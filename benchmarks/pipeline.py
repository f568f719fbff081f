"""The whole path under load: devices → gateway → journal → MQTT → subscriber, every value verified, CPU measured.

    script/bench pipeline --devices 100 --registers 1000 --change all --rate max --seconds 20 --json

CPU is that of the gateway (all its processes and threads, user and system) over the window, divided by the points that
reached the subscriber in it. The journal is on a real disk with synchronous=FULL, the broker is Mosquitto, QoS 1.
Afterwards the gateway is stopped in order, and what was served is held against what arrived, from the first read to
the last. The last line of output is one JSON object. Exit code 1: something was lost, wrong or came twice; 2: it could
not run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.floor import Floor
from benchmarks.pattern import Pattern, parse_change
from benchmarks.processes import ROOT, Child, Plant, Setting, Unfit, plant, run_folder
from benchmarks.slower import slower
from gateway.config.fields import format_duration, parse_duration

_DRAIN = 30.0
_SLICE = 3.0
"""A window is looked at in slices of about this many seconds, to show the spread."""


@dataclass(frozen=True)
class Sample:
    """Everything that counts upwards, at one moment."""

    time: float
    cpu: float
    others: dict[str, float]
    points: int
    wire_bytes: int
    batches: int
    frames: int
    read: int

    @classmethod
    def take(cls, run: Plant, question: str = "mark") -> Sample:
        """Ask everybody at the same moment, or nearly."""
        others: list[Child] = [run.devices, run.broker, *run.subscribers]
        mark = run.subscriber.ask(question)
        return cls(
            time.monotonic(),
            run.gateway.cpu_seconds(),
            {child.name: child.cpu_seconds() for child in others},
            mark["points"],
            mark["wire_bytes"],
            mark["batches"],
            mark["frames"],
            run.devices.registers_served(),
        )


def measure(
    setting: Setting, folder: Path, seconds: float, warm_up: float, *, floor: bool = False, core_share: float = 0.0
) -> dict[str, Any]:
    """Run one workload; the result as it is printed. ``floor``: the C program of floor.c in the gateway's place.

    ``core_share``: see slower.py; 0: the gateway's processes run as they like.
    """
    with plant(setting, folder) as run:
        if floor:
            run.gateway = Floor(run)
        run.gateway.start()
        started = run.wait_for_data()
        with slower(run.gateway.workers() or [run.gateway.pid], core_share) if core_share else nullcontext():
            time.sleep(warm_up)
            samples = [Sample.take(run, "window")]
            slices = max(1, round(seconds / _SLICE))
            for number in range(slices):
                time.sleep(max(0.0, samples[0].time + seconds * (number + 1) / slices - time.monotonic()))
                samples.append(Sample.take(run))
        ages = run.subscriber.ask("report")["ages"]
        memory, peak = run.gateway.memory_mb()
        return _figures(samples) | {
            "rss_mb": round(memory, 1),
            "rss_peak_mb": round(peak, 1),
            "latency_ms": ages.get("since_stamp_ms"),
            "latency_since_answer_ms": ages.get("since_answer_ms"),
            "first_data_s": round(started, 2),
            **end(run),
        }


def end(run: Plant) -> dict[str, Any]:
    """Stop the gateway in order, and hold what was served against what arrived, in the whole run and on all lanes."""
    stopped = run.gateway.stop(_DRAIN)
    code = run.gateway.process.returncode if run.gateway.process else None
    reports = []
    for subscriber in run.subscribers:
        subscriber.settle(1.0, 30.0)
        reports.append(subscriber.ask("report"))
    board = run.devices.board
    result = _judgement(reports) | {
        "stop_s": round(stopped, 2),
        "exit_code": code,
        "refused_requests": int(board.array[board.REFUSED]),
        "connections": int(board.array[board.CONNECTIONS]),
    }
    if code:
        result["notes"].append(f"the gateway ended with {code}: {run.gateway.tail(500)}")
    return result


def _figures(samples: list[Sample]) -> dict[str, Any]:
    first, last = samples[0], samples[-1]
    seconds, cpu = last.time - first.time, last.cpu - first.cpu
    points, read = last.points - first.points, last.read - first.read

    def micro(cpu: float, count: int) -> float | None:
        return round(cpu * 1e6 / count, 4) if count else None

    return {
        "points_per_s": round(points / seconds),
        "points_read_per_s": round(read / seconds),
        "cpu_us_per_point": micro(cpu, points),
        "cpu_us_per_point_read": micro(cpu, read),
        "cpu_percent": round(100 * cpu / seconds, 1),
        "cpu_us_per_point_slices": [
            micro(after.cpu - before.cpu, after.points - before.points) for before, after in pairwise(samples)
        ],
        "cpu_percent_others": {
            name: round(100 * (last.others[name] - first.others[name]) / seconds, 1) for name in last.others
        },
        "bytes_per_point": round((last.wire_bytes - first.wire_bytes) / points, 3) if points else None,
        "batches_per_s": round((last.batches - first.batches) / seconds, 1),
        "frames_per_s": round((last.frames - first.frames) / seconds, 1),
        "window_s": round(seconds, 2),
    }


def _judgement(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """What was found in the whole run, all lanes together."""
    total = {
        name: sum(report[name] for report in reports)
        for name in ("lost", "duplicated", "repeated", "wrong", "unreadable", "bad_quality", "points")
    }
    total["points_in_all"] = total.pop("points")
    return total | {
        "holes": sum(len(report["holes"]) for report in reports),
        "gaps": sum(len(report["gaps"]) for report in reports),
        "gap_reasons": sorted({gap["reason"] for report in reports for gap in report["gaps"]}),
        "notes": [note for report in reports for note in report["notes"]],
    }


def sound(result: dict[str, Any]) -> bool:
    """True when nothing was lost, wrong, repeated, unreadable or bad, and something arrived."""
    faults = ("lost", "duplicated", "wrong", "unreadable", "bad_quality", "holes", "refused_requests")
    return not any(result[name] for name in faults) and bool(result["points_in_all"]) and not result["exit_code"]


def tell(measured: Callable[[Path], dict[str, Any]]) -> int:
    """Measure in a folder of its own, and print one JSON line. Exit code: 1 when it was not sound, 2 when not fit."""
    try:
        with run_folder() as folder:
            result = measured(folder)
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result | circumstances()))
    return 0 if sound(result) else 1


def circumstances() -> dict[str, Any]:
    """Where and with what it was measured."""
    packages = {}
    for name in ("uvloop", "msgspec", "numpy", "zstandard", "paho-mqtt", "aiomqtt"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "-"
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.machine()
    return {
        "commit": git.stdout.strip(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpu": cpu,
            "cores": os.cpu_count(),
            "kernel": platform.release(),
        },
        "versions": {"python": platform.python_version(), **packages},
    }


def table(workload: dict[str, Any], result: dict[str, Any]) -> None:
    """Print the result for people."""
    from rich.console import Console
    from rich.table import Table

    found = Table("", "", title=" · ".join(f"{key} {value}" for key, value in workload.items()), show_header=False)
    for key, value in result.items():
        if key not in {"notes", "machine", "versions"}:
            found.add_row(key, json.dumps(value) if isinstance(value, dict | list) else str(value))
    Console().print(found)
    for note in result["notes"]:
        Console().print(f"[red]{note}")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100, help="simulated devices (default 100)")
    parser.add_argument("--registers", type=int, default=1000, help="16-bit registers per device (default 1000)")
    parser.add_argument("--change", default="all", help="registers that change per poll: all, none, or e.g. 1%%")
    parser.add_argument("--rate", default="max", help="scan rate, such as 1s or 100ms; max: back to back")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the window that is measured")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds between the first data and the window")
    parser.add_argument("--units-per-port", type=int, default=1, help="devices that share a connection, by unit id")
    parser.add_argument("--lanes", type=int, default=1, help="platforms, each with its own verifying subscriber")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the devices (default 1)")
    parser.add_argument(
        "--core-share", default="", help="each process of the gateway gets so much of a core, e.g. 25%%"
    )
    parser.add_argument("--pipeline", type=int, default=8, help="requests on the wire per connection (default 8)")
    parser.add_argument("--linger", default=None, help="the bus's linger, if not its default")
    parser.add_argument("--floor", action="store_true", help="a plain C loop in the gateway's place, for comparison")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--keep", action="store_true", help="keep configuration, journal and logs of the run")
    options = parser.parse_args(arguments)
    workload = {
        name: getattr(options, name.replace("-", "_"))
        for name in (
            "devices",
            "registers",
            "change",
            "rate",
            "seconds",
            "units-per-port",
            "pipeline",
            "lanes",
            "workers",
        )
    }
    try:
        scan = "0s" if options.rate == "max" else format_duration(parse_duration(options.rate))
        pattern = Pattern(options.devices, options.registers, parse_change(options.change))
        core_share = float(parse_change(options.core_share)) if options.core_share else 0.0
    except ValueError as error:
        parser.error(f"expected {error}" if "expected" not in str(error) else str(error))
    setting = Setting(
        pattern,
        scan=scan,
        units_per_port=options.units_per_port,
        lanes=options.lanes,
        workers=options.workers,
        connection={"pipeline": options.pipeline},
        bus={"linger": options.linger} if options.linger else {},
    )
    try:
        with run_folder(options.keep) as folder:
            result = measure(
                setting, folder, options.seconds, options.warm_up, floor=options.floor, core_share=core_share
            )
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if core_share:
        workload |= {"core-share": options.core_share}
    workload |= {"measured": "floor" if options.floor else "gateway"}
    result |= {"workload": workload, **circumstances()}
    if not options.json:
        table(workload, result)
    print(json.dumps(result))
    return 0 if sound(result) else 1


if __name__ == "__main__":
    sys.exit(main())
