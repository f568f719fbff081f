"""Lanes against a broker that refuses: what is kept, what is set aside, what is tried again."""

from __future__ import annotations

import asyncio
import random
import struct

from structlog.testing import capture_logs

from gateway.forward import delivery as delivery_module
from gateway.forward.deadletters import Spool
from gateway.forward.delivery import Delivery
from gateway.model.batch import decode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType
from gateway.observe.status import DeviceStatus
from gateway.reader import Declared, Frames, Reader
from tests.forward.laneworks import COUNTER, make_lane, memory_bus, put, put_batches, running
from tests.platform import until
from tests.scripted_broker import ScriptedBroker

OTHER = Schema("oven-2", "slow", (Column(DataType.INT64, ("count",)), Column(DataType.STRING, ("text",))))


def read(broker: ScriptedBroker) -> tuple[list[int], list, Reader]:
    """What a platform behind the broker has: of messages that were acknowledged or not, each once."""
    reader = Reader()
    events = [
        event for one in broker.received if "/status" not in one.topic for event in reader.feed(one.topic, one.payload)
    ]
    numbers = [row.value for event in events if isinstance(event, Frames) for row in event.rows() if row.tag == "count"]
    return numbers, [event.gap for event in events if isinstance(event, Declared)], reader


def letters(folder) -> list:
    return [found for _, found in Spool(folder / "dead").letters()]


def on_data(act):
    return lambda publish: act(publish) if publish.topic.endswith("/data") else 0


def test_poison_is_set_aside_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery_module, "REJECT_PAUSE", 0.01)
    refusals = []

    def decide(publish):
        reader = Reader()
        reader.feed("", COUNTER.encode())
        (event, *_) = reader.feed("", publish.payload)
        poison = isinstance(event, Frames) and any(row.value == 3 for row in event.rows())
        refusals.extend([1] * poison)
        return 0x99 if poison else 0

    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(decide)) as broker:
            lane = make_lane(bus, tmp_path, broker.port, max_rejects=3)
            async with running(lane):
                await put_batches(bus, 0, 8)
                await until(lambda: lane.status.backlog == 0 and lane.status.dead_letters == 1)
                await until(lambda: lane.status.batches == 8)
            return read(broker)

    with capture_logs() as logs:
        numbers, gaps, reader = asyncio.run(main())
    assert len(refusals) == 3
    assert sorted(numbers) == list(range(8)), "the broker saw the poison, it only refused it"
    (gap,) = gaps
    assert (gap.reason, gap.first_seq, gap.last_seq, gap.count) == ("poison", 4, 4, 2)
    assert gap.detail == "lane cloud: payload_refused"
    (letter,) = letters(tmp_path)
    assert (letter.header.seq, letter.header.code, letter.header.points) == (4, "payload_refused", 2)
    assert decode_body(letter.body).frames[0].time == 4
    assert reader.report(from_start=True).lost == 0
    assert [log["event"] for log in logs].count("dead_letter") == 1


def test_a_refused_gap_does_not_beget_gaps(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: 0x80)) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 1)
                await until(lambda: lane.status.dead_letters == 2)
                await asyncio.sleep(0.1)
                assert (lane.status.dead_letters, lane.status.backlog, lane.status.batches) == (2, 0, 0)

    asyncio.run(main())
    assert [letter.header.seq for letter in letters(tmp_path)] == [1, 2]


def test_a_full_spool_is_counted_and_told_once(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: 0x80)) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            lane._shared.spool = Spool(tmp_path / "dead", most_files=2)
            async with running(lane):
                await put_batches(bus, 0, 6)
                await until(lambda: lane.status.dead_letters + lane.status.dead_letters_dropped >= 7)
                await until(lambda: lane.status.backlog == 0)
                assert lane.status.dead_letters == 2

    with capture_logs() as logs:
        asyncio.run(main())
    assert len(letters(tmp_path)) == 2
    assert [log["event"] for log in logs].count("dead_letters_full") == 1


def test_a_spool_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "dead").write_text("a file where the folder should be")

    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: 0x80)) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 1)
                await until(lambda: lane.status.dead_letters_dropped == 2 and lane.status.backlog == 0)

    asyncio.run(main())


def test_quota_is_waited_for_on_the_same_session(tmp_path):
    answers = [0x97, 0]

    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: answers.pop(0))) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 1)
                await until(lambda: lane.status.reason == "broker_quota")
                assert lane.status.connected
                await until(lambda: lane.status.batches == 1)
                assert (broker.connects, lane.status.reason, lane.status.dead_letters) == (1, "", 0)

    with capture_logs() as logs:
        asyncio.run(main())
    assert [log["event"] for log in logs].count("lane_held_back") == 1


