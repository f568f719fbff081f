"""All speed scenarios in one go, each against the verifying subscriber; a table, a JSON line, the tables of the docs.

    script/bench suite                     about five minutes
    script/bench suite --short             the same scenarios, windows of a few seconds
    script/bench suite linger backfill     some of them
    script/bench suite --write-docs        all, then profile and growth, and the tables of docs/performance.md

Exit code 1: something was lost, wrong or came twice in a scenario. A target that is missed is shown, and does not fail
the run: a busy machine misses targets, it must not lose data.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import backfill, growth, profile, serial, startup, workers
from benchmarks.pattern import Pattern, parse_change
from benchmarks.pipeline import circumstances, measure, sound
from benchmarks.processes import ROOT, Setting, Unfit, run_folder

PAGE: Final = ROOT / "docs" / "performance.md"
LINGER_MS: Final = 100
Run = Callable[[Path, float], dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """A figure to reach: ``key`` (with dots for what is nested) at most, or at least, ``limit``."""

    key: str
    limit: float
    unit: str
    at_least: bool = False

    def judge(self, result: dict[str, Any]) -> dict[str, Any]:
        """Tell what was found, and whether it is enough."""
        found: Any = result
        for part in self.key.split("."):
            found = (found or {}).get(part)
        met = found is not None and (found >= self.limit if self.at_least else found <= self.limit)
        return {"key": self.key, "limit": self.limit, "found": found, "met": bool(met), "words": self.words(found)}

    def words(self, found: float | None) -> str:
        """``0.21 (target ≤ 0.3 µs)``."""

        def number(value: float) -> str:
            return f"{value:,.0f}" if value >= 1000 else f"{value:g}"

        sign = "≥" if self.at_least else "≤"
        return f"{'–' if found is None else number(found)} (target {sign} {number(self.limit)} {self.unit})"


@dataclass(frozen=True)
class Case:
    """One scenario."""

    name: str
    title: str
    run: Run
    seconds: float = 10.0
    targets: tuple[Target, ...] = ()


def _pipeline(devices: int, registers: int, scan: str, *, change: str = "all", floor: bool = False, **more: Any) -> Run:
    setting = Setting(Pattern(devices, registers, parse_change(change)), scan=scan, **more)
    return lambda folder, seconds: measure(setting, folder, seconds, min(2.0, seconds), floor=floor)


CASES: Final = (
    Case("max", "100 × 1,000, all changing, back to back", _pipeline(100, 1000, "0s"), 10.0, (
        Target("cpu_us_per_point_read", 0.30, "µs"),
        Target("points_per_s", 2_500_000, "points/s", at_least=True),
        Target("bytes_per_point", 3.5, "bytes"),
    )),
    Case("floor-max", "… the C floor", _pipeline(100, 1000, "0s", floor=True), 3.0),
    Case("one-percent", "100 × 1,000, 1 % changing, back to back", _pipeline(100, 1000, "0s", change="1%"), 10.0, (
        Target("cpu_us_per_point_read", 0.15, "µs per point read"),
    )),
    Case("constant", "100 × 1,000, nothing changing, back to back", _pipeline(100, 1000, "0s", change="none"), 8.0, (
        Target("cpu_us_per_point_read", 0.15, "µs per point read"),
    )),
    Case("steady", "100 × 1,000 at 1 s", _pipeline(100, 1000, "1s"), 10.0, (
        Target("cpu_percent", 8.0, "% of a core"),
        Target("rss_peak_mb", 120.0, "MB"),
    )),
    Case("floor-steady", "… the C floor", _pipeline(100, 1000, "1s", floor=True), 8.0),
    Case("small", "5,000 × 20 at 1 s", _pipeline(5000, 20, "1s", units_per_port=50), 10.0, (
        Target("cpu_us_per_point_read", 3.0, "µs"),
    )),
    Case("small-max", "5,000 × 20, back to back", _pipeline(5000, 20, "0s", units_per_port=50), 8.0),
    Case("fast", "10 × 1,000 at 100 ms", _pipeline(10, 1000, "100ms"), 10.0),
    Case("half-load", "100 × 1,000 at 80 ms (half of 2,500,000/s)", _pipeline(100, 1000, "80ms"), 10.0, (
        Target("latency_since_answer_ms.p99", LINGER_MS + 30, "ms p99"),
    )),
    Case("half-max", "100 × 1,000 at 8 ms (half of the maximum here)", _pipeline(100, 1000, "8ms"), 10.0, (
        Target("latency_since_answer_ms.p99", LINGER_MS + 30, "ms p99"),
    )),
    Case("three-lanes", "100 × 1,000 at 1 s, three lanes", _pipeline(100, 1000, "1s", lanes=3), 10.0),
    Case("linger", "10 × 1,000 at 1 s, linger 0", _pipeline(10, 1000, "1s", bus={"linger": "0s"}), 10.0, (
        Target("latency_since_answer_ms.p50", 7.0, "ms p50"),
        Target("latency_since_answer_ms.p99", 14.0, "ms p99"),
    )),
    Case("backfill", "100 × 1,000 at 100 ms, broker back after 10 s", backfill.measure, 10.0, (
        Target("live_latency_ms.p99", 1000.0, "ms p99 of live data in the drain"),
    )),
    Case("start", "start with 100 × 1,000 tags", partial(startup.measure, 100, 1000, 1), 1.0, (
        Target("all_delivered_s", 5.0, "s"),
    )),
    Case("start-small", "start with 5,000 × 20 tags", partial(startup.measure, 5000, 20, 50), 1.0, (
        Target("all_delivered_s", 5.0, "s"),
    )),
    Case("workers", "100 × 1,000, back to back, 2 workers of 20 % of a core each", workers.measure, 5.0, (
        Target("speed_up", 1.8, "× one worker", at_least=True),
    )),
    Case("rtu", "RTU: 8 lines of 115,200 baud, 4 units each", serial.measure, 10.0),
)  # fmt: skip


def perform(case: Case, share: float) -> dict[str, Any]:
    """Run one scenario: its result, with targets judged."""
    with run_folder() as folder:
        result = case.run(folder, max(2.0, case.seconds * share) if case.seconds > 1 else case.seconds)
    # a window that another program disturbed shows in its slices: the median is the honest figure
    if len(slices := [each for each in result.get("cpu_us_per_point_slices", []) if each is not None]) > 2:
        result["cpu_us_per_point_median"] = median(slices)
    result["targets"] = [target.judge(result) for target in case.targets]
    result["sound"] = sound(result)
    return result


def cells(case: Case, result: dict[str, Any]) -> list[str]:
    """One row of the table."""
    age = result.get("live_latency_ms") or result.get("latency_since_answer_ms") or {}
    wrong = "/".join(str(result[name]) for name in ("lost", "wrong", "duplicated"))
    per_read = result.get("cpu_us_per_point_read")
    targets = "; ".join(("" if each["met"] else "**missed** ") + each["words"] for each in result["targets"])
    if "remark" in result:
        targets = "; ".join(part for part in (targets, result["remark"]) if part)
    return [
        case.title,
        _figure(result.get("points_read_per_s"), ",.0f"),
        _figure(result.get("cpu_percent"), ".1f"),
        _figure(per_read, ".3f" if (per_read or 0) < 1 else ".2f"),
        _figure(result.get("bytes_per_point"), ".2f"),
        _figure(result.get("rss_peak_mb"), ".0f"),
        f"{age['p50']:.0f} / {age['p99']:.0f}" if age else "–",
        wrong,
        targets or "–",
    ]


HEADS: Final = (
    "scenario", "points read/s", "CPU, % of a core", "CPU, µs per point read", "bytes a point", "RSS, MB",
    "age p50 / p99, ms", "lost / wrong / twice", "target, or remark",
)  # fmt: skip


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def markdown(rows: list[list[str]], heads: Sequence[str] = HEADS, words: int = 1) -> str:
    """Table for the documentation; the first columns, as many as ``words``, and the last are no figures."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * words + "|---:" * (len(heads) - words - 1) + "|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def table(rows: list[list[str]], heads: Sequence[str] = HEADS) -> None:
    """Print the result for people."""
    from rich.console import Console
    from rich.table import Table

    found = Table(*heads)
    for row in rows:
        found.add_row(*(cell.replace("**", "") for cell in row))
    Console(width=max(160, Console().width)).print(found)


