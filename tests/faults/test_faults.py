"""Faults done to real processes, in short and all at once. `script/acceptance` does the same one by one, for longer."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from benchmarks.faults import SCENARIOS, Course, Outcome
from benchmarks.processes import run_folder

OUTAGES = {"broker": 8.0, "kill": 0.0, "kill-offline": 4.0, "dead-unit": 6.0, "dead-device": 3.0}
"""Seconds that something is down."""
CHANGE = {"kill-offline": "10%"}
"""Reports by exception instead of everything new in each poll."""


@pytest.fixture(scope="module")
def outcomes():
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        yield {name: pool.submit(run, name) for name in SCENARIOS}


def run(scenario: str) -> Outcome:
    course = Course(
        OUTAGES[scenario], steady=1.5, scan=0.1, devices=10, registers=250, change=CHANGE.get(scenario, "all")
    )
    with run_folder() as folder:
        return SCENARIOS[scenario](course, folder)


def test_all_scenarios_have_a_short_form():
    assert OUTAGES.keys() == SCENARIOS.keys()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(outcomes: dict[str, Future[Outcome]], scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
