"""The broker goes and comes back, in short."""

import pytest

from benchmarks.campaign.broker import SCENARIOS

PATIENT = {"broker-auth", "broker-small-untold"}
"""Half a minute of waiting each, by design: tests/forward/test_reconfigured.py does the same with shorter waits."""
QUICK = [scenario for scenario in SCENARIOS if scenario.name not in PATIENT]


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(QUICK, at_once=6)


def test_the_patient_ones_are_there():
    assert {scenario.name for scenario in SCENARIOS} > PATIENT


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in QUICK])
def test_scenario(outcomes, scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
