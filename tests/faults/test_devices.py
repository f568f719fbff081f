"""Devices misbehave and come to their senses, in short."""

import pytest

from benchmarks.campaign.devices import SCENARIOS


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(SCENARIOS, at_once=len(SCENARIOS))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
