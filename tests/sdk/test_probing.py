"""A probe out of a question: what a fault means to the person who asked; and where what arrives belongs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from gateway.model.faults import AuthFault, ConfigFault, Fault, LinkLost, OutOfStep, ProtocolFault, TagFault, Timeout
from gateway.sdk import places_by, probe_with


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (LinkLost("x", code="connection_refused"), "refused"), (LinkLost("x", code="connect_timeout"), "timeout"),
        (Timeout("x"), "timeout"), (OutOfStep("x"), "timeout"),
        (OutOfStep("x", code="answer_incomplete"), "wrong_protocol"), (AuthFault("x"), "auth"), (TagFault("x"), "ok"),
        (ProtocolFault("x"), "wrong_protocol"), (ConfigFault("x"), "refused"), (Fault("x"), "refused"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["open", "ask"])
def test_outcomes(fault: Fault, outcome: str, where: str) -> None:
    closed = []

    @asynccontextmanager
    async def session() -> AsyncIterator[int]:
        if where == "open":
            raise fault
        yield 7
        closed.append(True)

    async def ask(number: int) -> tuple[tuple[str, str], ...]:
        raise fault

    assert asyncio.run(probe_with(session, ask, "fine")).outcome == outcome


def test_all_is_well() -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[int]:
        yield 7

    async def ask(number: int) -> tuple[tuple[str, str], ...]:
        return (("vendor", str(number)),)

    probed = asyncio.run(probe_with(session, ask, "fine"))
    assert (probed.outcome, probed.detail, probed.identity) == ("ok", "fine", (("vendor", "7"),))


def test_places_of_what_arrives() -> None:
    one = SimpleNamespace(tags=["a", "b", "a"])
    two = SimpleNamespace(tags=["b"])
    assert places_by([one, two], str.upper) == {"A": [(one, 0), (one, 2)], "B": [(one, 1), (two, 0)]}  # type: ignore[list-item]
