"""For tests of adapters that poll with a register table: a loop to be left empty, and values by the name of the tag."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import numpy as np

from gateway.config.base import TagConfig
from gateway.model.quality import Quality
from gateway.model.types import DTYPES, DataType
from gateway.runtime.loop import loop_factory
from gateway.sdk.adapter import Plan, Readings, Reads, Session
from gateway.wire.registers import RegisterTable


def run_alone(work: Callable[..., Awaitable[object]], *arguments: Any, limit: float = 30.0) -> None:
    """Run a coroutine function in a loop of its own, for ``limit`` seconds at most, and see that it leaves no task."""

    async def whole() -> None:
        async with asyncio.timeout(limit):
            await work(*arguments)
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(whole())


def values(plan: Plan, out: Readings, tags: Sequence[TagConfig]) -> dict[str, Any]:
    """Raw value by tag name, or the quality of what failed, or ``undecodable``."""
    table, image = cast("RegisterTable", plan.table), cast("bytearray", out.image)
    bad: list[int] = []
    packed = table.packed(image, bad)
    found: dict[int, Any] = dict(table.texts(image, bad))
    at = 0
    for kind, first, count in table.layout.columns:
        if kind.packed:
            column = np.frombuffer(packed[at : at + count * kind.width].tobytes(), DTYPES[kind]).tolist()
            found |= {
                first + place: bool(value) if kind is DataType.BOOL else value for place, value in enumerate(column)
            }
            at += count * kind.width
    places = table.layout.position
    return {tag.name: _told(out.failures.get(place), places[place], bad, found) for place, tag in enumerate(tags)}


def _told(failure: Quality | None, place: int, bad: Sequence[int], found: dict[int, Any]) -> Any:
    if failure is not None:
        return failure
    return "undecodable" if place in bad else found[place]


async def poll(session: Session, plan: Plan, tags: Sequence[TagConfig], out: Readings | None = None) -> dict[str, Any]:
    """Poll once, and give values by tag name."""
    out = out or Readings(len(tags), plan.table)
    out.clear()
    await cast("Reads", session).read(plan, out)
    return values(plan, out, tags)
