"""Short forms of the fault campaign: the scenarios of a family run side by side. `script/faults` does them at length."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.campaign.scenario import Outcome, Scenario
from benchmarks.processes import run_folder


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:  # by one process: scenarios of a file run side by side as it is
            item.add_marker(pytest.mark.xdist_group("faults"))


@pytest.fixture(scope="module")
def side_by_side():
    """A function that starts the short forms of scenarios, a few at a time, and gives a future of each by name."""
    pools = []

    def start(scenarios: Sequence[Scenario], at_once: int = 5) -> dict[str, Future[Outcome]]:
        pool = ThreadPoolExecutor(at_once)
        pools.append(pool)
        return {scenario.name: pool.submit(_short, scenario) for scenario in scenarios}

    yield start
    for pool in pools:
        pool.shutdown(cancel_futures=True)


def _short(scenario: Scenario) -> Outcome:
    with run_folder() as folder:
        return scenario.run(scenario.short, folder)
