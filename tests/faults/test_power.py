"""The power fails under the journal, in short."""

import pytest

from benchmarks.campaign.mount import why_not
from benchmarks.campaign.power import SCENARIOS

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(SCENARIOS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
