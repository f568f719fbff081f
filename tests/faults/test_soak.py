"""Minutes of a day, in seconds: nothing is lost, nothing grows."""

from dataclasses import replace

import pytest

from benchmarks.campaign.soak import SCENARIOS
from benchmarks.processes import run_folder


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_scenario(scenario):
    with run_folder() as folder:
        outcome = scenario.run(replace(scenario.short, outage=8.0, steady=1.0), folder)
    assert outcome.passed, outcome.failures()
