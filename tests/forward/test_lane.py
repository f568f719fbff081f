"""Lanes against a real Mosquitto: nothing is lost while it is killed, frozen, strict or small."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.bus import open_bus
from gateway.config.root import BusConfig
from gateway.forward.deadletters import Spool
from gateway.model.faults import ConfigFault
from gateway.observe.status import DeviceState, DeviceStatus
from gateway.reader import Declared
from tests.forward.laneworks import counts, make_lane, memory_bus, put, put_batches, running
from tests.mosquitto import Mosquitto
from tests.platform import Platform, until

DURABLE = ("allow_anonymous true", "persistence true", "autosave_interval 1", "autosave_on_changes true")


def durable(folder: Path) -> Mosquitto:
    return Mosquitto(folder / "broker", *DURABLE, f"persistence_location {folder / 'broker'}/")


def noise(size: int) -> str:
    return random.Random(size).randbytes(size // 2).hex()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_delivers_in_order_and_says_farewell(tmp_path, protocol):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port, sink={"protocol": protocol})
            lane.publish_device(DeviceStatus("press-1", "line", DeviceState.DOWN, "no_answer", "silent", 1))
            lane.publish_device(DeviceStatus("press-1", "line", DeviceState.UP, since=5, last_good=9))
            async with running(lane) as task:
                await put_batches(bus, 0, 30)
                await until(lambda: len(platform.seqs) == 30 and platform.last_status("/press-1"))
                assert lane.status.connected
                assert platform.last_status()["online"] is True
                put(bus, 30)
                await bus.flush()
                await lane.drain(10)
                await asyncio.wait_for(task, 10)
            assert lane.status.backlog == 0
            assert (lane.status.batches, lane.status.points, lane.status.in_flight) == (31, 62, 0)
            assert lane.status.payload_bytes == sum(platform.sizes)
            assert (lane.status.connects, lane.status.resent, lane.status.connected) == (1, 0, False)
            assert lane.status.last_delivery > 0

    with Mosquitto(tmp_path) as broker, Platform(broker.port) as platform:
        asyncio.run(main())
        asyncio.run(until(lambda: platform.last_status()["online"] is False))
        assert platform.last_status()["reason"] == "stopped"
    assert platform.seqs == list(range(1, 32))
    assert counts(platform.rows) == list(range(31))
    first_data = platform.topics.index("xingsha/v1/gw/data")
    assert any("/schema/" in topic for topic in platform.topics[:first_data])
    states = [record for topic, record in platform.statuses if topic == "xingsha/v1/gw/status/press-1"]
    assert [(one["state"], one["reason"], one["last_good"]) for one in states] == [
        ("up", "", "1970-01-01T00:00:00.000000009Z")
    ]
    assert platform.reader.report(from_start=True).duplicates == 0


def test_broker_killed_and_restarted(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 20)
                await until(lambda: len(platform.seqs) == 20)
                broker.kill()
                await until(lambda: not lane.status.connected)
                assert lane.status.reason in {"link_lost", "connect_refused"}
                await put_batches(bus, 20, 20)
                await asyncio.sleep(0.5)
                assert lane.status.backlog == 20
                broker.start()
                await until(lambda: lane.status.connected and lane.status.backlog == 0)
                await put_batches(bus, 40, 5)
                await until(lambda: len(set(platform.seqs)) == 45)
                assert lane.status.connects == 2
                lane_events.extend(log["event"] for log in logs)

    lane_events: list[str] = []
    broker = durable(tmp_path)
    with broker, Platform(broker.port) as platform, capture_logs() as logs:
        asyncio.run(main())
    assert sorted(set(counts(platform.rows))) == list(range(45))
    assert platform.lost == 0
    ups, downs = lane_events.count("lane_up"), lane_events.count("lane_down")
    assert ups == 2
    assert 1 <= downs <= 2, "one line for the lost link, one more at most for the reason that it cannot be had"
    schemas = [topic for topic in platform.topics if "/schema/" in topic]
    assert len(schemas) >= 2, "published again on the new connection"


def test_broker_that_freezes(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port, sink={"ack_timeout": "300ms"})
            async with running(lane):
                await put_batches(bus, 0, 5)
                await until(lambda: len(platform.seqs) == 5)
                broker.signal(signal.SIGSTOP)
                await put_batches(bus, 5, 5)
                await until(lambda: lane.status.reason == "no_acknowledgement")
                assert lane.status.backlog == 5
                broker.signal(signal.SIGCONT)
                await until(lambda: lane.status.backlog == 0 and len(set(platform.seqs)) == 10)
                assert lane.status.resent >= 1

    with Mosquitto(tmp_path) as broker, Platform(broker.port) as platform:
        asyncio.run(main())
    assert sorted(counts(platform.rows)) == list(range(10)), "the reader has taken duplicates out"
    assert platform.lost == 0


def test_journal_keeps_what_was_not_delivered(tmp_path):
    config = BusConfig.model_validate({"path": "journal.db", "linger": "5ms", "min_free": 0})

    async def before():
        async with open_bus(config, "gw", tmp_path) as bus:
            lane = make_lane(bus, tmp_path, 9)
            async with running(lane):
                await put_batches(bus, 0, 10)
                await until(lambda: lane.status.reason != "")
                await lane.drain(0.1)
                assert lane.status.backlog == 10

    async def after():
        async with open_bus(config, "gw", tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 10, 5)
                await until(lambda: len(counts(platform.rows)) == 15)

    with capture_logs() as logs:
        asyncio.run(before())
    assert "lane_not_drained" in [log["event"] for log in logs]
    with Mosquitto(tmp_path / "b") as broker, Platform(broker.port) as platform:
        asyncio.run(after())
    assert counts(platform.rows) == list(range(15))
    assert platform.lost == 0


def test_announced_packet_limit_splits(tmp_path):
    async def main():
        async with memory_bus(tmp_path, linger="200ms") as bus:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                for number in range(60):
                    put(bus, number, noise(600 + number))
                put(bus, 60, noise(16_000))
                await bus.flush()
                await until(lambda: any(isinstance(event, Declared) for event in platform.events))
                assert lane.status.dead_letters == 1
                assert lane.status.batches == 2, "the cut batch, and the one with the gap"

    with (
        Mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 5000") as broker,
        Platform(broker.port) as platform,
    ):
        asyncio.run(main())
    assert max(platform.sizes) <= 5000
    assert len(platform.sizes) > 5
    assert counts(platform.rows) == list(range(61)), "the count of the last frame goes on without its text"
    (gap,) = [event.gap for event in platform.events if isinstance(event, Declared)]
    assert (gap.reason, gap.device, gap.count, gap.detail) == ("poison", "press-1", 1, "lane cloud: value_too_large")
    (letter,) = [found for _, found in Spool(tmp_path / "dead").letters()]
    assert (letter.header.code, letter.header.points, letter.header.whole) == ("value_too_large", 1, False)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_unannounced_limit_is_learned(tmp_path, protocol):
    """MQTT 3.1.1: the broker hangs up on a large packet. MQTT 5, message_size_limit: it refuses in the PUBACK."""
    limit = "max_packet_size 20000" if protocol == "3.1.1" else "message_size_limit 20000"

    async def main():
        async with memory_bus(tmp_path, linger="300ms") as bus:
            lane = make_lane(bus, tmp_path, broker.port, sink={"protocol": protocol})
            async with running(lane):
                for number in range(100):
                    put(bus, number, noise(600 + number))
                await bus.flush()
                await until(lambda: lane.status.backlog == 0)
                await until(lambda: len(platform.seqs) == 1)
                assert lane.status.dead_letters == 0

    with (
        Mosquitto(tmp_path, "allow_anonymous true", limit) as broker,
        Platform(broker.port) as platform,
        capture_logs() as logs,
    ):
        asyncio.run(main())
    assert counts(platform.rows) == list(range(100))
    assert max(platform.sizes) <= 20_000
    if protocol == "3.1.1":
        assert "message_size_lowered" in [log["event"] for log in logs]


def password_file(path: Path, password: str) -> None:
    subprocess.run(["mosquitto_passwd", "-c", "-b", path, "plant", password], check=True, capture_output=True)
    path.chmod(0o644)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_refused_until_the_password_is_mended(tmp_path, protocol):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(
                bus, tmp_path, broker.port, sink={"username": "plant", "password": "right", "protocol": protocol}
            )
            async with running(lane):
                await put_batches(bus, 0, 3)
                await until(lambda: lane.status.reason == "auth_refused")
                password_file(users, "right")
                broker.signal(signal.SIGHUP)
                await until(lambda: lane.status.backlog == 0)
                assert lane.status.reason == ""

    users = tmp_path / "users"
    password_file(users, "wrong")
    with Mosquitto(tmp_path / "b", "allow_anonymous false", f"password_file {users}") as broker:
        asyncio.run(main())


def test_publish_that_is_not_allowed_is_kept(tmp_path):
    """A mistake in the broker's access list must not turn a day's data into dead letters."""

    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 3)
                await until(lambda: lane.status.reason == "publish_not_authorised")
                rules.write_text("topic readwrite #\n")
                broker.signal(signal.SIGHUP)
                await until(lambda: len(platform.seqs) == 3 and lane.status.backlog == 0)
                assert lane.status.dead_letters == 0

    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic readwrite xingsha/v1/gw/status\ntopic readwrite xingsha/v1/gw/schema/#\n")
    with (
        Mosquitto(tmp_path / "b", "allow_anonymous true", f"acl_file {rules}") as broker,
        Platform(broker.port) as platform,
    ):
        asyncio.run(main())
    assert counts(platform.rows) == [0, 1, 2]


def test_json_lane_beside_the_loop(tmp_path):
    async def main():
        async with memory_bus(tmp_path, linger="2s") as bus:
            lane = make_lane(bus, tmp_path, broker.port, payload="json")
            async with running(lane):
                for number in range(4000):
                    put(bus, number, "x")
                await bus.flush()
                await until(lambda: len(counts(platform.rows)) == 4000)

    with Mosquitto(tmp_path) as broker, Platform(broker.port) as platform:
        asyncio.run(main())
    assert counts(platform.rows) == list(range(4000))


def test_last_will_when_the_gateway_dies(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, proxy_port)
            async with running(lane):
                await until(lambda: platform.last_status() and platform.last_status()["online"])
                for writer in list(writers):
                    writer.transport.abort()
                await until(lambda: any(record.get("reason") == "connection_lost" for _, record in platform.statuses))
                await until(lambda: platform.last_status()["online"])

    writers: set[asyncio.StreamWriter] = set()
    proxy_port = 0

    async def with_proxy():
        nonlocal proxy_port

        async def pump(reader, writer):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        async def serve(reader, writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writers.update((writer, far_writer))
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        proxy_port = server.sockets[0].getsockname()[1]
        try:
            await main()
        finally:
            server.close()
            await asyncio.sleep(0.05)

    with Mosquitto(tmp_path) as broker, Platform(broker.port) as platform:
        asyncio.run(with_proxy())


def test_unknown_payload(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            lane = make_lane(bus, tmp_path, 1)
            config = lane._config.model_copy(update={"payload": "morse"})
            with pytest.raises(ConfigFault, match="morse") as caught:
                type(lane)("x", config, bus, lane._sink, "gw", tmp_path)
            assert caught.value.known == ("columnar", "json")

    asyncio.run(main())
