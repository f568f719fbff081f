"""A day in minutes: scanned, committed, lost and found again as often as in 24 hours, and nothing may grow.

The plant is read every few milliseconds, and every poll makes a batch of its own, so that polls and commits of a day
at a scan rate of 1 s fit into ten minutes. Meanwhile the broker is restarted and devices misbehave in turn, one
disturbance after the other. Memory, file descriptors, threads and the journal's size are sampled all the time; after
a warm-up their slope must be flat: what grows, grows with use, and would show within a day.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.campaign.scenario import Course, Outcome, Scenario, begin, catch_up, end, polls
from benchmarks.processes import Plant, plant

WARM_UP: Final = 0.35
"""Share of the run until caches and pools have their size."""
EVERY: Final = 0.2
"""Seconds between two samples."""
CALM: Final = 1.0
"""Seconds between two disturbances."""
DAY: Final = {"polls of each device": 86_400, "batches": 86_400, "broker reconnects": 24, "device outages": 24}
"""What a day at a scan rate of 1 s brings, with the broker and a device lost once per hour."""
ALLOWED: Final = {"memory_mb": (2.0, 0.04), "files": (2.0, 0.0), "threads": (1.5, 0.0), "journal_mb": (1.0, 0.10)}
"""Most growth from the warm-up to the end: so much, and this share of the median."""


def soak(course: Course, folder: Path) -> Outcome:
    """``course.outage``: seconds of it all."""
    outcome = Outcome("soak")
    connection = {"timeout": "300ms", "retry": "300ms", "retry_max": "1s"}
    bus = {"linger": f"{course.scan * 1000:g}ms"}
    with plant(course.setting(units_per_port=2, connection=connection, bus=bus), folder) as run:
        file = folder / "gateway.yaml"
        configuration = json.loads(file.read_text())
        configuration["profiles"]["plain"]["heartbeat"] = "500ms"
        file.write_text(json.dumps(configuration))
        begin(run, replace(course, steady=course.steady))
        before, batches = polls(run), run.subscriber.ask("mark")["batches"]
        disturbances, samples = _disturb(run, course)
        outcome.recovery = catch_up(run, replace(course, outage=0.0))
        done, batches = polls(run) - before, run.subscriber.ask("mark")["batches"] - batches
        report = end(run, outcome)
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outcome.figures["flat"] = {
        name: _flat(outcome, name, samples["second"], samples[name], allowed) for name, allowed in ALLOWED.items()
    }
    counts = {
        "polls of each device": int(np.median(done)),
        "batches": batches,
        "broker reconnects": disturbances["broker"],
        "device outages": sum(disturbances.values()) - disturbances["broker"],
    }
    outcome.figures |= {
        "seconds": course.outage,
        "disturbances": disturbances,
        "hours_equivalent": {name: round(24 * count / DAY[name], 1) for name, count in counts.items()},
    }
    return outcome


def _disturb(run: Plant, course: Course) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Disturb and sample, in turn, to the end; how often, and what was found."""
    done = dict.fromkeys(("broker", "silence", "garble", "reset"), 0)
    samples: dict[str, list[float]] = {name: [] for name in ("second", *ALLOWED)}
    began = time.monotonic()

    def watch(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _sample(run, time.monotonic() - began, samples)
            time.sleep(EVERY)

    watch(CALM)
    for turn, what in enumerate(itertools.cycle(done)):
        if time.monotonic() - began > course.outage:
            break
        device = turn % course.devices
        if what == "broker":
            run.broker.stop(10.0)
            watch(CALM / 2)
            run.broker.start()
        else:
            run.devices.ask(f"{what} {device}")
            watch(CALM / 2)
            run.devices.ask(f"speak {device}")
        done[what] += 1
        watch(CALM + turn % 3 * CALM / 2)
    return done, samples


def _sample(run: Plant, second: float, samples: dict[str, list[float]]) -> None:
    process = Path(f"/proc/{run.gateway.pid}")
    threads = next(line for line in (process / "status").read_text().splitlines() if line.startswith("Threads:"))
    journal = sum(path.stat().st_size for path in run.folder.glob("journal.db*"))
    found = {
        "second": second,
        "memory_mb": run.gateway.memory_mb()[0],
        "files": len(list((process / "fd").iterdir())),
        "threads": int(threads.split()[1]),
        "journal_mb": journal / 1e6,
    }
    for name, value in found.items():
        samples[name].append(value)


def _flat(
    outcome: Outcome, name: str, seconds: list[float], found: list[float], allowed: tuple[float, float]
) -> dict[str, float]:
    """Judge one row of samples: a straight line through all of them behind the warm-up."""
    second, value = np.array(seconds), np.array(found)
    warm = second > WARM_UP * second[-1]
    second, value = second[warm], value[warm]
    slope = float(np.polyfit(second, value, 1)[0])
    growth, median = slope * float(np.ptp(second)), float(np.median(value))
    most = allowed[0] + allowed[1] * median
    outcome.check(f"{name} is flat", growth <= most, f"grew by {growth:.2f} from {median:.2f}, {most:.2f} allowed")
    return {
        "median": round(median, 2), "highest": round(float(value.max()), 2), "growth": round(growth, 2),
        "growth_per_hour": round(slope * 3600, 2),
    }  # fmt: skip


SCENARIOS: Final = (
    Scenario(
        "soak",
        "24 hours in ten minutes: broker restarts, devices that come and go",
        "live data and backlog",
        soak,
        short=Course(outage=60.0, steady=2.0, scan=0.01, registers=100, change="10%"),
        long=Course(outage=600.0, steady=5.0, scan=0.006, registers=100, change="10%"),
    ),
)
