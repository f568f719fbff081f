"""Faults done to real processes, in short. `script/acceptance` runs the same in their long form.

XINGSHA_FAULT_OUTAGE=60 makes the outages of these tests longer (seconds).
"""

import os

import pytest

from benchmarks.faults import SCENARIOS, Course
from benchmarks.processes import run_folder

OUTAGE = float(os.environ.get("XINGSHA_FAULT_OUTAGE", "6"))


@pytest.mark.timeout(120 + 10 * OUTAGE)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario):
    course = Course(outage=OUTAGE, steady=1.5, scan=0.1, devices=10, registers=250)
    with run_folder() as folder:
        outcome = SCENARIOS[scenario](course, folder)
    assert outcome.passed, outcome.failures()


@pytest.mark.timeout(120 + 10 * OUTAGE)
def test_broker_outage_with_reports_by_exception():
    course = Course(outage=min(OUTAGE, 4), steady=1.5, scan=0.1, devices=10, registers=1000, change="1%")
    with run_folder() as folder:
        outcome = SCENARIOS["broker"](course, folder)
    assert outcome.passed, outcome.failures()
