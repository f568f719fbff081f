"""Scan rates on absolute times: tick n of a rate is at t0 + n·T, however long the polls before it took.

All jobs of one rate share their ticks, whatever device they belong to. So 100 devices read once a second cost one
timer and one wake-up of the loop a second, and their replies, commits and publishes ride together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Due = Callable[[int], None]
"""Called at a tick with the number of ticks that were skipped just before it, because the loop itself was late."""


class Ticker:
    """One scan rate. ``period`` in seconds, above 0, on the loop's monotonic clock: wall-clock jumps do no harm."""

    __slots__ = ("_due", "_handle", "_loop", "_start", "_tick", "period")

    def __init__(self, loop: asyncio.AbstractEventLoop, period: float, start: float) -> None:
        self._loop = loop
        self._due: list[Due] = []
        self._handle: asyncio.TimerHandle | None = None
        self._start = start
        self._tick = 0
        self.period = period

    def add(self, due: Due) -> None:
        """Call ``due`` at every tick from now on."""
        self._due.append(due)
        if self._handle is None:
            self._tick = max(0, int((self._loop.time() - self._start) / self.period))
            self._arm()

    def remove(self, due: Due) -> None:
        """Stop calling it."""
        self._due.remove(due)
        if not self._due:
            self.stop()

    def stop(self) -> None:
        """Call nobody any more."""
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        self._tick += 1
        self._handle = self._loop.call_at(self._start + self._tick * self.period, self._fire)

    def _fire(self) -> None:
        late = int((self._loop.time() - self._start) / self.period) - self._tick
        skipped = max(0, late)
        self._tick += skipped
        self._arm()
        for due in tuple(self._due):
            due(skipped)


class Schedule:
    """All scan rates of the gateway, on one common origin so that 1 s and 500 ms meet at every second."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._tickers: dict[float, Ticker] = {}

    def add(self, period: float, due: Due) -> None:
        """Call ``due`` every ``period`` seconds."""
        if period not in self._tickers:
            self._tickers[period] = Ticker(self._loop, period, self._start)
        self._tickers[period].add(due)

    def remove(self, period: float, due: Due) -> None:
        """Undo `add`."""
        self._tickers[period].remove(due)

    def stop(self) -> None:
        """Call nobody any more."""
        for ticker in self._tickers.values():
            ticker.stop()
        self._tickers.clear()
