"""The subscriber reads what a gateway's codec wrote, keeps the books, and says when the broker is not there."""

import asyncio
import subprocess
import sys

import aiomqtt
import msgspec
import pytest

from gateway.model.batch import encode_body
from gateway.model.faults import LinkLost
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from gateway.reader import Frames
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber, account

SCHEMA = Schema(
    "press-1",
    "1s",
    (Column(DataType.UINT16, ("force", "state"), multiply=(1.0, 1.0), divide=(10.0, 1.0), units=("kN", "")),),
)


def message(seq):
    """A batch as a lane sends it: version, gateway, epoch, seq, part, parts, body."""
    frame = Frame(schema_id(SCHEMA.encode()), 1_790_000_000_000_000_000 + seq, [bytes([215, 0, 3, 0])])
    return msgspec.msgpack.encode([1, "plant", 7, seq, 0, 1, encode_body([frame])])


async def publish(port, numbers):
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        encoded = SCHEMA.encode()
        await client.publish(f"xingsha/v1/plant/schema/{schema_id(encoded).hex()}", encoded, qos=1, retain=True)
        for seq in numbers:
            await client.publish("xingsha/v1/plant/data", message(seq), qos=1)


def test_counts_what_came_what_is_missing_and_what_came_twice():
    async def scene():
        heard = []
        subscriber = Subscriber(heard.append)
        async with embedded_broker() as broker, asyncio.TaskGroup() as group:
            receiving = group.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            await publish(broker.port_v5, [1, 2, 2, 5])
            async with asyncio.timeout(20):
                await subscriber.until(3)
            receiving.cancel()
        return subscriber.reader.report(), heard

    report, heard = asyncio.run(scene())
    assert (report.batches, report.points, report.lost, report.duplicates) == (3, 6, 2, 1)
    assert account(report) == "3 batches · 6 values · lost 2 · duplicates 1 · gaps declared 0"
    rows = [row for event in heard if isinstance(event, Frames) for row in event.rows()]
    assert [(row.device, row.tag, row.value, row.unit) for row in rows[:2]] == [
        ("press-1", "force", 21.5, "kN"),
        ("press-1", "state", 3, ""),
    ]


def test_says_that_the_broker_is_not_there():
    port = free_port()
    with pytest.raises(LinkLost, match=f"broker 127.0.0.1:{port}: "):
        asyncio.run(Subscriber().run("127.0.0.1", port))


def program(port, seconds="1500ms"):
    command = [sys.executable, "-m", "gateway.testing.subscriber", "--port", str(port), "--for", seconds]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_as_a_program():
    async def scene(numbers):
        async with embedded_broker() as broker:
            running = asyncio.create_task(asyncio.to_thread(program, broker.port_v5))
            while not running.done():
                await publish(broker.port_v5, numbers)
                await asyncio.sleep(0.2)
            return await running

    done = asyncio.run(scene([1, 2, 3]))
    assert done.returncode == 0, done.stderr
    assert "press-1         force                   21.5 kN" in done.stdout.splitlines()
    assert "press-1         state                   3" in done.stdout.splitlines()
    assert "lost 0" in done.stdout
    done = asyncio.run(scene([1, 3]))
    assert done.returncode == 1
    assert "lost 1" in done.stdout


def test_as_a_program_nothing_came_or_no_broker():
    async def scene():
        async with embedded_broker() as broker:
            return await asyncio.to_thread(program, broker.port_v5, "500ms")

    done = asyncio.run(scene())
    assert done.returncode == 1
    assert done.stdout.startswith("0 batches · 0 values")
    done = program(free_port())
    assert done.returncode == 1
    assert done.stderr.startswith("error [link_lost]: broker 127.0.0.1:")
    assert "Traceback" not in done.stderr