def test_cut_in_mid_flight_is_sent_again_and_counted(tmp_path):
    async def main():
        silent = True
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: -1 if silent else 0)) as broker:
            lane = make_lane(bus, tmp_path, broker.port, window=4)
            async with running(lane):
                await put_batches(bus, 0, 10)
                await until(lambda: len(broker.data()) == 4)
                await asyncio.sleep(0.05)
                assert (len(broker.data()), lane.status.in_flight) == (4, 4), "the window holds"
                silent = False
                broker.drop()
                await until(lambda: lane.status.batches == 10)
                assert (lane.status.resent, lane.status.in_flight, lane.status.backlog) == (4, 0, 0)
            return read(broker)

    numbers, _, reader = asyncio.run(main())
    assert numbers == list(range(10))
    assert reader.report().duplicates == 4


def test_told_that_a_packet_is_too_large(tmp_path):
    """DISCONNECT 0x95: cut at once, not after three losses."""

    async def main():
        decide = on_data(lambda publish: -0x95 - 256 if len(publish.payload) > 9000 else 0)
        async with memory_bus(tmp_path, linger="1s") as bus, ScriptedBroker(decide) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                for number in range(30):
                    put(bus, number, random.Random(number).randbytes(500).hex())
                await bus.flush()
                await until(lambda: lane.status.batches == 1)
                assert broker.connects == 2
            return read(broker)

    numbers, _, reader = asyncio.run(main())
    assert sorted(set(numbers)) == list(range(30))
    assert reader.report(from_start=True).lost == 0


def test_a_slow_line_makes_batches_smaller_not_dead(tmp_path):
    """Nothing is acknowledged in time while messages are large: alone first, then cut."""

    async def main():
        decide = on_data(lambda publish: -1 if len(publish.payload) > 9000 else 0)
        async with memory_bus(tmp_path, linger="1s") as bus, ScriptedBroker(decide) as broker:
            lane = make_lane(bus, tmp_path, broker.port, sink={"ack_timeout": "100ms"})
            async with running(lane):
                for batch in range(2):
                    for number in range(20):
                        put(bus, 20 * batch + number, random.Random(number).randbytes(500).hex())
                    await bus.flush()
                await until(lambda: lane.status.batches == 2)
                assert lane.status.dead_letters == 0
                assert not lane._shared.ceiling.alone
            return read(broker)

    numbers, _, reader = asyncio.run(main())
    assert sorted(set(numbers)) == list(range(40))
    assert reader.report(from_start=True).lost == 0


def test_a_refused_schema_costs_only_its_own_device(tmp_path):
    async def main():
        decide = lambda publish: 0x83 if "/schema/" in publish.topic and b"oven-2" in publish.payload else 0  # noqa: E731
        async with memory_bus(tmp_path, linger="1s") as bus, ScriptedBroker(decide) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                put(bus, 1)
                put(bus, 2, schema=OTHER)
                put(bus, 3)
                await bus.flush()
                put(bus, 4, schema=OTHER)
                await bus.flush()
                await bus.flush()
                await until(lambda: lane.status.dead_letters == 2)
                await bus.flush()
                await until(lambda: lane.status.backlog == 0)
            return read(broker)

    with capture_logs() as logs:
        numbers, gaps, _ = asyncio.run(main())
    assert numbers == [1, 3]
    assert {(gap.device, gap.reason, gap.count) for gap in gaps} == {("oven-2", "poison", 2)}, gaps
    assert [letter.header.code for letter in letters(tmp_path)] == ["schema_rejected"] * 2
    assert [log["event"] for log in logs].count("schema_rejected") == 1


def test_fresh_first_with_backfill_rate(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            await put_batches(bus, 0, 16)
            async with ScriptedBroker() as broker:
                lane = make_lane(bus, tmp_path, broker.port, order="fresh_first", backfill_rate=20)
                loop = asyncio.get_running_loop()
                async with running(lane):
                    await until(lambda: broker.data())
                    start = loop.time()
                    await put_batches(bus, 100, 3)
                    await until(lambda: len(broker.data()) == 19)
                    taken = loop.time() - start
                return read(broker)[0], taken

    numbers, taken = asyncio.run(main())
    assert sorted(numbers) == [*range(16), 100, 101, 102]
    assert [number for number in numbers if number >= 100] == [100, 101, 102]
    assert numbers.index(102) < numbers.index(15), "live batches overtake the backlog"
    assert taken >= 0.6, "fifteen batches of backlog at 20 a second"


def test_receive_maximum_and_packet_size_of_the_broker_are_kept(tmp_path):
    async def main():
        properties = {"receive_maximum": 3, "maximum_packet_size": 3000}

        async def later(_publish):
            await asyncio.sleep(0.01)
            return 0

        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(later), properties=properties) as broker:
            lane = make_lane(bus, tmp_path, broker.port, window=16)
            await put_batches(bus, 0, 20, random.Random(1).randbytes(3000).hex()[:4000])
            async with running(lane):
                await until(lambda: lane.status.batches == 20)
            assert broker.most_unacknowledged == 3
            assert max(len(one.payload) for one in broker.data()) < 3000
            assert broker.clean_ends == 1
            return read(broker)[0]

    assert asyncio.run(main()) == list(range(20))


