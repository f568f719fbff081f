"""Devices misbehave, and come to their senses: the others are read on as if nothing had happened.

What a misbehaving device sends carries values that it never had, so an answer that is taken for what it is not (a late
one for the next, a half one for a whole) is found by its values. Times are those of the device server: when it was
asked. They are held against the same run before the trouble began, for a machine that does other things as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
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
PATIENCE: Final = 1.0
"""Time-out in the face of answers that are late (`benchmarks.devices.DELAY`) or never whole."""
PERIOD_KEPT: Final = 1.1
"""Longest 99th percentile of the time between two polls of a healthy device, in scan periods."""
HEALTHY: Final = 10
"""Devices that do not flap, beside all those that do."""
NAP: Final = 0.02
"""Seconds of each sleep by which the machine's own lateness is measured."""
EDGES: Final = 8
"""Most lines of log about one device that goes and comes back: down, up, and some for a fault that changes its face."""

Milliseconds = np.ndarray[Any, np.dtype[np.float64]]
_SHORT: Final = Course(outage=5.0, steady=2.0, scan=0.5, registers=250)
_LONG: Final = Course(outage=60.0, steady=10.0, scan=0.2)


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


def _misbehaving(name: str, order: str, units_per_port: int = 1) -> Callable[[Course, Path], Outcome]:
    """One port of many has a device that misbehaves in one way."""

    def run(course: Course, folder: Path) -> Outcome:
        bad = course.devices // 3 // units_per_port * units_per_port
        return _trouble(name, order, range(bad, bad + 1), course, units_per_port, folder)

    return run


def flapping(course: Course, folder: Path) -> Outcome:
    """A great many connections come and go all the time, beside a few healthy ones."""
    return _trouble("devices-flap", "flap", range(HEALTHY, course.devices), course, 1, folder)


def _trouble(name: str, order: str, bad: range, course: Course, units_per_port: int, folder: Path) -> Outcome:
    """Some devices misbehave for a while. Whoever shares a port with one waits for it; nobody else does."""
    outcome = Outcome(name)
    patience = {"timeout": f"{PATIENCE:g}s", "retry": f"{RETRY / 2:g}s", "retry_max": f"{RETRY / 2:g}s"}
    beside = {device // units_per_port for device in bad}
    healthy = np.array([device for device in range(course.devices) if device // units_per_port not in beside])
    with plant(course.setting(units_per_port=units_per_port, connection=patience), folder) as run:
        begin(run, replace(course, steady=course.scan))
        calm, _ = _measure(run, healthy, course.steady)
        run.devices.ask(f"{order} {bad[0]} {bad[-1]}")
        time.sleep(course.scan)
        before, lines = polls(run), len(_log(run))
        rough, late = _measure(run, healthy, course.outage)
        during, ended = polls(run) - before, time.monotonic()
        run.devices.ask(f"speak {bad[0]} {bad[-1]}")
        until = ended + 3 * RETRY
        back = wait(lambda: bool((polls(run)[bad] > (before + during)[bad]).all()), until - time.monotonic())
        time.sleep(course.steady)
        report = end(run, outcome)
        edges = len(_log(run)) - lines
    before_p99, p99 = np.percentile(calm, 99), np.percentile(rough, 99)
    # an interval begins and ends in two processes, each of which the machine may have let wait
    most = PERIOD_KEPT * max(1000 * course.scan, before_p99) + 2 * late
    outcome.check("the healthy keep their scan period within 10 % (p99)", p99 <= most, f"{p99:.1f} ms, not {most:.1f}")
    share = float(
        (during[healthy].min() + 1) * course.scan / course.outage
    )  # the interval may begin right after a poll
    outcome.check("the healthy are polled as often as they should be", share >= SHARE_ON_TIME, f"{share:.1%}")
    outcome.check("no answer of theirs counts", not during[bad].any(), f"{during[bad].sum()} polls")
    outcome.check("they are read again when they answer again", back < 3 * RETRY, f"not within {back:.1f} s")
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    declared = {gap.get("device") for gap in report["gaps"] if gap["reason"] == "outage"}
    silent = [device for device in bad if f"d{device}" not in declared]
    outcome.check("what could not be read is declared as a gap", not silent, f"not for {silent[:5]}")
    outcome.check("the log tells edges, not failures", edges <= EDGES * len(bad) + 10, f"{edges} lines")
    outcome.recovery = round(back, 1)
    outcome.figures |= {
        "trouble_s": course.outage,
        "misbehaving": len(bad),
        "interval_ms": {"calm p99": round(before_p99, 1), "p99": round(p99, 1), "max": round(rough.max(), 1)},
        "machine_late_ms": round(late, 1),
        "share_of_polls": round(share, 4),
        "log_lines": edges,
        "connections": int(run.devices.board.array[run.devices.board.CONNECTIONS]),
    }
    return outcome


def _log(run: Plant) -> list[str]:
    return run.gateway.log.read_text("utf-8", "replace").splitlines()


def _measure(run: Plant, devices: np.ndarray[Any, np.dtype[np.int64]], seconds: float) -> tuple[Milliseconds, float]:
    """Times between two polls of each of some devices, from now on, for a while; and how late the machine was itself.

    Lateness is the 99th percentile of what this process overslept: other programs' share of what is measured.
    """
    since, until = time.time_ns(), time.monotonic() + seconds
    late = []
    while (asleep := time.monotonic()) < until:
        time.sleep(NAP)
        late.append(time.monotonic() - asleep - NAP)
    ended = time.time_ns()
    intervals = np.concatenate([_intervals(run, device, since, ended) for device in devices])
    return intervals, 1000 * float(np.percentile(late, 99))


def _intervals(run: Plant, device: int, since: int, until: int) -> Milliseconds:
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
    Scenario(
        "device-dribbles",
        "one device of ten answers one byte a second",
        "live data",
        _misbehaving("device-dribbles", "dribble"),
        _SHORT,
        _LONG,
    ),
    Scenario(
        "device-garbles",
        "one device of ten answers with noise, wrong lengths, wrong functions, wrong units",
        "live data",
        _misbehaving("device-garbles", "garble"),
        _SHORT,
        _LONG,
    ),
    Scenario(
        "device-late",
        "one device of ten answers after the time-out, on a connection that it shares",
        "live data",
        _misbehaving("device-late", "delay", units_per_port=2),
        _SHORT,
        _LONG,
    ),
    Scenario(
        "device-resets",
        "one device of ten closes with RST in the middle of each answer",
        "live data",
        _misbehaving("device-resets", "reset"),
        _SHORT,
        _LONG,
    ),
    Scenario(
        "device-shut",
        "one device of ten drops its connection and takes none",
        "live data",
        _misbehaving("device-shut", "shut"),
        _SHORT,
        _LONG,
    ),
    Scenario(
        "devices-flap",
        "1,000 devices beside ten take connections and drop them: at once, after a moment, in mid-answer",
        "live data",
        flapping,
        replace(_SHORT, devices=HEALTHY + 200, registers=25),
        replace(_LONG, scan=0.5, devices=HEALTHY + 1000, registers=25),
    ),
)
