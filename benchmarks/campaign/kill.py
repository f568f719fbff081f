"""The gateway dies (SIGKILL) and is started again: what was committed arrives, what was not is declared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from benchmarks.campaign.scenario import Course, Outcome, Scenario, arrival, begin, catch_up, end, judge_kill, kill
from benchmarks.processes import plant


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
)
