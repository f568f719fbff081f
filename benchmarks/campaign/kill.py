"""The gateway dies (SIGKILL) or is told to stop, and is started again: what was committed arrives, else it is declared.

``kills`` and its kin do it at many moments of one run, on one journal; `benchmarks.campaign.ends` keeps the account.
"""

from __future__ import annotations

import random
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.campaign.ends import Ends, still
from benchmarks.campaign.scenario import (
    Course,
    Outcome,
    Scenario,
    arrival,
    begin,
    catch_up,
    end,
    judge_kill,
    kill,
    polls,
    wait,
)
from benchmarks.processes import Plant, plant
from gateway.config.root import LaneConfig

EARLY: Final = 0.3
"""Seconds after something within which the early kills fall."""
LATE: Final = 1.5
"""… and those at work."""
SEED: Final = 20_260_101
DRAIN: Final = 3.0
"""Seconds that the gateway may take to deliver when it is told to stop."""
CLOSING: Final = 5.0


def kill_at_work(course: Course, folder: Path) -> Outcome:
    """SIGKILL while everything works; start again."""
    outcome = Outcome("kill")
    with plant(course.setting(), folder) as run:
        begin(run, course)
        killed, committed = kill(run, course, outcome)
        run.gateway.start()
        outcome.recovery = arrival(run)
        time.sleep(course.steady)
        report = end(run, outcome)
    judge_kill(outcome, report, killed, committed)
    return outcome


def kill_offline(course: Course, folder: Path) -> Outcome:
    """Broker down, SIGKILL of the gateway, gateway back, broker back."""
    outcome = Outcome("kill-offline")
    with plant(course.setting(), folder) as run:
        begin(run, course)
        run.broker.stop(10.0)
        time.sleep(course.outage / 2)
        killed, committed = kill(run, course, outcome)
        run.gateway.start()
        time.sleep(course.outage / 2)
        run.broker.start()
        outcome.recovery = catch_up(run, course)
        outcome.figures |= {"outage_s": course.outage, "caught_up_s": outcome.recovery}
        time.sleep(course.steady)
        report = end(run, outcome)
    judge_kill(outcome, report, killed, committed)
    held = len(committed.batches)
    outcome.check("the journal held the backlog at the kill", held >= course.outage, f"{held} batches")
    return outcome


def _spawned(_: Ends, before: int) -> bool:  # noqa: ARG001 - a Phase
    return True


def _recovering(ends: Ends, before: int) -> bool:  # noqa: ARG001 - a Phase
    return ends.opened()


def _reading(ends: Ends, before: int) -> bool:
    return int(ends.run.devices.board.served.sum()) > before


Phase = Callable[[Ends, int], bool]
"""(account, polls served before the start) → the phase has begun."""

PHASES: Final[dict[str, tuple[Phase, float]]] = {
    "starting": (_spawned, EARLY),
    "recovering": (_recovering, EARLY),
    "first reads, schemas, first commit": (_reading, EARLY),
}
"""Phases of a start, and for how long a kill may follow. One more: at work, once something has arrived."""


