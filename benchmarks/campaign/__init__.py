"""The fault campaign: every way we know to hurt a gateway, done to real processes and judged from what arrived.

One module per family, each with its ``SCENARIOS``. `script/faults` runs them in their long form, `tests/faults` runs
the short forms. ``python -m benchmarks.campaign --help`` tells the rest.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.campaign.scenario import Scenario

ORDER: Final = ("broker", "kill", "disk", "power", "devices", "clock", "poison", "soak")
"""Families in the order of the table."""
WAITING: Final = frozenset({"broker", "disk", "clock", "poison"})
"""Families whose scenarios wait for most of their time, and judge no interval: several can go on side by side."""


def family(name: str) -> tuple[Scenario, ...]:
    """Scenarios of one family."""
    scenarios: tuple[Scenario, ...] = import_module(f"{__name__}.{name}").SCENARIOS
    return scenarios


def families() -> dict[str, tuple[Scenario, ...]]:
    """All families that are there, by name."""
    here = Path(__file__).parent
    return {name: family(name) for name in ORDER if (here / f"{name}.py").exists()}
