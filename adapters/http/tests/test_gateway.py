"""The example configuration at work: a simulated meter, a press that posts, the whole gateway, a broker, a subscriber;
and a press that posts again what was not confirmed, while the gateway is killed."""

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import yaml

from adapters.http.simulator import Simulator
from gateway.observe.status import DeviceState
from gateway.reader import Frames
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

EXAMPLE = Path(__file__).parents[3] / "configs" / "http-source.yaml"
VALUES = {
    "power_l1": 230.5,
    "power_l2": 0.25,
    "energy": 123_456,
    "firmware": "1.2",
    "oil_temperature": 48.5,
    "strokes": 7,
}
POSTED = {"at": "2026-11-25T08:00:00+08:00", "oil": {"temp": 48.5}, "strokes": 7}


def example(folder, broker):
    """The example, on other ports, with a quick retry."""
    settings = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    settings["observe"] = {"http": "off"}
    settings["bus"] = {"path": str(folder / "journal.db"), "linger": "20ms"}
    for connection in settings["connections"].values():
        connection |= {"port": free_port(), "retry": "100ms"}
    settings["connections"]["posts"]["token"] = "s3cret"
    settings["devices"]["meter-1"]["scan"] = "50ms"
    settings["lanes"]["platform"]["to"]["port"] = broker
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


def post(port, document):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/press-1", json.dumps(document), {"Authorization": "Bearer s3cret"})
        return connection.getresponse().status
    finally:
        connection.close()


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def test_the_example_from_machines_to_platform(run, tmp_path):
    async def work():
        async with embedded_broker() as broker:
            configuration = load_configuration(example(tmp_path, broker.port_v5))
            subscriber = Subscriber()
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(configuration), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            port = configuration.connections["posts"].port
            async with Simulator.of(configuration.connections["meter"]) as plant:
                meter = configuration.devices["meter-1"]
                for tag in meter.tags:
                    plant.device(meter.config).set(tag, VALUES[tag.name])
                await until(lambda: any(one.value is not None for one in gateway.values()))
                assert await asyncio.to_thread(post, port, POSTED) == 204
                await until(lambda: {one.tag: one.value for one in gateway.values()} == VALUES)
                plant.hang_up()
                await until(lambda: all(one.state is DeviceState.UP for one in gateway.status().devices))
            stop.set()
            await running
            points = gateway.status().bus.points
            await until(lambda: subscriber.reader.report().points >= points)
            hearing.cancel()
            await asyncio.wait([hearing])
            assert subscriber.reader.report().lost == 0

    run(work)


def start(path):
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(path)]
    with (path.parent / "gateway.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=EXAMPLE.parents[1])


def insist(port, count, done):
    """Post numbers, each until it is confirmed."""
    for number in range(count):
        while True:
            with suppress(OSError, http.client.HTTPException):
                if post(port, {"strokes": number}) == 204:
                    break
            time.sleep(0.02)
        done.append(number)


def test_what_was_confirmed_survives_a_kill(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLE.parents[1]))

    async def work():
        async with embedded_broker() as broker:
            path = example(tmp_path, broker.port_v5)
            port = load_configuration(path).connections["posts"].port
            arrived = []
            subscriber = Subscriber()
            feed = subscriber.reader.feed

            def taken(topic, payload):
                found = list(feed(topic, payload))
                for event in found:
                    if isinstance(event, Frames):
                        arrived.extend(row.value for row in event.rows() if row.tag == "strokes")
                return found

            subscriber.reader.feed = taken
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            done = []
            gateway = start(path)
            try:
                posting = asyncio.create_task(asyncio.to_thread(insist, port, 120, done))
                for kill_at in (30, 70):
                    await until(lambda kill_at=kill_at: len(done) >= kill_at)
                    gateway.kill()
                    gateway.wait()
                    gateway = start(path)
                await posting
                await until(lambda: set(range(120)) <= set(arrived))
            finally:
                gateway.send_signal(signal.SIGTERM)
                await asyncio.to_thread(gateway.wait, 20)
            hearing.cancel()
            await asyncio.wait([hearing])

    run(work, limit=60)
