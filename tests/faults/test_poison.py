"""Poison goes alone, in short."""

import pytest

from benchmarks.campaign.poison import SCENARIOS


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(SCENARIOS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
