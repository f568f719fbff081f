"""The one table of retries in the house: which fault leads to which recovery."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.model.faults import (
    AuthFault,
    Busy,
    ConfigFault,
    Fault,
    LinkLost,
    OutOfStep,
    ProtocolFault,
    TagFault,
    Timeout,
)


class Scope(Enum):
    """Who is concerned by a fault."""

    DEVICE = "device"
    LINK = "link"


class Pace(Enum):
    """When to try again."""

    BACKOFF = "backoff"
    """After ``retry``, doubling up to ``retry_max``, with jitter."""
    SLOW = "slow"
    """After ``retry_max`` at once: the peer counts our failures."""
    AS_TOLD = "as told"
    """After the wait that the peer asked for."""
    NEVER = "never"
    """Not before the configuration was edited."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the runtime does about a fault."""

    scope: Scope
    close: bool
    """Give up the session and open a new one."""
    pace: Pace
    forgiven: int = 0
    """Consecutive faults of this kind that a device may have before it counts as down: noise on a line is normal."""


RECOVERY: Final[dict[type[Fault], Recovery]] = {
    ConfigFault: Recovery(Scope.DEVICE, close=False, pace=Pace.NEVER),
    AuthFault: Recovery(Scope.LINK, close=True, pace=Pace.SLOW),
    LinkLost: Recovery(Scope.LINK, close=True, pace=Pace.BACKOFF),
    Timeout: Recovery(Scope.DEVICE, close=False, pace=Pace.BACKOFF, forgiven=1),
    OutOfStep: Recovery(Scope.DEVICE, close=True, pace=Pace.BACKOFF, forgiven=1),
    Busy: Recovery(Scope.DEVICE, close=False, pace=Pace.AS_TOLD, forgiven=3),
    TagFault: Recovery(Scope.DEVICE, close=False, pace=Pace.BACKOFF),
    ProtocolFault: Recovery(Scope.DEVICE, close=True, pace=Pace.BACKOFF, forgiven=1),
    Fault: Recovery(Scope.DEVICE, close=True, pace=Pace.BACKOFF),
}


def recovery(fault: Fault) -> Recovery:
    """Row of the table for this fault: its own class's, or that of the nearest base."""
    for kind in type(fault).__mro__:
        if kind in RECOVERY:
            return RECOVERY[kind]
    return RECOVERY[Fault]


class Backoff:
    """Waits that double from ``first`` to ``cap`` seconds, each shortened at random by up to a quarter.

    The jitter keeps a thousand gateways that lost the same switch from coming back in the same millisecond.
    """

    __slots__ = ("_cap", "_first", "_next")

    def __init__(self, first: float, cap: float) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def wait(self) -> float:
        """Seconds until the next try."""
        wait, self._next = self._next, min(self._next * 2, self._cap)
        return wait * random.uniform(0.75, 1.0)  # noqa: S311 - no secret

    def slow(self) -> float:
        """Seconds until the next try of one whose failures the peer counts."""
        return self._cap * random.uniform(0.75, 1.0)  # noqa: S311 - no secret

    def reset(self) -> None:
        """It works again."""
        self._next = self._first
