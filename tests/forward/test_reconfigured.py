"""A broker that is other than it was: what was learned before must not stand in the way."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess

from gateway.forward.lane import LINK, Retry
from tests.forward.laneworks import counts, make_lane, memory_bus, put, put_batches, running
from tests.mosquitto import Mosquitto
from tests.platform import Platform, until


async def put_large(bus, first: int) -> None:
    """One batch of about 14 kB, with numbers ``first`` to ``first`` + 19."""
    for number in range(first, first + 20):
        put(bus, number, random.Random(number).randbytes(700).hex())
    await bus.flush()


def test_a_size_that_passed_before_is_cut_when_it_passes_no_more(tmp_path):
    """Mosquitto answers with a PUBACK that MQTT does not allow, so the client library hangs up: nothing is told.

    Live data gets through on every connection, so that something is always acknowledged in between.
    """
    unhandled = []
    keeps = ("allow_anonymous true", "persistence true", "autosave_interval 1", "autosave_on_changes true")
    keeps += (f"persistence_location {tmp_path}/",)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        async with memory_bus(tmp_path, linger="1s") as bus:
            lane = make_lane(bus, tmp_path, broker.port, order="fresh_first")
            async with running(lane):
                await put_large(bus, 0)
                await until(lambda: set(counts(platform.rows)) >= set(range(20)))
                await asyncio.to_thread(broker.kill)
                await until(lambda: not lane.status.connected)
                await put_large(bus, 20)
                broker.settings = (*keeps, "message_size_limit 6000")
                await asyncio.to_thread(broker.start)
                number = 100
                while lane.status.backlog or number < 105:
                    await put_batches(bus, number, 1)
                    number += 1
                    assert number < 300, "the large batch is never cut"
                    await asyncio.sleep(0.1)
            return number

    with Mosquitto(tmp_path, *keeps) as broker, Platform(broker.port) as platform:
        last = asyncio.run(main())
        asyncio.run(until(lambda: set(counts(platform.rows)) >= {*range(40), *range(100, last)}))
    assert max(platform.sizes[2:]) <= 6000
    assert not list((tmp_path / "dead").glob("*"))
    assert not unhandled


def test_the_first_refusal_is_the_first_whatever_was_before(tmp_path):
    """Links lost before make no refusal last longer."""
    passwords = tmp_path / "passwords"

    def password(text: str) -> None:
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "gw", text], check=True, capture_output=True)

    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port, sink={"username": "gw", "password": "right"})
            lane._refusal = Retry(0.5, 3600.0)
            async with running(lane):
                await until(lambda: lane._failures >= 8)
                password("other")
                await asyncio.to_thread(broker.start)
                await until(lambda: lane.status.reason == "auth_refused")
                password("right")
                broker.signal(signal.SIGHUP)
                await until(lambda: lane.status.connected, 10)

    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    try:
        asyncio.run(main())
    finally:
        broker.kill()


def test_the_broker_is_looked_for_every_few_seconds():
    """However long it was away: the backlog of an outage is not to wait for the next try."""
    assert LINK.longest <= 5
