"""The disk of the journal is full, answers with errors, or slowly: what is committed stays, what cannot be is declared.

Full: a small file system of its own, filled to the last byte by another file. Errors and delays: a library of a few
lines, preloaded into the gateway, stands before fsync. Damage to the file itself: `benchmarks.campaign.damage`.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.campaign.damage import damaged
from benchmarks.campaign.ends import STAMP_SLACK
from benchmarks.campaign.mount import LoopDisk
from benchmarks.campaign.scenario import Course, Outcome, Scenario, Skipped, begin, end, polls, wait
from benchmarks.pattern import Ints
from benchmarks.processes import Plant, Setting, Unfit, plant
from gateway.bus.local import PENDING_BATCHES
from gateway.config.root import BusConfig

SLOW: Final = 500
"""Milliseconds that each sync of a slow disk takes."""
MEMORY: Final = PENDING_BATCHES * BusConfig().batch_bytes
"""Bytes that may wait for the disk before devices are no longer read."""
GOOD: Final = 0
BAD: Final = 1
SOURCE: Final = Path(__file__).with_name("sync_fault.c")
LATEST: Final = 500_000_000
"""ns that an answer may take to the subscriber when all is well."""


def full_disk(course: Course, folder: Path) -> Outcome:
    """Another file takes all space while the lane keeps up; then it is removed."""
    return _full("disk-full", course, folder, offline=False)


def full_disk_offline(course: Course, folder: Path) -> Outcome:
    """The same while the broker is down: the backlog cannot grow, and the oldest of it is given up."""
    return _full("disk-full-offline", course, folder, offline=True)


def _full(name: str, course: Course, folder: Path, *, offline: bool) -> Outcome:
    outcome = Outcome(name)
    bus = {"path": "disk/journal.db", "min_free": "1MB", "limit": "1GB"}
    with LoopDisk(folder, 64) as disk, plant(course.setting(bus=bus), folder) as run:
        begin(run, course)
        if offline:
            run.broker.stop(10.0)
            time.sleep(course.steady)
        before = polls(run)
        outcome.figures["bytes_filled"] = disk.fill()
        time.sleep(course.outage)
        during = polls(run) - before
        _lives(run, outcome)
        disk.free()
        if offline:
            time.sleep(course.steady)
            run.broker.start()
        outcome.recovery = _level(run)
        time.sleep(course.steady)
        report = end(run, outcome)
    _judge_reading(outcome, course, report, during, writable=False)
    _judge_gaps(outcome, report)
    return outcome


def failing_sync(course: Course, folder: Path) -> Outcome:
    """Every sync fails with EIO for a while; then the disk is good again."""
    return _sync("disk-eio", course, folder, BAD)


def slow_sync(course: Course, folder: Path) -> Outcome:
    """Every sync takes half a second for a while."""
    return _sync("disk-slow", course, folder, SLOW)


def _sync(name: str, course: Course, folder: Path, fault: int) -> Outcome:
    outcome = Outcome(name)
    with _faulty(course.setting(), folder) as (run, order):
        begin(run, course)
        before = polls(run)
        arrived = run.subscriber.ask("mark")["batches"]
        order(fault)
        time.sleep(course.outage)
        during = polls(run) - before
        came = run.subscriber.ask("mark")["batches"] - arrived
        _lives(run, outcome)
        order(GOOD)
        outcome.recovery = _level(run)
        time.sleep(course.steady)
        report = end(run, outcome)
    _judge_reading(outcome, course, report, during, writable=fault != BAD)
    if fault == BAD:
        outcome.check("nothing that is not synced is delivered", came <= 1, f"{came} batches")
    else:
        outcome.check("batches go on arriving", came >= course.outage / 2, f"{came} batches")
    _judge_gaps(outcome, report)
    outcome.figures |= {"fault_s": course.outage, "batches_during": came}
    return outcome


def failing_sync_kill(course: Course, folder: Path) -> Outcome:
    """Every sync fails with EIO, and the gateway is killed while it does: what was delivered keeps its number."""
    outcome = Outcome("disk-eio-kill")
    with _faulty(course.setting(), folder) as (run, order):
        begin(run, course)
        for _ in range(course.times):
            order(BAD)
            failed = time.time_ns()
            time.sleep(course.outage)
            run.gateway.kill()
            killed = time.time_ns()
            order(GOOD)
            begin(run, course)
        report = end(run, outcome)
    gaps = [gap for gap in report["gaps"] if gap["reason"] == "restart"]
    late = [each for each in report["missing"] if not _within(gaps, each)]
    outcome.check("what is missing lies in a declared gap", not late, late[:5])
    outcome.check("the restart is declared", len(gaps) == course.times, gaps)
    outcome.declared, outcome.lost = report["lost"], 0 if not late else report["lost"]
    outcome.figures |= {"seconds_not_committed": round((killed - failed) / 1e9, 1)}
    return outcome


@contextmanager
def _faulty(setting: Setting, folder: Path) -> Iterator[tuple[Plant, Callable[[int], None]]]:
    """A plant whose gateway has a faulty disk, and a function that gives the disk its order."""
    orders = folder / "sync-order"
    orders.write_bytes(bytes(4))
    with plant(setting, folder) as run:
        run.gateway.environment |= {"LD_PRELOAD": str(_library()), "SYNC_FAULT": str(orders)}

        def order(number: int) -> None:
            with orders.open("r+b", buffering=0) as file:
                file.write(number.to_bytes(4, "little"))

        yield run, order


@cache
def _library() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="xingsha-sync-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / "sync_fault.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise Skipped("gcc is not installed: apt-get install gcc libc6-dev") from None
    except subprocess.CalledProcessError as error:
        raise Unfit(f"gcc: {error.stderr}") from None
    return library


def _lives(run: Plant, outcome: Outcome) -> None:
    process = run.gateway.process
    alive = process is not None and process.poll() is None
    outcome.check("the gateway lives", alive, run.gateway.tail(600))


def _level(run: Plant) -> float:
    """Seconds until all that is read from now on arrives: the backlog before it has arrived then, too."""
    began = time.time_ns()

    def level() -> bool:
        report = run.subscriber.ask("report")
        now = time.time_ns()
        late = [each for each in report["missing"] if each[4] > began and each[3] < now - LATEST]
        return report["last_receive"] > began and not late

    return round(wait(level, 60.0), 1)


def _within(gaps: list[dict[str, Any]], missing: list[int]) -> bool:
    _, _, _, first, last = missing
    covered = [gap for gap in gaps if gap["since"] - STAMP_SLACK <= last and first <= gap["until"]]
    reach = min((gap["since"] for gap in covered), default=last)
    return bool(covered) and reach - STAMP_SLACK <= first and last <= max(gap["until"] for gap in covered)


def _judge_reading(outcome: Outcome, course: Course, report: dict[str, Any], during: Ints, *, writable: bool) -> None:
    """Devices are read on; where nothing can be written, at least until memory holds no more, and then it is declared.

    A full disk may be such a case: the reserve that the gateway gives up is taken by whoever is just filling the disk.
    """
    due = course.outage / course.scan
    held = MEMORY / (2 * course.devices * course.registers)
    enough = 0.5 * due if writable else min(0.5 * due, 0.9 * held)
    outcome.check("devices are read on as long as memory holds", during.min() > enough, f"{during.min()} of {due:.0f}")
    gaps = [gap for gap in report["gaps"] if gap["reason"] in {"overflow", "overrun"} and gap.get("device") == "d0"]
    told = int(during[0]) + sum(gap["count"] for gap in gaps)
    outcome.check("what is no longer read is declared", told > 0.8 * due, f"{told} of {due:.0f}")


def _judge_gaps(outcome: Outcome, report: dict[str, Any]) -> None:
    """What never arrived must lie in gaps that say so, and nothing else may be missing."""
    gaps = [gap for gap in report["gaps"] if gap["reason"] == "overflow"]
    undeclared = [each for each in report["missing"] if not _within(gaps, each)]
    outcome.check("what is missing lies in a declared gap", not undeclared, undeclared[:5])
    given_up = [gap for gap in gaps if gap.get("first_seq")]  # others tell of polls that were not made
    outcome.check(
        "nothing is declared as given up where nothing is missing", bool(report["lost"]) or not given_up, given_up[:3]
    )
    outcome.declared = 0 if undeclared else report["lost"]
    outcome.lost -= outcome.declared
    outcome.figures |= {"overflow_gaps": len(gaps), "lost_points": outcome.lost, "declared_points": outcome.declared}


QUICK: Final = Course(outage=3.0, steady=1.0, scan=0.1, devices=10, registers=125)
LONG: Final = Course(outage=60.0, steady=5.0, scan=0.1, devices=10, registers=1000)

SCENARIOS: Final = (
    Scenario("disk-full", "disk full, space freed", "live data", full_disk, short=QUICK, long=LONG),
    Scenario(
        "disk-full-offline",
        "broker down, disk full, space freed, broker back",
        "backlog",
        full_disk_offline,
        short=replace(QUICK, registers=1000),
        long=LONG,
    ),
    Scenario("disk-eio", "every sync fails (EIO), then works", "live data", failing_sync, short=QUICK, long=LONG),
    Scenario(
        "disk-eio-kill",
        "every sync fails (EIO), gateway killed, disk works, started again",
        "live data",
        failing_sync_kill,
        short=replace(QUICK, outage=1.0, times=1),
        long=replace(LONG, outage=10.0, times=4, scan=0.2),  # the scoreboard remembers 1,024 polls of a device
    ),
    Scenario("disk-slow", "every sync takes 500 ms", "live data", slow_sync, short=QUICK, long=LONG),
    Scenario(
        "damage",
        "journal torn, cut and flipped at every page",
        "backlog",
        damaged,
        short=Course(times=6),
        long=Course(times=40),
    ),
)
