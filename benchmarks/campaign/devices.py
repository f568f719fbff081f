"""Devices fall silent, and answer again: the others are read on as if nothing had happened."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.campaign.scenario import Course, Outcome, Scenario, begin, end, polls, wait
from benchmarks.processes import Plant, plant

SHARE_ON_TIME: Final = 0.95
"""Least share of polls that a healthy device must be given while another is dead."""
TIMEOUT: Final = 0.5
RETRY: Final = 5.0
"""Seconds; the gateway shortens a wait at random by up to a quarter."""


def dead_unit(course: Course, folder: Path) -> Outcome:
    """One unit of many behind one connection falls silent."""
    return _dead("dead-unit", course, course.devices, folder)


def dead_device(course: Course, folder: Path) -> Outcome:
    """One device of many, each with its own connection, falls silent."""
    return _dead("dead-device", course, 1, folder)


def _dead(name: str, course: Course, units_per_port: int, folder: Path) -> Outcome:
    outcome = Outcome(name)
    patience = {"timeout": f"{TIMEOUT:g}s", "retry": f"{RETRY:g}s", "retry_max": f"{RETRY:g}s"}
    dead = course.devices // 3
    healthy = np.array([device for device in range(course.devices) if device != dead])
    with plant(course.setting(units_per_port=units_per_port, connection=patience), folder) as run:
        begin(run, course)
        run.devices.ask(f"silence {dead}")
        time.sleep(course.scan)
        before, began = polls(run), time.time_ns()
        time.sleep(course.outage)
        during, ended = polls(run) - before, time.time_ns()
        intervals = [_intervals(run, device, began, ended) for device in healthy]
        run.devices.ask(f"speak {dead}")
        back = wait(lambda: bool(polls(run)[dead] > before[dead]), 2 * RETRY)
        time.sleep(course.steady)
        report = end(run, outcome)
    seconds = (ended - began) / 1e9
    # two time-outs until it counts as down, then one per retry; their line waits, other lines do not
    stalls = 0 if units_per_port == 1 else 3 + int(seconds / (0.75 * RETRY))
    seen = max(int((each > 800 * TIMEOUT).sum()) for each in intervals)
    outcome.check("others wait for it at most once per retry", seen <= stalls, f"{seen} times, {stalls} allowed")
    share = float(during[healthy].min() * course.scan / seconds)
    least = SHARE_ON_TIME - stalls * TIMEOUT / seconds
    outcome.check("others keep their scan rate besides", share >= least, f"{share:.1%} of the polls, not {least:.1%}")
    outcome.check("the dead one is silent", during[dead] == 0, f"{during[dead]} polls")
    outcome.check("it is read again when it answers again", back < 2 * RETRY, f"after {back:.1f} s")
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outages = [gap for gap in report["gaps"] if gap.get("device") == f"d{dead}" and gap["reason"] == "outage"]
    outcome.check("its silence is declared as a gap", bool(outages), report["gaps"][:5])
    outcome.recovery = round(back, 1)
    together = np.concatenate(intervals)
    outcome.figures |= {
        "dead_s": course.outage,
        "back_after_s": round(back, 1),
        "least_share_of_polls": round(share, 4),
        "stalls": seen,
        "interval_ms": dict(
            zip(("p50", "p99", "max"), np.percentile(together, [50, 99, 100]).round(1).tolist(), strict=True)
        ),
    }
    return outcome


def _intervals(run: Plant, device: int, since: int, until: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds between polls of a device, within an interval of time (as far back as the ring reaches)."""
    last = int(polls(run)[device])
    count = np.arange(max(1, last - run.devices.board.RING + 1), last + 1)
    times = run.devices.board.times(np.full(len(count), device), count)
    return np.diff(times[(times >= since) & (times <= until)]) / 1e6


SCENARIOS: Final = (
    Scenario(
        "dead-unit",
        "one unit of ten behind one connection falls silent, answers again",
        "live data",
        dead_unit,
        short=Course(outage=6.0, steady=1.5, registers=250),
        long=Course(outage=60.0),
    ),
    Scenario(
        "dead-device",
        "one device of ten falls silent, answers again",
        "live data",
        dead_device,
        short=Course(outage=3.0, steady=1.5, registers=250),
        long=Course(outage=60.0),
    ),
)