def kills(course: Course, folder: Path) -> Outcome:
    """Start, work, SIGKILL at a random moment of a random phase, again and again; all under full load."""
    outcome = Outcome("kills")
    chance = random.Random(SEED)
    with plant(course.setting(), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        for number in range(course.times):
            if number % 2:
                ends.begin()
                time.sleep(chance.uniform(0, LATE))
                ends.kill("at work")
                continue
            phase = chance.choice(list(PHASES))
            begun, within = PHASES[phase]
            before = int(run.devices.board.served.sum())
            ends.start()
            ends.wait(lambda begun=begun, before=before: begun(ends, before), phase)  # type: ignore[misc]
            time.sleep(chance.uniform(0, within))
            ends.kill(phase)
        ends.begin()
        time.sleep(course.steady)
        report = end(run, outcome)
    ends.judge(outcome, report)
    outcome.check("the numbering goes on in the same epoch", len(report["epochs"]) == 1, report["epochs"])
    return outcome


def kills_while_full(course: Course, folder: Path) -> Outcome:
    """Broker down, a limit that is soon reached: kills while old batches are given up. Then the broker comes back."""
    outcome = Outcome("kills-full")
    chance = random.Random(SEED)
    limit = int(2 * course.devices * course.registers / max(course.scan, 0.01))  # what is read in a second
    bus = {"limit": limit, "batch_bytes": limit // 8}
    with plant(course.setting(bus=bus), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        ends.begin()
        run.broker.stop(10.0)
        for number in range(course.times):
            if number:
                ends.start()
                ends.wait(ends.opened, "the journal is not opened")
            before = polls(run)
            ends.wait(lambda before=before: bool((polls(run) > before).all()), "nothing is read")  # type: ignore[misc]
            time.sleep(chance.uniform(EARLY, LATE))
            ends.kill("giving up old batches")
        run.broker.start()
        ends.begin()
        time.sleep(course.steady)
        report = end(run, outcome)
    ends.judge(outcome, report)
    overflows = [gap for gap in report["gaps"] if gap["reason"] == "overflow"]
    outcome.check("batches were given up, and that is declared", bool(overflows), report["gaps"][:5])
    named = {seq for gap in overflows for seq in range(gap["first_seq"], gap["last_seq"] + 1)}
    holes = {seq for _, seq in report["holes"]}
    came = sorted(named - holes)  # only what was under way, unconfirmed, when the broker stopped
    window = LaneConfig.model_fields["window"].default
    outcome.check("what is declared as given up did not come", len(came) <= window, came[:5])
    outcome.figures |= {"batches_given_up": len(holes), "overflow_gaps": len(overflows)}
    return outcome


def first_commits(course: Course, folder: Path) -> Outcome:
    """No journal yet, SIGKILL around the first commit; then start again, deliver, stop in order, remove the journal."""
    outcome = Outcome("kills-first")
    chance = random.Random(SEED)
    with plant(course.setting(), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        for number in range(course.times):
            if number:
                _stop(ends, outcome)
                for file in folder.glob("journal.db*"):
                    file.unlink()
                time.sleep(1.0)  # epochs count seconds
            before = int(run.devices.board.served.sum())
            ends.start()
            if number % 2:
                ends.wait(lambda before=before: _reading(ends, before), "nothing is read")  # type: ignore[misc]
            else:
                ends.wait(ends.journal.exists, "no journal is made")
            time.sleep(chance.uniform(0, EARLY))
            ends.kill("first commit")
            ends.begin()
        report = end(run, outcome)
    ends.judge(outcome, report)
    return outcome


def _stop(ends: Ends, outcome: Outcome) -> None:
    """SIGTERM, and what must be so afterwards."""
    at = time.time_ns()
    seconds = ends.run.gateway.stop(DRAIN + CLOSING + 5)
    process = ends.run.gateway.process
    code = process.returncode if process else None
    outcome.check("SIGTERM: exit code 0", code == 0, f"{code}\n{ends.run.gateway.tail(600)}")
    outcome.check("SIGTERM: within the deadline", seconds <= DRAIN + CLOSING, f"{seconds:.1f} s")
    outcome.figures["stop_s"] = max(round(seconds, 2), outcome.figures.get("stop_s", 0))
    ends.note("told to stop", at)


def drain(course: Course, folder: Path) -> Outcome:
    """SIGTERM under full load, again and again: all that was committed is delivered before the gateway ends."""
    outcome = Outcome("stop")
    with plant(course.setting(), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        run.gateway.command += [f"--drain={DRAIN:g}s"]
        for _ in range(course.times):
            ends.begin()
            time.sleep(course.steady)
            _stop(ends, outcome)
            still(run)
            report = run.subscriber.ask("report")
            held = [*report["holes"], *_held_back(folder, report)]
            outcome.check("everything committed is delivered at the stop", not held, held[:5])
        ends.begin()
        report = end(run, outcome)
    ends.judge(outcome, report)
    outcome.check("nothing comes twice", not report["duplicated"], f"{report['duplicated']} points")
    outcome.check("the numbering goes on in the same epoch", len(report["epochs"]) == 1, report["epochs"])
    return outcome


def drain_offline(course: Course, folder: Path) -> Outcome:
    """SIGTERM while the broker is down: the gateway ends within its deadline and keeps all; the next run delivers."""
    outcome = Outcome("stop-offline")
    with plant(course.setting(), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        run.gateway.command += [f"--drain={DRAIN:g}s"]
        ends.begin()
        run.broker.stop(10.0)
        time.sleep(course.outage)
        _stop(ends, outcome)
        held = len(ends.committed.batches)
        outcome.check("the backlog is kept", held >= course.outage, f"{held} batches")
        run.broker.start()
        ends.begin()
        time.sleep(course.steady)
        report = end(run, outcome)
    ends.judge(outcome, report)
    outcome.check("the numbering goes on in the same epoch", len(report["epochs"]) == 1, report["epochs"])
    return outcome


def _held_back(folder: Path, report: dict[str, object]) -> list[int]:
    """Seqs in the journal of a gateway that has stopped, behind the last that was delivered."""
    epochs = report["epochs"]
    assert isinstance(epochs, list)
    newest = report["newest"]
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        found = journal.execute("SELECT seq FROM batch WHERE epoch = ? AND seq > ?", (epochs[-1], newest))
        return [seq for (seq,) in found]


def descriptors(course: Course, folder: Path) -> Outcome:
    """Too few file descriptors to reach all devices; then none at all while links break; then enough."""
    outcome = Outcome("descriptors")
    patience = {"timeout": "500ms", "retry": "500ms", "retry_max": "1s"}
    with plant(course.setting(connection=patience), folder) as run:
        ends = Ends(run, course, folder / "journal.db")
        run.gateway.command = ["prlimit", f"--nofile={FEW}:{ENOUGH}", *run.gateway.command]
        ends.start()
        ends.wait(lambda: _limit(run) == (ENOUGH, ENOUGH), "the gateway does not take what it may have")
        _limit(run, FEW)  # in time: the configuration is read next
        ends.wait(lambda: bool(polls(run).any()), "nothing is read")
        time.sleep(course.steady)
        reached = int((polls(run) > 0).sum())
        outcome.check("some devices are read with too few descriptors", 0 < reached < course.devices, reached)
        recovered = _allow(run, course)
        outcome.check("all are read once there are enough", recovered < 30, f"{recovered:.1f} s")
        _limit(run, 3)  # not even in the place of what is closed
        for number in range(course.devices):
            run.devices.ask(f"silence {number}")
        run.broker.stop(10.0)
        run.broker.start()
        time.sleep(course.outage)
        for number in range(course.devices):
            run.devices.ask(f"speak {number}")
        time.sleep(course.outage)
        outcome.check("the gateway lives", run.gateway.running.poll() is None)
        outcome.recovery = round(_allow(run, course), 1)
        outcome.check("all are read again", outcome.recovery < 30, outcome.recovery)
        before = ends.arrived()
        ends.wait(lambda: ends.arrived() > before, "nothing arrives after the shortage")
        time.sleep(course.steady)
        log = run.gateway.tail(1 << 20)
        report = end(run, outcome)
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outcome.check("the log names the shortage", "descriptors_exhausted" in log, log[-600:])
    outages = {gap.get("device") for gap in report["gaps"] if gap["reason"] == "outage"}
    outcome.check("the silence of each device is declared", len(outages) == course.devices, len(outages))
    outcome.figures |= {"devices_reached_with_few": reached, "descriptors": FEW}
    return outcome


FEW: Final = 40
"""Descriptors that are not enough for a socket to each device."""
ENOUGH: Final = 1024


def _limit(run: Plant, soft: int | None = None) -> tuple[int, int]:
    """How many descriptors the gateway may have open, and how many it may allow itself; ``soft`` sets the first."""
    limits = () if soft is None else ((soft, ENOUGH),)
    return resource.prlimit(run.gateway.pid, resource.RLIMIT_NOFILE, *limits)


def _allow(run: Plant, course: Course) -> float:
    """Let the gateway have enough descriptors; seconds until every device was read again."""
    _limit(run, ENOUGH)
    before = polls(run)
    return wait(lambda: bool((polls(run) > before + 1).all()), 30 + course.outage)


SMALL: Final = Course(outage=0.0, steady=1.0, scan=0.02, devices=10, registers=125)
FULL: Final = Course(outage=0.0, steady=2.0, scan=0.0, devices=40, registers=125)
"""As fast as devices and gateway can; one block of registers per device, as the account of many ends expects."""

SCENARIOS: Final = (
    Scenario(
        "kill",
        "gateway killed, started again",
        "live data",
        kill_at_work,
        short=Course(outage=0.0, steady=1.5, registers=250),
        long=Course(outage=0.0),
    ),
    Scenario(
        "kill-offline",
        "broker down, gateway killed, started again, broker back",
        "backlog",
        kill_offline,
        short=Course(outage=4.0, steady=1.5, registers=250, change="10%"),
        long=Course(outage=60.0),
    ),
    Scenario(
        "kills",
        "gateway killed at random moments, during recovery, schema publication and first commit too",
        "full load",
        kills,
        short=replace(SMALL, times=10),
        long=replace(FULL, times=200),
    ),
    Scenario(
        "kills-full",
        "broker down, journal at its limit, gateway killed at random moments, broker back",
        "backlog that is being given up",
        kills_while_full,
        short=replace(SMALL, times=3),
        long=replace(FULL, scan=0.02, times=30),
    ),
    Scenario(
        "kills-first",
        "gateway killed around the first commit of a new journal",
        "full load",
        first_commits,
        short=replace(SMALL, times=3),
        long=replace(FULL, times=40),
    ),
    Scenario(
        "stop",
        "SIGTERM, started again",
        "full load",
        drain,
        short=replace(SMALL, times=2),
        long=replace(FULL, times=20),
    ),
    Scenario(
        "stop-offline",
        "broker down, SIGTERM, broker back, started again",
        "backlog",
        drain_offline,
        short=replace(SMALL, outage=2.0),
        long=replace(FULL, scan=0.1, outage=60.0),
    ),
    Scenario(
        "descriptors",
        "too few file descriptors, then none while links break, then enough",
        "live data",
        descriptors,
        short=replace(SMALL, devices=40, scan=0.1, outage=2.0),
        long=replace(FULL, devices=40, scan=0.1, outage=30.0),
    ),
)
