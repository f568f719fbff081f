"""Polls that were due and did not happen, gathered until they can be declared as one gap."""

from __future__ import annotations

from typing import Final

from gateway.model.batch import Gap

OVERRUN_EVERY: Final = 60_000_000_000
"""Overruns are declared at most this often per poll group (ns): an overload must not add a record to every poll."""


class Missed:
    """Missed polls of one poll group since the last one that succeeded."""

    __slots__ = ("_count", "_declared", "_reason", "_since", "covered")

    def __init__(self, clock: int) -> None:
        self.covered = clock
        """When the last poll succeeded, monotonic ns; at first, the start of the gateway."""
        self._count = 0
        self._reason = ""
        self._since = clock
        self._declared: int | None = None

    def add(self, reason: str, count: int = 1) -> None:
        """Polls were due and not done. The first reason stands, unless an outage follows overruns."""
        if not self._count:
            self._since = self.covered
        if not self._reason or (self._reason == "overrun" and reason == "outage"):
            self._reason = reason
        self._count += count

    @property
    def pending(self) -> bool:
        """True when there is something to declare."""
        return self._count > 0

    def settle(
        self, device: str, group: str, clock: int, offset: int = 0, *, stretch: int = 0, final: bool = False
    ) -> Gap | None:
        """Gap to be declared at a poll that succeeded, or (``final``) when there will be no further poll.

        ``clock``: monotonic ns. ``offset``: from there to wall time, for both ends of the gap: it is as long as it
        was, whoever has set the clock meanwhile. ``stretch``: of untrusted time, 0 for none.
        """
        recent = self._declared is not None and clock - self._declared < OVERRUN_EVERY
        if self._reason == "overrun" and not final and recent:
            return None
        since, until = self._since + offset, clock + offset
        gap = Gap(self._reason, since, until, device=device, group=group, count=self._count, clock=stretch)
        self._count, self._reason, self._declared = 0, "", clock
        return gap
