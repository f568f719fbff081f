"""What every scenario of the fault campaign is made of: how long and how hard, the steps, and the judging.

The subscriber knows every poll that a device served, so loss needs no trust in the gateway's own counters. After a
kill the journal is copied before the next start: whatever it holds was committed and must arrive; a poll that is
missing must have been answered in the last moment before the kill, and must be declared by a gap.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np

from benchmarks.pattern import Pattern, parse_change
from benchmarks.processes import Plant, Setting
from benchmarks.verify import Verifier

COMMIT_WINDOW: Final = 2.0
"""Seconds before a kill in which an answer may be lost: linger (0.1 s) and one commit, on a disk that is busy."""
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
    times: int = 1
    """How often it is done."""

    @property
    def pattern(self) -> Pattern:
        """The plant."""
        return Pattern(self.devices, self.registers, parse_change(self.change))

    def setting(self, **more: Any) -> Setting:
        """How the gateway is configured."""
        return Setting(self.pattern, scan=f"{self.scan * 1000:g}ms", **more)


@dataclass
class Outcome:
    """What was found. The checks are the judgement; the rest is for the table."""

    scenario: str
    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    kept: int = 0
    """Points that arrived."""
    lost: int = 0
    """Points that a device served, that never arrived, and that no gap may explain."""
    declared: int = 0
    """Points that never arrived and lie in a declared gap: answered, but not committed when the gateway died."""
    duplicated: int = 0
    """Points that came again, each under the number of its first batch."""
    recovery: float | None = None
    """Seconds from the end of the fault until all was as it should be; None: does not apply."""
    skipped: str = ""
    """Why it was not run on this machine, if it was not."""
    logs: dict[str, str] = field(default_factory=dict)
    """The end of what each process said, for whoever has to find out why a check failed."""

    def check(self, what: str, good: bool, found: object = "") -> None:
        """Note whether something that must be so is so."""
        self.checks.append((what, bool(good), str(found)))

    @property
    def passed(self) -> bool:
        """True when all checks are."""
        return all(good for _, good, _ in self.checks)

    def failures(self) -> str:
        """Each check that failed, one a line; then what the processes said."""
        failed = [f"{what}: {found}" for what, good, found in self.checks if not good]
        return "\n".join([*failed, *(f"--- {name}\n{said}" for name, said in self.logs.items() if failed and said)])


class Skipped(Exception):
    """This machine cannot do what the scenario needs (root, a kernel feature); the text says what is missing."""


Run = Callable[[Course, Path], Outcome]


@dataclass(frozen=True)
class Scenario:
    """One line of the table."""

    name: str
    event: str
    """What is done, in words."""
    in_flight: str
    """What is under way when it happens, in words."""
    run: Run
    short: Course
    """About ten seconds, side by side with others: part of the test suite."""
    long: Course


def begin(run: Plant, course: Course) -> None:
    before = run.subscriber.ask("mark")["points"]
    run.gateway.start()
    run.wait_for_data(beyond=before)
    time.sleep(course.steady)


def polls(run: Plant) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each device was read so far."""
    return run.devices.board.served[:: run.setting.pattern.blocks].copy()


def wait(until: Callable[[], bool], deadline: float, pause: float = 0.05) -> float:
    began = time.monotonic()
    while not until() and time.monotonic() - began < deadline:
        time.sleep(pause)
    return time.monotonic() - began


def catch_up(run: Plant, course: Course) -> float:
    """Seconds until the subscriber has all but the last moments of what was served."""
    under_way = course.devices * max(1.5 / course.scan, 2)

    def level() -> bool:
        missing = run.subscriber.ask("report")["missing"]
        return bool(sum(last - first + 1 for _, first, last, *_ in missing) <= under_way)

    return round(wait(level, 60.0 + 2 * course.outage, pause=0.3), 1)


def arrival(run: Plant, deadline: float = 60.0) -> float:
    """Seconds until something arrives that was not there before."""
    before = run.subscriber.ask("mark")["points"]
    return round(wait(lambda: bool(run.subscriber.ask("mark")["points"] > before), deadline), 1)


def kill(run: Plant, course: Course, outcome: Outcome) -> tuple[int, Verifier]:
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


def judge_kill(outcome: Outcome, report: dict[str, Any], killed: int, committed: Verifier) -> None:
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
    if not known:
        outcome.lost, outcome.declared = 0, report["lost"]
        outcome.figures["lost_points"] = 0
    outcome.figures |= {
        "uncommitted_points": report["lost"],
        "uncommitted_polls": polls,
        "uncommitted_window_ms": round(window, 1),
    }


def end(run: Plant, outcome: Outcome) -> dict[str, Any]:
    """Stop the gateway in order and make the checks that hold for every scenario. Raises Unfit without a broker."""
    _ = run.broker.running
    seconds = run.gateway.stop(30.0)
    code = run.gateway.process.returncode if run.gateway.process else None
    run.subscriber.settle(1.0, 30.0)
    report = run.subscriber.ask("report")
    outcome.check("the gateway ends in order", code == 0, f"{code}: {run.gateway.tail(600)}")
    outcome.check("every value is the one served", not report["wrong"] + report["unreadable"], report["notes"])
    holes = unnamed_holes(report)
    outcome.check("no batch is missing in the numbering, unless a gap names it", not holes, holes[:5])
    again = report["duplicated"] - report["repeated"]
    outcome.check("what comes twice has the same number", not again, f"{again} points under a new number")
    outcome.kept = report["points"] - report["duplicated"]
    outcome.lost = report["lost"]
    outcome.duplicated = report["duplicated"]
    outcome.logs = {child.name: child.tail() for child in (run.gateway, run.broker, run.subscriber)}
    outcome.figures |= {
        "points": report["points"],
        "lost_points": report["lost"],
        "duplicated_points": report["duplicated"],
        "gaps": len(report["gaps"]),
        "stop_s": round(seconds, 2),
    }
    return report


def unnamed_holes(report: dict[str, Any]) -> list[tuple[int, int]]:
    """Batches that are missing in the numbering, (epoch, seq), and that no gap names as given up."""
    named: dict[int, set[int]] = {}
    for gap in report["gaps"]:
        if gap.get("first_seq"):
            named.setdefault(gap["epoch"], set()).update(range(gap["first_seq"], gap["last_seq"] + 1))
    return [(epoch, seq) for epoch, seq in report["holes"] if seq not in named.get(epoch, ())]
