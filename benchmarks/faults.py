"""What the gateway must survive, done to real processes, and judged from the data that reached the subscriber.

    script/acceptance                    all scenarios in their long form; a table and one JSON line
    script/acceptance broker --outage 10s

broker       the broker is down for a while, and comes back
kill         the gateway is killed (SIGKILL) at work, and started again
kill-offline the broker goes down, the gateway is killed and started again, the broker comes back
dead-unit    one unit of ten on a shared connection falls silent, and answers again
dead-device  one device of ten, each on its own connection, falls silent, and answers again

The subscriber knows every poll that a device served, so loss needs no trust in the gateway's own counters. After a
kill the journal is copied before the next start: whatever it holds was committed and must arrive; a poll that is
missing must have been answered in the last moment before the kill, and must be declared by a gap.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np

from benchmarks.pattern import Pattern, parse_change
from benchmarks.pipeline import circumstances
from benchmarks.processes import Plant, Setting, Unfit, plant, run_folder
from benchmarks.verify import Verifier
from gateway.config.fields import parse_duration

COMMIT_WINDOW: Final = 2.0
"""Seconds before a kill in which an answer may be lost: linger (0.1 s) and one commit, on a disk that is busy."""
SHARE_ON_TIME: Final = 0.95
"""Least share of polls that a healthy device must be given while another is dead."""
TIMEOUT: Final = 0.5
RETRY: Final = 5.0
"""Seconds; the gateway shortens a wait at random by up to a quarter."""
STAMP_SLACK: Final = 50_000_000
"""ns between a device's answer, as the device has it, and the time that the gateway gives to the frame, at most."""


@dataclass(frozen=True)
class Course:
    """How long and how hard."""

    outage: float = 60.0
    """Seconds that something is down."""
    steady: float = 5.0
    """Seconds of ordinary work before and after."""
    scan: float = 0.1
    devices: int = 10
    registers: int = 1000
    change: str = "all"

    @property
    def pattern(self) -> Pattern:
        """The plant."""
        return Pattern(self.devices, self.registers, parse_change(self.change))

    def setting(self, **more: Any) -> Setting:
        """How the gateway is configured."""
        return Setting(self.pattern, scan=f"{self.scan * 1000:g}ms", **more)


@dataclass
class Outcome:
    """What was found."""

    scenario: str
    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def check(self, what: str, good: bool, found: object = "") -> None:
        """Note whether something that must be so is so."""
        self.checks.append((what, bool(good), str(found)))

    @property
    def passed(self) -> bool:
        """True when all checks are."""
        return all(good for _, good, _ in self.checks)

    def failures(self) -> str:
        """Each check that failed, one a line."""
        return "\n".join(f"{what}: {found}" for what, good, found in self.checks if not good)


def broker_outage(course: Course, folder: Path) -> Outcome:
    """Broker down, devices read on, broker back: everything arrives."""
    outcome = Outcome("broker")
    with plant(course.setting(), folder) as run:
        _begin(run, course)
        run.broker.stop(10.0)
        before = _polls(run)
        time.sleep(course.outage)
        during = _polls(run) - before
        run.broker.start()
        caught_up = _catch_up(run, course)
        time.sleep(course.steady)
        report = _end(run, outcome)
    due = course.outage / course.scan
    outcome.check("devices are read on during the outage", during.min() > 0.9 * due, f"{during.min()} of {due:.0f}")
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outcome.figures |= {"outage_s": course.outage, "caught_up_s": caught_up}
    return outcome


def kill_at_work(course: Course, folder: Path) -> Outcome:
    """SIGKILL while everything works; start again."""
    outcome = Outcome("kill")
    with plant(course.setting(), folder) as run:
        _begin(run, course)
        killed, committed = _kill(run, course, outcome)
        run.gateway.start()
        time.sleep(course.steady)
        report = _end(run, outcome)
    _judge_kill(outcome, report, killed, committed)
    return outcome


def kill_offline(course: Course, folder: Path) -> Outcome:
    """Broker down, SIGKILL of the gateway, gateway back, broker back."""
    outcome = Outcome("kill-offline")
    with plant(course.setting(), folder) as run:
        _begin(run, course)
        run.broker.stop(10.0)
        time.sleep(course.outage / 2)
        killed, committed = _kill(run, course, outcome)
        run.gateway.start()
        time.sleep(course.outage / 2)
        run.broker.start()
        outcome.figures |= {"outage_s": course.outage, "caught_up_s": _catch_up(run, course)}
        time.sleep(course.steady)
        report = _end(run, outcome)
    _judge_kill(outcome, report, killed, committed)
    held = len(committed.batches)
    outcome.check("the journal held the backlog at the kill", held >= course.outage, f"{held} batches")
    return outcome


