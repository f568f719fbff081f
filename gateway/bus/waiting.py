"""Who waits for batches to be committed: flushes, and sources that acknowledge only what is safe.

Batches are committed in the order of their turns, so those who wait form a queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

Then = Callable[[], None]


class _Waiter(NamedTuple):
    turn: int
    then: Then
    lost: Then | None


class Waiting:
    """The queue of one bus. Calls are made in the loop, in order, as soon as a turn is reached."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[_Waiter] = deque()

    def add(self, turn: int, then: Then, lost: Then | None = None) -> None:
        """Call ``then`` once the batch of ``turn`` is committed.

        ``lost``: called instead when it, or one before it, was given up; None: a batch that is gone counts as done.
        """
        self._queue.append(_Waiter(turn, then, lost))

    async def until(self, turn: int) -> None:
        """Wait until the batch of ``turn`` is committed, or nothing is any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        self.add(turn, wake)
        await future

    def reached(self, turn: int) -> None:
        """All batches up to ``turn`` are committed."""
        queue = self._queue
        while queue and queue[0].turn <= turn:
            queue.popleft().then()

    def given_up(self, turn: int) -> None:
        """The batch of ``turn`` is gone for good. Whoever asked for safety may have had something in it."""
        before, self._queue = self._queue, deque()
        for waiter in before:
            if waiter.lost is not None:
                waiter.lost()
            else:
                self._queue.append(waiter._replace(turn=waiter.turn - (waiter.turn == turn)))

    def end(self) -> None:
        """Nothing is committed any more: flushes return (and find out why), nobody is told that anything is safe."""
        before, self._queue = self._queue, deque()
        for waiter in before:
            (waiter.lost or waiter.then)()
