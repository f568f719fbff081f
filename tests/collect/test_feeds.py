"""Devices that push, at an endpoint: their states, their silence, their interruptions; what is safe, and what had no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import sleep

import pytest

from gateway.bus import open_bus
from gateway.collect.collector import Collector
from gateway.collect.feeds import UNKNOWN_LIMIT
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.root import BusConfig, BusKind, Configuration, Device, GatewayConfig, ObserveConfig
from gateway.model.batch import decode_body
from gateway.model.faults import AuthFault, ConfigFault, LinkLost, TagFault
from gateway.model.frame import FrameFlag
from gateway.model.quality import Quality
from gateway.model.schema import decode_schema
from gateway.model.view import FrameView
from gateway.observe.status import DeviceState
from gateway.sdk.push import Push
from gateway.testing.clock import virtual
from tests.collect.pushing import PushingAdapter, Source
from tests.collect.scripted import Line


def plant(devices: int = 1, **bus: object) -> Configuration:
    line = Line.model_validate({"adapter": "pushing", "retry": "5s", "retry_max": "60s"}, by_name=True)
    tags = tuple(
        TagConfig.model_validate({"name": name, "type": kind}) for name, kind in (("v", "int32"), ("w", "float64"))
    )
    config = {"connection": "a", "report": "always", "heartbeat": "0s"}
    made = {f"d{number}": Device(f"d{number}", DeviceConfig.model_validate(config), tags) for number in range(devices)}
    bus_config = BusConfig.model_validate({"kind": BusKind.MEMORY, **bus})
    return Configuration(GatewayConfig(id="g"), {"a": line}, made, {}, {}, bus_config, ObserveConfig(), Path())


class Plant:
    def __init__(self, collector, source, bus):
        self.collector, self.source, self.bus = collector, source, bus
        self.rows, self.gaps, self.flags = [], [], []

    @property
    def endpoint(self):
        return self.collector.endpoints["a"]

    def state(self, device="d0"):
        return next(status for status in self.collector.statuses() if status.name == device)

    async def drain(self):
        """Everything that is in the bus: rows of (device, tag, value, quality, time), gaps, flags of frames."""
        await self.bus.flush()
        consumer = self.bus.consumer("test")
        while consumer.backlog:
            batch = await consumer.fetch()
            body = decode_body(batch.body)
            for frame in body.frames:
                schema = decode_schema(self.bus.schema(frame.schema))
                self.flags.append(frame.flags)
                for tag, value, quality, time, _ in FrameView(schema, frame).rows():
                    self.rows.append((schema.device, tag, value, quality, time))
            self.gaps += body.gaps
            consumer.acknowledge(batch.seq)


@asynccontextmanager
async def running(source, configuration, remembers) -> AsyncIterator[Plant]:
    async with open_bus(configuration.bus, "g", configuration.folder) as bus:
        adapter = PushingAdapter(source, remembers=remembers)
        collector = Collector(configuration, bus, lambda _: adapter, lambda _: None)
        at_work = Plant(collector, source, bus)
        task = asyncio.create_task(collector.run())
        try:
            await asyncio.sleep(0.01)
            yield at_work
        finally:
            task.cancel()
            await asyncio.wait([task])
            await at_work.drain()


def run(body, source=None, configuration=None, *, remembers=False):
    async def main():
        async with running(source or Source(), configuration or plant(), remembers) as at_work:
            await body(at_work)
        return at_work

    return virtual(main())


def test_what_is_pushed_arrives_and_brings_the_device_up():
    async def body(at_work):
        assert at_work.state().state is DeviceState.CONNECTING
        at_work.source.feed.sample({0: 7, 1: 2.5}, time=123)
        assert at_work.state().state is DeviceState.UP
        at_work.source.feed.sample({1: 3.5})

    done = run(body)
    assert done.rows[:2] == [("d0", "v", 7, 0, 123), ("d0", "w", 2.5, 0, 123)]
    assert done.rows[2][:4] == ("d0", "w", 3.5, 0)
    assert done.flags[0] == FrameFlag.SOURCE_TIME, "whose clock it was does not matter"
    assert not done.flags[1] & FrameFlag.SOURCE_TIME
    assert done.gaps == []


def test_a_bad_tag_degrades_its_device_until_it_is_good():
    async def body(at_work):
        feed = at_work.source.feed
        feed.sample({0: 7}, failures={1: Quality.SENSOR_FAILURE})
        assert (at_work.state().state, at_work.state().reason) == (DeviceState.DEGRADED, "sensor_failure")
        feed.sample({0: 8})
        assert at_work.state().state is DeviceState.DEGRADED, "the other tag is still bad"
        feed.sample({1: 1.0})
        assert at_work.state().state is DeviceState.UP

    assert [row[:4] for row in run(body).rows] == [
        ("d0", "v", 7, 0), ("d0", "w", None, Quality.SENSOR_FAILURE), ("d0", "v", 8, 0), ("d0", "w", 1.0, 0)
    ]  # fmt: skip


def test_a_lost_link_makes_values_bad_once_and_is_declared_when_they_come_back():
    async def body(at_work):
        at_work.source.feed.sample({0: 7, 1: 1.0})
        sleep(0.01)  # the link may have swallowed something meanwhile
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert at_work.state().state is DeviceState.DOWN
        await asyncio.sleep(20)
        assert at_work.source.opened == 2
        at_work.source.feed.sample({0: 8, 1: 2.0})

    done = run(body)
    lost = [row for row in done.rows if row[3] == Quality.NOT_CONNECTED]
    assert [row[1] for row in lost] == ["v", "w"]
    (gap,) = done.gaps
    assert (gap.reason, gap.device, gap.group, gap.count) == ("outage", "d0", "1s", 0)
    assert gap.since == done.rows[0][4] <= lost[0][4] - 10_000_000, "missing since the last that was heard"
    assert lost[0][4] < gap.until == done.rows[-1][4]


def test_a_source_that_keeps_what_it_could_not_deliver_leaves_no_gap():
    async def body(at_work):
        at_work.source.feed.sample({0: 7})
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(20)
        at_work.source.feed.sample({0: 8})

    assert run(body, Source(Push(kept=True))).gaps == []


@pytest.mark.parametrize("verdict", ["told", "lost", "never"])
def test_a_source_that_resumes_says_when_an_interruption_is_over(verdict):
    async def body(at_work):
        source = at_work.source
        source.feed.sample({0: 1})
        for number in (2, 3):
            source.cut(LinkLost("gone"))
            await asyncio.sleep(70)
            source.feed.sample({0: number}, replayed=True)
            source.feed.alive()
        assert source.opened == 3
        if verdict != "never":
            source.feed.caught_up(lost=verdict == "lost")
            source.feed.sample({0: 4})
            source.feed.caught_up(lost=True)

    done = run(body, Source(Push(resumes=True)))
    good = [row for row in done.rows if row[3] == 0]
    assert [row[2] for row in good] == ([1, 2, 3] if verdict == "never" else [1, 2, 3, 4])
    assert [(gap.reason, gap.since) for gap in done.gaps] == ([] if verdict == "told" else [("outage", good[0][4])])
    assert all(good[2][4] <= gap.until for gap in done.gaps), "what was told last is no end of what is missing"


def test_only_a_source_that_resumes_is_asked_no_more():
    async def body(at_work):
        at_work.source.feed.sample({0: 1})
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(20)
        at_work.source.feed.caught_up(lost=False)
        at_work.source.feed.sample({0: 2})
        await asyncio.sleep(0.1)

    assert len(run(body).gaps) == 1
    asked = run(body, Source(Push(resumes=True)), remembers=True)
    assert (asked.source.asked, asked.gaps) == ([], [])


def test_what_the_device_remembers_fills_the_interruption():
    async def body(at_work):
        at_work.source.feed.sample({0: 7})
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(20)
        at_work.source.feed.sample({0: 8})
        await asyncio.sleep(0.1)

    done = run(body, remembers=True)
    ((name, since, until),) = done.source.asked
    assert (name, since < until) == ("d0", True)
    assert [row[2] for row in done.rows if row[3] == 0] == [7, 8, -1, -2, -3]
    assert done.flags[-3:] == [FrameFlag.SOURCE_TIME | FrameFlag.REPLAYED] * 3
    assert done.gaps == []


def test_a_device_that_cannot_tell_leaves_a_gap():
    async def body(at_work):
        at_work.source.history = TagFault("no history here")
        at_work.source.feed.sample({0: 7})
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(20)
        at_work.source.feed.sample({0: 8})
        await asyncio.sleep(0.1)

    done = run(body, remembers=True)
    assert [(gap.since, gap.until) for gap in done.gaps] == [done.source.asked[0][1:]]


def test_silence_takes_the_device_down_and_silence_of_all_ends_the_session():
    source = Source(Push(silence=10))

    async def body(at_work):
        first, second = source.feeds
        first.sample({0: 1})
        second.sample({0: 1})
        for _ in range(15):
            await asyncio.sleep(1)
            first.alive()
        assert at_work.state("d0").state is DeviceState.UP
        assert (at_work.state("d1").state, at_work.state("d1").reason) == (DeviceState.DOWN, "no_answer")
        assert source.opened == 1, "others are not to blame"
        await asyncio.sleep(13)
        assert at_work.state("d0").state is DeviceState.DOWN
        await asyncio.sleep(8)
        assert source.opened == 2
        next(iter(source.feeds)).sample({0: 2})
        await asyncio.sleep(2)
        assert source.opened == 2, "a session is given the time that the sources may be silent"
        assert at_work.state("d0").state is DeviceState.UP

    done = run(body, source, plant(2))
    assert {row[3] for row in done.rows if row[2] is None} == {Quality.TIMEOUT}
    assert {gap.device for gap in done.gaps} == {"d0", "d1"}


@pytest.mark.parametrize("cut", [None, ValueError("a bug")])
def test_a_subscription_that_ends_by_itself_or_crashes_is_begun_again(cut):
    async def body(at_work):
        at_work.source.feed.sample({0: 7})
        at_work.source.cut(cut)
        await asyncio.sleep(20)
        assert at_work.source.opened == 2
        at_work.source.feed.sample({0: 8})

    assert [row[2] for row in run(body).rows if row[3] == 0] == [7, 8]


def test_one_device_that_cannot_be_had_leaves_the_others():
    async def body(at_work):
        first, second = at_work.source.feeds
        second.sample({0: 1, 1: 1.0})
        first.fail(AuthFault("not for you"))
        assert at_work.state("d0").state is DeviceState.DOWN
        first.sample({0: 5, 1: 5.0})
        assert at_work.state("d0").state is DeviceState.UP
        first.fail(ConfigFault("no such thing"))
        assert at_work.state("d0").state is DeviceState.PARKED
        first.sample({0: 6})
        assert at_work.state("d1").state is DeviceState.UP
        assert at_work.source.opened == 1

    done = run(body, configuration=plant(2))
    assert [row[2] for row in done.rows if row[:2] == ("d0", "v")] == [None, 5, None]


def test_the_first_connect_that_fails_is_tried_again():
    source = Source()
    source.open_fault = LinkLost("nobody there")

    async def body(at_work):
        await asyncio.sleep(1)
        assert at_work.state().state is DeviceState.DOWN
        source.open_fault = None
        await asyncio.sleep(10)
        source.feed.sample({0: 1})
        assert at_work.state().state is DeviceState.UP

    run(body, source)


def test_when_durable_waits_for_the_commit():
    async def body(at_work):
        said = []
        at_work.source.feed.sample({0: 7})
        at_work.source.feeds.when_durable(lambda: said.append("safe"))
        assert said == []
        await at_work.source.feeds.durable()
        assert said == ["safe"]
        assert at_work.bus.statistics.points == 1
        at_work.source.feeds.when_durable(lambda: said.append("nothing new"))
        assert said == ["safe"], "never from within the call"
        await asyncio.sleep(0.01)
        assert said == ["safe", "nothing new"]

    run(body)


def test_what_has_no_room_is_dropped_counted_and_declared():
    async def body(at_work):
        feed = at_work.source.feed
        while at_work.bus.has_room:
            feed.sample({0: 1})
            await at_work.bus.flush()
        for value in range(3):
            feed.sample({0: value, 1: 1.0})
        assert not at_work.source.feeds.has_room
        assert at_work.state().dropped == 6
        await at_work.drain()
        await at_work.bus.flush()
        await at_work.source.feeds.room()
        feed.sample({0: 99})

    done = run(body, configuration=plant(limit="64KB", batch_bytes="1KB", when_full="stop_reading"))
    assert done.rows[-1][2] == 99
    assert [(gap.reason, gap.count, gap.device) for gap in done.gaps if gap.device] == [("overflow", 6, "d0")]


def test_unknown_devices_are_told_once_and_remembered_within_bounds(caplog):
    async def body(at_work):
        for number in range(2 * UNKNOWN_LIMIT):
            at_work.source.feeds.unknown(f"truck-{number}", "says hello")
            at_work.source.feeds.unknown(f"truck-{number}", "says hello")
        assert len(at_work.endpoint.feeds.announced) == UNKNOWN_LIMIT

    run(body)


def test_a_pushing_device_that_is_still_away_at_the_end_has_its_gap_declared():
    async def body(at_work):
        at_work.source.feed.sample({0: 7})
        at_work.source.cut(LinkLost("gone"))
        await asyncio.sleep(1)

    assert [gap.reason for gap in run(body).gaps] == ["outage"]


def test_nothing_is_told_any_more_once_the_collector_has_ended():
    """A device that falls silent afterwards is nobody's business: the bus takes nothing any more."""
    source = Source(Push(silence=3))

    async def main():
        async with running(source, plant(), remembers=False) as at_work:
            source.feed.sample({0: 7})
            count = at_work.bus.statistics.points
        points = [row for row in at_work.rows if row[3] == 0]
        failures = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context["message"]))
        await asyncio.sleep(60)
        assert (count, len(points), failures) == (0, 1, [])

    virtual(main())