def dead_unit(course: Course, folder: Path) -> Outcome:
    """One unit of many behind one connection falls silent."""
    return _dead("dead-unit", course, course.devices, folder)


def dead_device(course: Course, folder: Path) -> Outcome:
    """One device of many, each with its own connection, falls silent."""
    return _dead("dead-device", course, 1, folder)


SCENARIOS: Final[dict[str, Callable[[Course, Path], Outcome]]] = {
    "broker": broker_outage,
    "kill": kill_at_work,
    "kill-offline": kill_offline,
    "dead-unit": dead_unit,
    "dead-device": dead_device,
}


def _dead(name: str, course: Course, units_per_port: int, folder: Path) -> Outcome:
    outcome = Outcome(name)
    patience = {"timeout": f"{TIMEOUT:g}s", "retry": f"{RETRY:g}s", "retry_max": f"{RETRY:g}s"}
    dead = course.devices // 3
    healthy = np.array([device for device in range(course.devices) if device != dead])
    with plant(course.setting(units_per_port=units_per_port, connection=patience), folder) as run:
        _begin(run, course)
        run.devices.ask(f"silence {dead}")
        time.sleep(course.scan)
        before, began = _polls(run), time.time_ns()
        time.sleep(course.outage)
        during, ended = _polls(run) - before, time.time_ns()
        intervals = [_intervals(run, device, began, ended) for device in healthy]
        run.devices.ask(f"speak {dead}")
        back = _wait(lambda: bool(_polls(run)[dead] > before[dead]), 2 * RETRY)
        time.sleep(course.steady)
        report = _end(run, outcome)
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


def _begin(run: Plant, course: Course) -> None:
    run.gateway.start()
    run.wait_for_data()
    time.sleep(course.steady)


def _polls(run: Plant) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each device was read so far."""
    return run.devices.board.served[:: run.setting.pattern.blocks].copy()


def _wait(until: Callable[[], bool], deadline: float, pause: float = 0.05) -> float:
    began = time.monotonic()
    while not until() and time.monotonic() - began < deadline:
        time.sleep(pause)
    return time.monotonic() - began


def _catch_up(run: Plant, course: Course) -> float:
    """Seconds until the subscriber has all but the last moments of what was served."""
    under_way = course.devices * max(1.5 / course.scan, 2)

    def level() -> bool:
        missing = run.subscriber.ask("report")["missing"]
        return bool(sum(last - first + 1 for _, first, last, *_ in missing) <= under_way)

    return round(_wait(level, 60.0 + 2 * course.outage, pause=0.3), 1)


def _kill(run: Plant, course: Course, outcome: Outcome) -> tuple[int, Verifier]:
    """SIGKILL the gateway and read a copy of its journal: (time of the kill, what was committed and still held)."""
    killed = time.time_ns()
    run.gateway.kill()
    copy = run.folder / "journal-at-kill"
    copy.mkdir()
    for file in run.folder.glob("journal.db*"):
        shutil.copy(file, copy)
    committed = Verifier(course.pattern, run.devices.board)
    journal = sqlite3.connect(copy / "journal.db")
    try:
        for (encoded,) in journal.execute("SELECT body FROM schema"):
            committed.schema(blake2b(encoded, digest_size=8).hexdigest(), encoded)
        for epoch, seq, body in journal.execute("SELECT epoch, seq, body FROM batch"):
            committed.data(msgpack.packb((1, "bench", epoch, seq, 0, 1, body)), killed)
    finally:
        journal.close()
    outcome.figures |= {"batches_in_journal_at_kill": len(committed.batches)}
    return killed, committed


def _judge_kill(outcome: Outcome, report: dict[str, Any], killed: int, committed: Verifier) -> None:
    runs = report["missing"]
    known = [run for run in runs if committed.has(*run[:3])]
    outcome.check("nothing that was committed is lost", not known, known[:5])
    early = [run for run in runs if run[3] < killed - COMMIT_WINDOW * 1e9]
    outcome.check(f"only the last {COMMIT_WINDOW:g} s before the kill may be missing", not early, early[:5])
    late = [run for run in runs if run[4] > killed + 1e8]
    outcome.check("nothing that was served after the kill is missing", not late, late[:5])
    devices = [run[0] for run in runs]
    outcome.check("at most one interval is missing per device", len(devices) == len(set(devices)), runs[:5])
    restarts = [gap for gap in report["gaps"] if gap["reason"] == "restart"]
    outcome.check("the restart is declared as a gap", bool(restarts), report["gaps"][:5])
    undeclared = [
        run
        for run in runs
        if not any(gap["since"] - STAMP_SLACK <= run[3] <= run[4] <= gap["until"] for gap in restarts)
    ]
    outcome.check("what is missing lies in a declared gap", not undeclared, undeclared[:5])
    outcome.check("the numbering goes on in the same epoch", len(report["epochs"]) == 1, report["epochs"])
    polls = sum(last - first + 1 for _, first, last, _, _ in runs)
    window = max([killed - run[3] for run in runs], default=0) / 1e6
    outcome.figures |= {
        "lost_points": 0 if not known else outcome.figures["lost_points"],
        "uncommitted_points": report["lost"],
        "uncommitted_polls": polls,
        "uncommitted_window_ms": round(window, 1),
    }


def _intervals(run: Plant, device: int, since: int, until: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds between polls of a device, within an interval of time (as far back as the ring reaches)."""
    last = int(_polls(run)[device])
    count = np.arange(max(1, last - run.devices.board.RING + 1), last + 1)
    times = run.devices.board.times(np.full(len(count), device), count)
    return np.diff(times[(times >= since) & (times <= until)]) / 1e6


