"""How the cost grows with devices, tags and lanes: a sweep, a table, a plot, and what a box or a park then needs.

    script/bench growth                    about two minutes; a table and one JSON line
    script/bench growth --svg docs/growth.svg

All registers change at every poll, every second; each point of the sweep is a run of its own, judged like all others.
The model under the table is the least-squares fit of CPU time to polls and points, and of memory to devices and tags.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.pattern import Pattern
from benchmarks.pipeline import circumstances, measure, sound
from benchmarks.plot import Series, chart
from benchmarks.processes import ROOT, Setting, Unfit, run_folder

PICTURE: Final = ROOT / "docs" / "growth.svg"
SECONDS: Final = 3.0
SHARE: Final = 0.5
"""Of a core that one gateway process may use, so that there is room for bursts, drains and everything else."""
PARK: Final = 1_300_000
"""Devices."""


@dataclass(frozen=True)
class Step:
    """One point of the sweep."""

    sweep: str
    devices: int
    tags: int
    lanes: int = 1

    @property
    def setting(self) -> Setting:
        """What is run: small devices share a line of 50, large ones have their own."""
        share = 50 if self.tags < 100 else 1
        return Setting(Pattern(self.devices, self.tags, Fraction(1)), "1s", share, lanes=self.lanes)


DEVICES_SMALL: Final = "devices of 20 tags"
DEVICES_LARGE: Final = "devices of 1,000 tags"
TAGS: Final = "tags a device, 100 devices"
LANES: Final = "lanes, 100 × 1,000"

STEPS: Final = (
    *(Step(DEVICES_SMALL, devices, 20) for devices in (500, 2000, 5000, 10_000)),
    *(Step(DEVICES_LARGE, devices, 1000) for devices in (10, 50, 200, 500)),
    *(Step(TAGS, 100, tags) for tags in (20, 125, 2000)),
    *(Step(LANES, 100, 1000, lanes) for lanes in (1, 2, 4)),
)


def sweep(share: float = 1.0) -> list[dict[str, Any]]:
    """Run all steps."""
    rows = []
    for step in STEPS:
        print(f"         {step.sweep}: {step.devices} × {step.tags}, {step.lanes} lanes", file=sys.stderr)
        with run_folder() as folder:
            result = measure(step.setting, folder, max(2.0, SECONDS * share), 1.0)
        rows.append({"sweep": step.sweep, "devices": step.devices, "tags": step.tags, "lanes": step.lanes, **result})
    return rows


@dataclass(frozen=True)
class Model:
    """What a poll, a point, a device and a tag cost."""

    poll_us: float
    point_us: float
    base_mb: float
    device_kb: float
    tag_bytes: float

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Model:
        """Fit to runs with one lane; relative errors count, so that small installations fit as well as large ones."""
        one = [row for row in rows if row["lanes"] == 1]
        points = np.array([row["points_read_per_s"] for row in one])
        polls = np.array([row["points_read_per_s"] / row["tags"] for row in one])
        cpu = np.array([1e4 * row["cpu_percent"] for row in one])
        weight = 1 / np.maximum(cpu, 1.0)
        (poll, point), *_ = np.linalg.lstsq(np.stack([polls, points], 1) * weight[:, None], cpu * weight)
        devices = np.array([row["devices"] for row in one])
        tags = devices * [row["tags"] for row in one]
        sides = np.stack([np.ones(len(one)), devices, tags], 1)
        (base, device, tag), *_ = np.linalg.lstsq(sides, np.array([row["rss_peak_mb"] for row in one]))
        return cls(float(poll), float(point), float(base), 1000 * float(device), 1e6 * float(tag))

    def cores(self, devices: int, tags: int, seconds: float) -> float:
        """Cores that are busy reading ``devices`` × ``tags`` every so many seconds."""
        return devices / seconds * (self.poll_us + tags * self.point_us) / 1e6

    def memory_mb(self, devices: int, tags: int, processes: int = 1) -> float:
        """Resident memory of all processes."""
        return processes * self.base_mb + devices * (self.device_kb / 1000 + tags * self.tag_bytes / 1e6)

    def devices(self, cores: float, tags: int, seconds: float) -> int:
        """Devices that so many busy cores carry, two digits."""
        number = cores / self.cores(1, tags, seconds)
        return int(float(f"{number:.1e}"))


LOADS: Final = ((20, 1.0), (20, 10.0), (200, 1.0), (1000, 1.0), (1000, 0.1))
BOXES: Final = (("one core, half of it for the gateway", 1), ("four cores, a worker on each, half of each", 4))


HEADS: Final = (
    "what grows", "devices × tags", "lanes", "points read/s", "CPU, % of a core", "µs a poll", "µs a point", "RSS, MB",
    "lost / wrong / twice",
)  # fmt: skip
WIRE_BYTES: Final = 2.6
"""A point of a small device, as measured."""
FITTED: Final = (
    "Fitted to the rows with one lane: **a poll costs {poll:.0f} µs, and each point in it {point:.0f} ns more; the "
    "process takes {base:.0f} MB, a device {device:.0f} kB, and a tag {tag:.0f} bytes.**"
)
PARK_TEXT: Final = (
    "**{park:,} devices of a park.** Assumed: {tags} tags each, all read every {seconds:g} s and all changed each "
    "time (the worst case for report by exception), Modbus TCP, 50 devices behind each connection. That is "
    "{polls:,.0f} polls and {points:,.0f} points a second: {cores:.1f} busy cores by the model; {processes} gateway"
    " processes at half a core each, {memory:.0f} GB of memory in all; {boxes} boxes of four cores, {each:,.0f} "
    "devices each, if the lines lead to so few places. At {bytes:g} bytes a point the platform receives "
    "{megabytes:.1f} MB/s. Measured is the largest run of the table above, the rest is multiplication: gateways "
    "share nothing with each other, so the platform's broker is the first thing that would have to be measured at "
    "that size."
)


def markdown(rows: list[dict[str, Any]]) -> str:
    """Tables for the documentation: the sweep, the model, boxes and the park."""
    model = Model.of(rows)
    lines = [f"| {' | '.join(HEADS)} |", "|---" + "|---:" * (len(HEADS) - 2) + "|---|"]
    for row in rows:
        point = row["cpu_us_per_point_read"]
        lines.append(
            f"| {row['sweep']} | {row['devices']:,} × {row['tags']:,} | {row['lanes']} | {row['points_read_per_s']:,} "
            f"| {row['cpu_percent']:.1f} | {point * row['tags']:.0f} | {point:.3f} | {row['rss_peak_mb']:.0f} "
            f"| {row['lost']}/{row['wrong']}/{row['duplicated']} |"
        )
    lines += ["", "![Cost by devices, tags and lanes](growth.svg)", ""]
    lines += [
        FITTED.format(
            poll=model.poll_us,
            point=1000 * model.point_us,
            base=model.base_mb,
            device=model.device_kb,
            tag=model.tag_bytes,
        ),
        "",
        "What a box carries by that model, with half a core for each gateway process:",
        "",
        "| box | " + " | ".join(f"{tags:,} tags every {seconds:g} s" for tags, seconds in LOADS) + " |",
        "|---" + "|---:" * len(LOADS) + "|",
    ]
    for name, cores in BOXES:
        found = [model.devices(cores * SHARE, tags, seconds) for tags, seconds in LOADS]
        lines.append(f"| {name} | " + " | ".join(f"{devices:,} devices" for devices in found) + " |")
    return "\n".join([*lines, "", park(model)])


def park(model: Model) -> str:
    """How the devices of a whole park would be carried: arithmetic on the model, its assumptions beside it."""
    tags, seconds = 20, 10.0
    cores = model.cores(PARK, tags, seconds)
    processes = int(np.ceil(cores / SHARE))
    memory = model.memory_mb(PARK, tags, processes) / 1000
    boxes = int(np.ceil(processes / 4))
    return PARK_TEXT.format(
        park=PARK,
        tags=tags,
        seconds=seconds,
        polls=PARK / seconds,
        points=PARK * tags / seconds,
        cores=cores,
        processes=processes,
        memory=memory,
        boxes=boxes,
        each=PARK / boxes,
        megabytes=PARK * tags / seconds * WIRE_BYTES / 1e6,
        bytes=WIRE_BYTES,
    )


def picture(rows: list[dict[str, Any]]) -> str:
    """The plot, as SVG: CPU and memory over devices, cost over tags and lanes."""

    def series(name: str, x: str, y: str) -> Series:
        return Series(name, [(row[x], row[y]) for row in rows if row["sweep"] == name])

    kinds = (DEVICES_SMALL, DEVICES_LARGE)
    return chart(
        [
            (
                "CPU, % of a core",
                "devices, read every second",
                [series(kind, "devices", "cpu_percent") for kind in kinds],
            ),
            ("RSS, MB", "devices", [series(kind, "devices", "rss_peak_mb") for kind in kinds]),
            ("CPU, µs a point", "tags a device", [series(TAGS, "tags", "cpu_us_per_point_read")]),
            ("CPU, % of a core", "lanes", [series(LANES, "lanes", "cpu_percent")]),
        ]
    )


def tables(share: float) -> str:
    """Measure, write the plot, and return the tables for the documentation."""
    rows = sweep(share)
    PICTURE.write_text(picture(rows))
    return markdown(rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, help="also write the plot here")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args(arguments)
    try:
        rows = sweep()
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.svg:
        options.svg.write_text(picture(rows))
    if not options.json:
        print(markdown(rows))
    print(json.dumps({"growth": rows, **circumstances()}))
    return 0 if all(sound(row) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
