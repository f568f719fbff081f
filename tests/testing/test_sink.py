"""A platform in memory: a whole gateway delivers to it, is refused, cut off and kept away, and loses nothing."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from gateway.model.faults import Busy, LinkLost
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.sdk.sink import Message, Rejected
from gateway.testing import sink as module
from gateway.testing.ports import free_port
from gateway.testing.sink import MemorySink

CONFIG = """
gateway: {{id: plant}}
observe: {{http: "off"}}
bus: {{linger: 10ms}}
connections:
  line: {{adapter: modbus, host: 127.0.0.1, port: {port}, retry: 50ms}}
devices:
  press-1:
    connection: line
    scan: 20ms
    report: always
    tags: [{{name: oil, type: int16, address: "hr:1"}}]
lanes:
  platform: {{payload: {payload}, to: {{host: 127.0.0.1}}}}
"""


@asynccontextmanager
async def running(folder, sink, payload="columnar"):
    """A gateway that reads a press, whose oil counts, and delivers to the sink."""
    from adapters.modbus.simulator import Simulator

    port = free_port()
    path = folder / "plant.yaml"
    path.write_text(CONFIG.format(port=port, payload=payload), "utf-8")
    configuration = load_configuration(path)
    stop = asyncio.Event()
    async with Simulator.of(configuration.connections["line"]) as plant:
        device = configuration.devices["press-1"]
        press = plant.device(device.config)
        press.set(device.tags[0], 1)
        gateway = asyncio.create_task(Gateway(configuration, sink.made).run(stop, 5.0))
        try:
            yield lambda value: press.set(device.tags[0], value)
        finally:
            stop.set()
            await gateway


async def until(what):
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


def run(work):
    asyncio.run(work)


@pytest.mark.parametrize("payload", ["columnar", "json"])
def test_values_births_and_farewells(tmp_path, payload):
    async def work():
        sink = MemorySink()
        async with running(tmp_path, sink, payload) as oil:
            await until(lambda: 1 in sink.values("press-1", "oil"))
            oil(2)
            await until(lambda: 2 in sink.values("press-1", "oil"))
            assert len(sink.sessions) == 1
        assert not sink.sessions
        assert not sink.values("press-1", "no such tag")
        states = [json.loads(one.payload)["online"] for one in sink.messages if one.topic.endswith("plant/status")]
        assert (states[0], states[-1]) == (True, False)
        assert not sink.reader.report().lost

    run(work())


def test_refused_kept_away_and_cut_off_nothing_is_lost(tmp_path):
    async def work():
        sink = MemorySink(in_flight=2)
        sink.away = LinkLost("not yet", code="connection_refused")
        async with running(tmp_path, sink) as oil:
            await asyncio.sleep(0.2)
            assert not sink.messages
            sink.away = None
            await until(lambda: 1 in sink.values("press-1", "oil"))
            sink.refusals.append(Busy("a moment", wait=0.05))
            oil(2)
            await until(lambda: 2 in sink.values("press-1", "oil"))
            assert not sink.refusals
            sink.lose()
            assert all(session.lost for session in sink.sessions)
            oil(3)
            await until(lambda: 3 in sink.values("press-1", "oil"))
        report = sink.reader.report()
        assert (report.lost, report.duplicates) == (0, 0)
        assert {gap.reason for gap in sink.gaps} <= {"restart", "overrun"}, (
            "a poll under way at the stop, a busy machine"
        )

    run(work())


def test_what_is_rejected_is_not_kept():
    async def work():
        sink = MemorySink()
        async with sink.open(birth=Message("t", b"birth"), farewell=Message("t", b"farewell")) as session:
            sink.refusals.append(Rejected("too large"))
            with pytest.raises(Rejected):
                await session.send(Message("t", b"poison"))
            await session.send(Message("t", b"good"))
        assert [one.payload for one in sink.messages] == [b"birth", b"good", b"farewell"]

    run(work())


def test_who_is_cut_off_leaves_a_last_will():
    async def work():
        sink = MemorySink()
        async with sink.open(will=Message("t", b"will"), farewell=Message("t", b"farewell")) as session:
            watching = asyncio.ensure_future(session.watch())
            await asyncio.sleep(0)
            sink.lose(LinkLost("gone"))
            session.cut(LinkLost("again"))
            for told in (watching, session.send(Message("t", b"x"))):
                with pytest.raises(LinkLost, match="gone"):
                    await told
        assert [one.payload for one in sink.messages] == [b"will"]

    run(work())


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 10)
    sink = MemorySink()
    for number in range(25):
        sink.take(Message("t", b"%d" % number))
    assert [one.payload for one in sink.messages][0] == b"15"
