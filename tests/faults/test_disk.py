"""The disk of the journal is full, fails, is slow, or has damaged the file, in short."""

import shutil

import pytest

from benchmarks.campaign.disk import NEEDS_GCC, NEEDS_MOUNT, SCENARIOS
from benchmarks.campaign.mount import why_not


def missing(name):
    """What this scenario needs and this machine has not; empty when it can be run."""
    if name in NEEDS_GCC and shutil.which("gcc") is None:
        return "gcc is not installed"
    return why_not() if name in NEEDS_MOUNT else ""


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(tuple(each for each in SCENARIOS if not missing(each.name)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_scenario(outcomes, scenario):
    if reason := missing(scenario):
        pytest.skip(reason)
    outcome = outcomes[scenario].result()
    assert outcome.passed, outcome.failures()
