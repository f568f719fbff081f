"""A real adapter whose machine follows a script: what a poll of a device brings, or which fault it raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from gateway.config.base import ConnectionConfig, DeviceConfig, TagConfig
from gateway.model.faults import Fault
from gateway.sdk.adapter import Limits, Plan, Readings, Request

Answer = Callable[[], int | Fault | Exception | float]


class Line(ConnectionConfig):
    """Connection of the scripted adapter."""

    line: str = "a"

    @property
    def endpoint(self) -> str:
        """Identity."""
        return f"line:{self.line}"


class Machine:
    """What the other end does. ``answers[device]``: an int is the value of all its tags, a fault is raised."""

    def __init__(self) -> None:
        self.answers: dict[str, int | Fault | Exception] = {}
        self.failing: dict[str, int] = {}
        """Quality that all tags of a device are said to have."""
        self.open_fault: Fault | Exception | None = None
        self.opened = 0
        self.closed = 0
        self.polls: list[tuple[str, float]] = []
        self.delay: dict[str, float] = {}
        self.busy = 0
        self.swallows = ""
        """Where a cancellation is swallowed: open, read or close."""

    async def dawdle(self, where: str) -> None:
        """Take an hour, and return when that is cancelled."""
        if where == self.swallows:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


class ScriptedAdapter:
    """See the module."""

    limits = Limits()

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:
        name = device.description
        return Plan([NamedRequest(tuple(range(len(tags))), name)])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ScriptedSession]:
        if self.machine.open_fault is not None:
            raise self.machine.open_fault
        self.machine.opened += 1
        await self.machine.dawdle("open")
        try:
            yield ScriptedSession(self.machine)
        except asyncio.CancelledError:
            if self.machine.swallows != "close":
                raise
        finally:
            self.machine.closed += 1


class NamedRequest(Request):
    """A request that knows its device."""

    def __init__(self, tags: tuple[int, ...], name: str) -> None:
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "name", name)


class ScriptedSession:
    """One session."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def read(self, plan: Plan, out: Readings) -> None:
        machine = self.machine
        assert machine.busy == 0, "an endpoint has one owner: two requests at once would collide on the wire"
        machine.busy += 1
        try:
            await machine.dawdle("read")
            name: str = plan.requests[0].name  # type: ignore[attr-defined]
            machine.polls.append((name, asyncio.get_running_loop().time()))
            await asyncio.sleep(machine.delay.get(name, 0))
            answer = machine.answers.get(name, 1)
            if isinstance(answer, Exception):
                raise answer
            for tag in plan.requests[0].tags:
                out.set(tag, answer)
                if name in machine.failing:
                    out.failures[tag] = machine.failing[name]  # type: ignore[assignment]
        finally:
            machine.busy -= 1
