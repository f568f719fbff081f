"""The power fails under the journal, in short."""

import pytest

from benchmarks.campaign.power import SCENARIOS
from benchmarks.campaign.scenario import Skipped


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(SCENARIOS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    try:
        outcome = outcomes[scenario].result()
    except Skipped as reason:
        pytest.skip(str(reason))
    assert outcome.passed, outcome.failures()
