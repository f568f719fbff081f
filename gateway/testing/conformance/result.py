"""Result of one rule for one adapter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    EXEMPT = "exempt"
    """quality.yaml says why."""
    REVIEW = "review"
    """Judged by people: what quality.yaml says stands."""
    UNMEASURED = "not measured"
    """Needs something that was not given, such as a coverage file."""
    TODO = "todo"


class Short(Exception):
    """A rule is not met. ``str()``: what was seen; ``mend``: what to do about it."""

    def __init__(self, seen: str, mend: str) -> None:
        super().__init__(seen)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen."""

    adapter: str
    tier: str
    rule: str
    verdict: Verdict
    seen: str = ""
    mend: str = ""
    seconds: float = 0.0

    @property
    def short(self) -> bool:
        """True when the rule is not met."""
        return self.verdict in {Verdict.FAILED, Verdict.TODO}
