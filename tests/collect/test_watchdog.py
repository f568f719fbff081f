"""The watchdog, on a virtual clock: what comes back is left alone, what does not is given up, a cancel stays a cancel."""

from __future__ import annotations

import asyncio

import pytest

from gateway.collect.watchdog import Watchdog
from gateway.testing.clock import virtual


def test_work_that_comes_back_is_left_alone_however_much_of_it_there_is():
    async def body() -> None:
        async with Watchdog() as watchdog:
            for _ in range(1000):
                watchdog.start(5, "d1")
                await asyncio.sleep(4)
                watchdog.stop()
            await asyncio.sleep(100)  # idle is not late
            watchdog.start(5, "d1")
            await asyncio.sleep(1)
        assert not watchdog.expired

    virtual(body())


def test_work_that_does_not_come_back_is_given_up():
    async def body() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        watchdog = Watchdog()

        async def work() -> None:
            async with watchdog:
                watchdog.start(5, "d1")
                await asyncio.sleep(3)
                watchdog.stop()
                watchdog.start(5, "d2")
                await asyncio.sleep(1e6)

        with pytest.raises(TimeoutError):
            await work()
        assert watchdog.expired
        assert (watchdog.what, watchdog.patience) == ("d2", 5)
        assert loop.time() - began == pytest.approx(8)

    virtual(body())


def test_a_cancel_from_outside_is_not_taken_for_it():
    async def body() -> None:
        async def work() -> None:
            async with Watchdog() as watchdog:
                watchdog.start(5, "d1")
                await asyncio.sleep(1e6)

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual(body())
