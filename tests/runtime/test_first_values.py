"""A first look at what a device pushes: as long as it takes, no longer than wanted, and every tag says what became of it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.collect.groups import poll_groups
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.root import Device
from gateway.model.faults import AuthFault, Fault
from gateway.model.quality import Quality
from gateway.model.view import FrameView
from gateway.runtime.first_values import FirstFeed, take_first
from gateway.sdk.adapter import Plan
from gateway.sdk.push import Push
from gateway.testing.clock import virtual


class Scripted:
    """A session that does with its feeds what a test says."""

    def __init__(self, script):
        self.script = script
        self.ended = False

    async def subscribe(self, feeds):
        try:
            await self.script(feeds)
            await asyncio.Event().wait()
        finally:
            self.ended = True


def feed(name="d"):
    tags = tuple(TagConfig.model_validate({"name": tag, "type": "int32"}) for tag in ("v", "w"))
    (group,) = poll_groups(Device(name, DeviceConfig(connection="a"), tags))
    return FirstFeed(name, group, Plan((), push=Push()))


def look(script, *feeds, wait=5.0):
    session = Scripted(script)
    members = list(feeds) or [feed()]

    async def main():
        loop = asyncio.get_running_loop()
        started = loop.time()
        await take_first(session, members, wait)
        return loop.time() - started

    took = virtual(main())
    assert session.ended
    rows = []
    for member in members:
        view = FrameView(member.normaliser.schema, member.normaliser.snapshot())
        rows += [(member.name, row[0], row[1], row[2]) for row in view.rows()]
    return rows, took


def test_it_ends_when_every_tag_has_had_something():
    async def script(feeds):
        one, two = feeds
        one.sample({0: 7})
        await asyncio.sleep(1)
        one.sample({}, failures={1: Quality.SENSOR_FAILURE})
        two.put(np.array([1, 0]), np.array([8, 9]))

    rows, took = look(script, feed("a"), feed("b"))
    assert rows == [("a", "v", 7, 0), ("a", "w", None, Quality.SENSOR_FAILURE), ("b", "v", 9, 0), ("b", "w", 8, 0)]
    assert took == pytest.approx(1)


def test_it_waits_no_longer_than_wanted():
    async def script(feeds):
        (one,) = feeds
        one.alive()
        one.sample({1: 7})

    rows, took = look(script, wait=2.0)
    assert rows == [("d", "v", None, Quality.NOT_AVAILABLE), ("d", "w", 7, 0)]
    assert took == pytest.approx(2)


def test_a_fault_is_the_reason_of_what_is_missing():
    async def script(feeds):
        (one,) = feeds
        one.sample({0: 7})
        raise AuthFault("no")

    rows, took = look(script)
    assert rows == [("d", "v", 7, 0), ("d", "w", None, Quality.AUTH)]
    assert took < 1


def test_a_device_that_cannot_be_had_is_done():
    async def script(feeds):
        one, two = feeds
        one.fail(Fault("x", quality=Quality.BUSY))
        two.sample({0: 1, 1: 2})

    rows, took = look(script, feed("a"), feed("b"))
    assert [row[3] for row in rows] == [Quality.BUSY, Quality.BUSY, 0, 0]
    assert took < 1


def test_nothing_is_acknowledged():
    told = []

    async def script(feeds):
        (one,) = feeds
        assert feeds.has_room
        await feeds.room()
        await one.room()
        feeds.when_durable(lambda: told.append("safe"))
        feeds.unknown("stranger")
        one.sample({0: 1, 1: 2})
        await feeds.durable()
        told.append("safe")

    look(script)
    assert told == []


def test_a_bug_is_not_hidden():
    async def script(feeds):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        look(script)
