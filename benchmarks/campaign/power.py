"""The power fails: the file system of the journal stops at once, and what was not synced is gone.

A witness outside reads the journal a moment before the cut, as any consumer could: what it saw was committed, and has
to be there when the disk is mounted again; and no number that was seen may be given to another batch afterwards.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.campaign.ends import Ends, place_in
from benchmarks.campaign.kill import EARLY, FULL, LATE, SEED, SMALL
from benchmarks.campaign.mount import LoopDisk
from benchmarks.campaign.scenario import Course, Outcome, Scenario, end
from benchmarks.processes import plant

BOOT: Final = 1.0
"""Seconds until the power is back, at least: epochs count seconds."""


def cut_full(course: Course, folder: Path) -> Outcome:
    """With ``synchronous: full``, the default: nothing that was committed is lost."""
    return _cuts("power", course, folder, "full")


def cut_normal(course: Course, folder: Path) -> Outcome:
    """With ``synchronous: normal``: shows what that costs. Lost it may be, but declared, and no number comes twice."""
    return _cuts("power-normal", course, folder, "normal")


def _cuts(name: str, course: Course, folder: Path, synchronous: str) -> Outcome:
    outcome = Outcome(name)
    chance = random.Random(SEED)
    went_back: list[int] = []
    bus = {"path": "disk/journal.db", "synchronous": synchronous}
    with LoopDisk(folder) as disk, plant(course.setting(bus=bus), folder) as run:
        ends = Ends(run, course, disk.point / "journal.db")
        for number in range(course.times):
            if number % 4 == 0:  # the first commits of a new or recovered journal
                ends.start()
                ends.wait(ends.opened, "the journal is not opened")
                time.sleep(chance.uniform(0, EARLY))
            else:
                ends.begin()
                time.sleep(chance.uniform(0, LATE))
            seen = _seen(ends.journal)
            at = time.time_ns()
            disk.cut()
            run.gateway.kill()
            disk.unmount()
            time.sleep(BOOT)
            disk.mount()
            went_back.append(seen - ends.note("at work" if number % 4 else "starting", at).place)
        ends.begin()
        time.sleep(course.steady)
        report = end(run, outcome)
    strict = synchronous == "full"
    ends.judge(outcome, report, strict=strict)
    lost = [batches for batches in went_back if batches > 0]
    if strict:
        outcome.check("all batches that a consumer could see are there after the cut", not lost, lost)
    outcome.figures |= {
        "cuts_that_lost_committed_batches": len(lost),
        "committed_batches_lost": int(np.sum(lost)),
        "epochs": len(report["epochs"]),
    }
    return outcome


def _seen(journal: Path) -> int:
    """Place of the newest batch that another process can read now."""
    if not journal.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            return place_in(connection)
    except sqlite3.OperationalError:  # it is just being made
        return 0


SCENARIOS: Final = (
    Scenario(
        "power",
        "power cut under the journal, synchronous full",
        "full load",
        cut_full,
        short=replace(SMALL, times=5),
        long=replace(FULL, times=50),
    ),
    Scenario(
        "power-normal",
        "power cut under the journal, synchronous normal",
        "full load",
        cut_normal,
        short=replace(SMALL, times=2),
        long=replace(FULL, times=20),
    ),
)
