"""The broker goes and comes back, in short."""

import pytest

from benchmarks.campaign.broker import SCENARIOS

SLOW = ("broker-auth", "broker-small-untold")
"""Long waits, little work: started first."""


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(sorted(SCENARIOS, key=lambda scenario: scenario.name not in SLOW), at_once=8)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
