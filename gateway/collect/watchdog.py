"""Watchdog: gives up a piece of work that does not come back, at the price of a few assignments.

`asyncio.timeout` makes an object, two coroutine calls and a timer for each piece; with thousands of polls a second that
is a tenth of all CPU, spent on something that never happens. Here one timer serves all pieces of one task: when it goes
off and the piece under way is still within its time, it is set anew.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType
from typing import Self


class Watchdog:
    """Context of the task that is watched. Raises TimeoutError at its end when a piece of work was given up."""

    __slots__ = ("_due", "_loop", "_scope", "_timer", "patience", "what")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self.what = ""
        """The piece of work that began last …"""
        self.patience = 0.0
        """… and how many seconds it may take."""

    @property
    def expired(self) -> bool:
        """True when a piece of work was given up."""
        return self._scope.expired()

    def start(self, seconds: float, what: str) -> None:
        """A piece of work begins. It is given up after ``seconds``, or when a longer one before it would have been."""
        self.what, self.patience = what, seconds
        self._due = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """It has come back."""
        self._due = inf

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _look(self) -> None:
        self._timer = None
        if self._due == inf:
            return
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._scope.reschedule(self._loop.time())
