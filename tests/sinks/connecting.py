"""What the tests of the MQTT sink share: a sink, one round trip with it, the fault that it ends in."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from gateway.model.faults import Fault
from gateway.sdk.sink import Message
from gateway.sinks import make_sink, sink_model

STATUS = "xingsha/v1/gw/status"
WILL, BIRTH, BYE = (Message(STATUS, text, True) for text in (b'"will"', b'"birth"', b'"bye"'))


def sink(port: int, folder: Path = Path(), **settings):
    given = {"host": "127.0.0.1", "port": port, "connect_timeout": "2s"} | settings
    return make_sink("mqtt", sink_model("mqtt").model_validate(given), "gw", "cloud", folder=folder)


def deliver(target, *messages: Message) -> None:
    async def main():
        async with target.open(will=WILL, birth=BIRTH, farewell=BYE) as session:
            for message in messages:
                await session.send(message)

    asyncio.run(main())


def fault_of(target) -> Fault:
    with pytest.raises(Fault) as caught:
        deliver(target)
    return caught.value


def retained(port: int, topic: str, *more: str) -> bytes:
    done = subprocess.run(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-C", "1", "-W", "10", *more],
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