def test_device_states_are_newest_only_and_said_again_after_a_reconnect(tmp_path):
    async def main():
        async with (
            memory_bus(tmp_path) as bus,
            ScriptedBroker(lambda p: 0x83 if p.topic.endswith("bad") else 0) as broker,
        ):
            lane = make_lane(bus, tmp_path, broker.port)
            for name in ("a", "b", "bad", "a"):
                lane.publish_device(DeviceStatus(name, "line"))
            async with running(lane):
                await until(lambda: lane.status.connected)
                await until(lambda: len(device_topics(broker)) == 3)
                broker.drop()
                await until(lambda: len(device_topics(broker)) == 6)
                lane.publish_device(DeviceStatus("c", "line"))
                await until(lambda: len(device_topics(broker)) == 7)
            return device_topics(broker)

    with capture_logs() as logs:
        topics = asyncio.run(main())
    assert sorted(topics) == ["a", "a", "b", "b", "bad", "bad", "c"]
    assert "status_rejected" in [log["event"] for log in logs]


def device_topics(broker: ScriptedBroker) -> list[str]:
    return [one.topic.rpartition("/")[2] for one in broker.received if "/status/" in one.topic]


def test_a_link_that_flaps_is_told_once(tmp_path):
    """A broker that lets us in and cuts every message off: one line, however often."""

    async def main():
        cut = True
        async with memory_bus(tmp_path) as bus, ScriptedBroker(on_data(lambda _: -0x8B - 256 if cut else 0)) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            await put_batches(bus, 0, 2)
            async with running(lane):
                await until(lambda: broker.connects >= 5)
                cut = False
                await until(lambda: lane.status.backlog == 0)

    with capture_logs() as logs:
        asyncio.run(main())
    assert [log["event"] for log in logs] == ["lane_down", "lane_up"]
    assert logs[0]["reason"] == "broker_stopped"


def test_another_client_with_our_name_is_not_fought(tmp_path):
    async def main():
        taken = [True]
        decide = on_data(lambda _: -0x8E - 256 if taken.pop() else 0)
        async with memory_bus(tmp_path) as bus, ScriptedBroker(decide) as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            taken.insert(0, False)
            async with running(lane):
                await put_batches(bus, 0, 1)
                await until(lambda: lane.status.batches == 1)
                return lane

    with capture_logs() as logs:
        asyncio.run(main())
    assert [log["reason"] for log in logs if log["event"] == "lane_down"] == ["client_id_taken"]


def test_a_bug_in_a_lane_is_told_and_outlived(tmp_path, monkeypatch):
    calls = []
    real = Delivery._encode

    async def broken(self, batch):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("oops")
        return await real(self, batch)

    monkeypatch.setattr(Delivery, "_encode", broken)

    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker() as broker:
            lane = make_lane(bus, tmp_path, broker.port)
            async with running(lane):
                await put_batches(bus, 0, 2)
                await until(lambda: lane.status.batches == 2)
            assert lane.status.connects == 2

    with capture_logs() as logs:
        asyncio.run(main())
    (failed,) = [log for log in logs if log["event"] == "lane_failed"]
    assert isinstance(failed["exc_info"], ZeroDivisionError)
    assert [log["reason"] for log in logs if log["event"] == "lane_down"] == ["internal"]


def test_drain_before_run_and_while_nobody_answers(tmp_path):
    async def main():
        async with memory_bus(tmp_path) as bus:
            await asyncio.wait_for(make_lane(bus, tmp_path, 9).drain(0.01), 5)
            lane = make_lane(bus, tmp_path, 9)
            async with running(lane) as task:
                await put_batches(bus, 0, 1)
                await until(lambda: lane.status.reason == "connect_refused")
                await lane.drain(0.2)
                await asyncio.wait_for(task, 10)
                assert lane.status.backlog == 1

    asyncio.run(main())


def test_a_frame_that_cannot_be_read_is_set_aside(tmp_path, monkeypatch):
    async def main():
        async with memory_bus(tmp_path) as bus, ScriptedBroker() as broker:
            lane = make_lane(bus, tmp_path, broker.port, payload="json")
            bus.publish(Frame(bus.define(COUNTER), 1, [struct.pack("<q", 1), [[]]]), 2)  # type: ignore[list-item]
            async with running(lane):
                await bus.flush()
                await until(lambda: lane.status.dead_letters == 1)
                await put_batches(bus, 5, 1)
                await until(lambda: lane.status.backlog == 0 and broker.data())
            return read(broker)

    numbers, gaps, _ = asyncio.run(main())
    assert numbers == [5]
    assert [gap.reason for gap in gaps] == ["poison"]
    assert letters(tmp_path)[0].header.code == "frame_unreadable"
