"""Schemas on their way to the platform: unknown to the bus, unsound, many at once."""

from __future__ import annotations

import asyncio
import struct

from structlog.testing import capture_logs

from gateway.forward import delivery as delivery_module
from gateway.forward.delivery import without
from gateway.forward.payload import Layouts
from gateway.model.batch import Batch, encode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from tests.forward.laneworks import COUNTER, make_lane, memory_bus, put, running
from tests.platform import until
from tests.scripted_broker import ScriptedBroker


def numbered(number: int) -> Schema:
    return Schema(f"d{number}", "g", COUNTER.columns)


def test_each_once_per_connection_and_before_its_data(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery_module, "_MOST_PUBLISHED", 30)

    async def main():
        async with memory_bus(tmp_path, linger="1s") as bus, ScriptedBroker() as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                for _ in range(2):
                    for number in range(40):
                        put(bus, number, schema=numbered(number))
                    await bus.flush()
                await until(lambda: lane.status.batches == 2)
                assert len(schemas(broker)) == 40
                put(bus, 1, schema=numbered(99))
                put(bus, 1, schema=numbered(0))
                await bus.flush()
                await until(lambda: lane.status.batches == 3)
            first_data = next(place for place, one in enumerate(broker.received) if one.topic.endswith("/data"))
            assert len([one for one in broker.received[:first_data] if "/schema/" in one.topic]) == 40
            assert all(one.retain for one in broker.received if "/schema/" in one.topic)
            return schemas(broker)

    topics = asyncio.run(main())
    assert len(topics) == 41, "what is remembered is bounded, but only looked at when something new comes"
    assert len(set(topics)) == 41


def schemas(broker: ScriptedBroker) -> list[str]:
    return [one.topic for one in broker.received if "/schema/" in one.topic]


def test_a_schema_that_the_bus_does_not_know(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker() as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                bus.publish(Frame(b"stranger", 1, [struct.pack("<q", 1), [""]]), 2)
                await bus.flush()
                await until(lambda: lane.status.batches == 1)
            return len(broker.data()), schemas(broker)

    with capture_logs() as logs:
        assert asyncio.run(main()) == (1, []), "the platform may know it from before"
    assert "schema_unknown" in [log["event"] for log in logs]


def test_an_unsound_schema_is_refused_by_our_own_json(tmp_path):
    unsound = Schema("oven-2", "g", (Column(DataType.INT64, ("count", "count")),))

    async def main():
        async with memory_bus(tmp_path, linger="1s") as bus, ScriptedBroker() as broker:
            lane = make_lane(bus, tmp_path, broker.port, payload="json")
            async with running(lane):
                bus.publish(Frame(bus.define(unsound), 1, [struct.pack("<2q", 1, 2)]), 2)
                put(bus, 7)
                await bus.flush()
                await until(lambda: lane.status.dead_letters == 1)
                await bus.flush()
                await until(lambda: lane.status.backlog == 0)
            return broker.data()

    with capture_logs() as logs:
        data = asyncio.run(main())
    assert b'"count":7' in data[0].payload
    (refused,) = [log for log in logs if log["event"] == "schema_rejected"]
    assert "twice" in refused["message"]


def test_without_leaves_damage_as_it_is():
    batch = Batch(1, 1, b"damage", 1, 1, 0, 0, (b"a",))
    assert without(batch, {b"a"}, {}) == (batch, [])
    body = encode_body([Frame(b"a", 1, [])])
    rest, poison = without(Batch(1, 1, body, 1, 1, 0, 0, (b"a", b"b")), {b"a"}, {})
    assert (rest.frames, rest.schemas, poison[0].points) == (0, (b"b",), 0)


def test_layouts_are_bounded(monkeypatch):
    monkeypatch.setattr(Layouts, "LIMIT", 2)
    layouts = Layouts()
    encoded = {schema_id(one.encode()): one.encode() for one in (numbered(1), numbered(2), numbered(3))}
    for identity in encoded:
        assert layouts.find(identity, encoded).size == 2
    kept = list(layouts._known)
    assert kept == list(encoded)[1:]
    assert layouts.find(kept[0], {}) is layouts._known[kept[0]]
