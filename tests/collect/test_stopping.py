"""Endpoints that are told to stop, whatever their adapters make of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.collect.scripted import Machine
from tests.collect.test_endpoint import Plant, run


@pytest.mark.timeout(20)
@pytest.mark.parametrize("where", ["open", "read", "close"])
def test_an_adapter_that_swallows_a_cancellation_does_not_keep_the_gateway_from_stopping(where: str) -> None:
    async def body(at_work: Plant) -> None:
        await asyncio.sleep(0.2)

    machine = Machine()
    machine.swallows = where
    run(body, machine)
    assert (machine.opened, machine.closed) == (1, 1)