def write(page: str, name: str, text: str) -> str:
    """Put a text between the markers of its name. Raises ValueError where the page has none."""
    marked = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marked.search(page):
        raise ValueError(f"no markers for {name}")
    return marked.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


SHORT: Final = " **Windows of a few seconds on a busy machine: that it works, not how fast it is.**"


def provenance(told: dict[str, Any], share: float) -> str:
    """One line: where, when and with what."""
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    machine = told["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}"
    return (
        f"Measured {told['date'][:10]} at commit `{told['commit']}` on {where}; {versions}.{SHORT if share < 1 else ''}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help=f"some of: {', '.join(case.name for case in CASES)} (default: all)")
    parser.add_argument("--short", action="store_true", help="windows of a few seconds: does it work, not how fast")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--write-docs", action="store_true", help="also profile and growth; write docs/performance.md")
    options = parser.parse_args(arguments)
    if unknown := set(options.case) - {case.name for case in CASES}:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in CASES)}")
    if options.write_docs and options.case:
        parser.error("--write-docs writes whole tables: leave the names of cases out")
    began, share = time.monotonic(), 0.25 if options.short else 1.0
    results: dict[str, Any] = {}
    rows: list[list[str]] = []
    for case in [case for case in CASES if not options.case or case.name in options.case]:
        print(f"{time.monotonic() - began:5.0f} s  {case.title}", file=sys.stderr)
        try:
            results[case.name] = perform(case, share)
        except Unfit as error:
            results[case.name] = {"unfit": str(error)[-500:], "sound": False}
            rows.append([case.title, *["–"] * (len(HEADS) - 2), f"could not be run: {str(error)[:200]}"])
            continue
        rows.append(cells(case, results[case.name]))
    told = circumstances()
    if options.write_docs:
        write_docs(rows, told, share)
    if not options.json:
        table(rows)
    print(json.dumps({"suite": results, "seconds": round(time.monotonic() - began), **told}))
    return 0 if all(result["sound"] for result in results.values()) else 1


def write_docs(rows: list[list[str]], told: dict[str, Any], share: float) -> None:
    """Profile and growth, and all tables into the page. A part that cannot be measured keeps its former table."""
    page = write(PAGE.read_text(), "suite", f"{provenance(told, share)}\n\n{markdown(rows)}")
    for name, part in (("profile", profile.tables), ("growth", growth.tables)):
        print(f"         {name}", file=sys.stderr)
        try:
            page = write(page, name, part(share))
        except Unfit as error:
            print(f"{name}: kept as it was: {error}", file=sys.stderr)
    PAGE.write_text(page)


if __name__ == "__main__":
    sys.exit(main())
