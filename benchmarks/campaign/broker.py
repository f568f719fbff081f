"""The broker goes, and comes back: nothing may be lost, and what comes twice must carry its own number."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from benchmarks.campaign.scenario import Course, Outcome, Scenario, begin, catch_up, end, polls
from benchmarks.processes import plant


def broker_outage(course: Course, folder: Path) -> Outcome:
    """Broker down, devices read on, broker back: everything arrives."""
    outcome = Outcome("broker-stopped")
    with plant(course.setting(), folder) as run:
        begin(run, course)
        run.broker.stop(10.0)
        before = polls(run)
        time.sleep(course.outage)
        during = polls(run) - before
        run.broker.start()
        outcome.recovery = catch_up(run, course)
        time.sleep(course.steady)
        report = end(run, outcome)
    due = course.outage / course.scan
    outcome.check("devices are read on during the outage", during.min() > 0.9 * due, f"{during.min()} of {due:.0f}")
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outcome.figures |= {"outage_s": course.outage, "caught_up_s": outcome.recovery}
    return outcome


SCENARIOS: Final = (
    Scenario(
        "broker-stopped",
        "broker stopped, started again",
        "live data",
        broker_outage,
        short=Course(outage=8.0, steady=1.5, registers=250),
        long=Course(outage=60.0),
    ),
)
