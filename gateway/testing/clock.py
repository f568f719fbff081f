"""Virtual clock: an event loop that jumps to the next timer. An hour of retries takes a second."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Event loop on virtual time, which starts at 1000 s. For code that waits on timers only, not on sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        """Virtual time in seconds; a test may add to it, as if something had held the loop up."""

    def time(self) -> float:
        """Virtual monotonic time in seconds."""
        return self.now

    def _run_once(self) -> None:
        # the one hook: asyncio computes how long to sleep from time() and the first timer; now that is not at all
        if not self._ready:  # type: ignore[attr-defined]
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            self.now = max(self.now, min(timers, default=self.now))
        super()._run_once()  # type: ignore[misc]


def virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