def _end(run: Plant, outcome: Outcome) -> dict[str, Any]:
    """Stop the gateway in order and make the checks that hold for every scenario."""
    seconds = run.gateway.stop(30.0)
    code = run.gateway.process.returncode if run.gateway.process else None
    run.subscriber.settle(1.0, 30.0)
    report = run.subscriber.ask("report")
    outcome.check("the gateway ends in order", code == 0, f"{code}: {run.gateway.tail(600)}")
    outcome.check("every value is the one served", not report["wrong"] + report["unreadable"], report["notes"])
    outcome.check("no batch is missing in the numbering", not report["holes"], report["holes"][:5])
    again = report["duplicated"] - report["repeated"]
    outcome.check("what comes twice has the same number", not again, f"{again} points under a new number")
    outcome.figures |= {
        "points": report["points"],
        "lost_points": report["lost"],
        "duplicated_points": report["duplicated"],
        "gaps": len(report["gaps"]),
        "stop_s": round(seconds, 2),
    }
    return report


def main(arguments: list[str] | None = None) -> int:
    """Command line: exit code 0 when everything passed, 1 when a check failed, 2 when a run could not be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="default: all")
    parser.add_argument("--outage", default="60s", help="how long something is down (default 60s)")
    parser.add_argument("--steady", default="5s", help="ordinary work before and after")
    parser.add_argument("--scan", default="100ms")
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--registers", type=int, default=1000)
    parser.add_argument("--change", default="all")
    parser.add_argument("--keep", action="store_true", help="keep the folder of each run")
    options = parser.parse_args(arguments)
    wanted = options.scenarios or list(SCENARIOS)
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    try:
        course = Course(
            parse_duration(options.outage), parse_duration(options.steady), parse_duration(options.scan),
            options.devices, options.registers, options.change,
        )  # fmt: skip
        _ = course.pattern
    except ValueError as error:
        parser.error(str(error))
    outcomes = []
    for name in wanted:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            with run_folder(options.keep) as folder:
                outcomes.append(SCENARIOS[name](course, folder))
        except Unfit as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 2
    _table(outcomes)
    record = {
        outcome.scenario: {"passed": outcome.passed, "failures": outcome.failures().splitlines()} | outcome.figures
        for outcome in outcomes
    }
    print(json.dumps({"passed": all(outcome.passed for outcome in outcomes), "scenarios": record, **circumstances()}))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _table(outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("scenario", "what must be so", "", "found", title="acceptance under faults")
    for outcome in outcomes:
        for what, good, found in outcome.checks:
            table.add_row(outcome.scenario, what, "[green]yes" if good else "[red]NO", "" if good else found[:200])
        figures = ", ".join(f"{key} {value}" for key, value in outcome.figures.items())
        table.add_row(outcome.scenario, f"[dim]{figures}", "", "", end_section=True)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
