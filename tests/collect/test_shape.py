"""Devices of one profile share its compiled form, and nothing that one of them reports is felt by another."""

from __future__ import annotations

from gateway.collect.groups import poll_groups
from gateway.collect.normalise import Normaliser
from gateway.collect.shape import shape_of
from gateway.config.base import DeviceConfig, Report, TagConfig
from gateway.config.root import Device
from gateway.sdk.adapter import Plan, Readings, Request


def tags(**more: object) -> tuple[TagConfig, ...]:
    return tuple(TagConfig.model_validate({"name": name, "type": "int16", **more}) for name in "abc")


def test_the_same_tags_are_compiled_once():
    one = tags()
    assert shape_of(one, None, Report.CHANGE) is shape_of(one, None, Report.CHANGE)
    assert shape_of(one, None, Report.CHANGE) is not shape_of(one, None, Report.ALWAYS)
    assert shape_of(one, None, Report.CHANGE) is not shape_of(tags(), None, Report.CHANGE)


def test_state_is_each_devices_own():
    shared = tags(min_interval="10s")
    plan = Plan([Request((0, 1, 2))])
    first, second = (Normaliser(name, "1s", shared, plan, Report.CHANGE, 0) for name in ("d1", "d2"))
    assert first.schema.columns is second.schema.columns
    assert first.identity != second.identity
    readings = Readings(3, None)
    readings.values[:] = [1, 2, 3]
    assert [count for _, count in first.frames(readings, 1, 1)] == [3]
    readings.values[:] = [4, 5, 6]
    assert first.frames(readings, 2, 2) == []  # held back by the minimum interval
    assert [count for _, count in second.frames(readings, 2, 2)] == [3]  # which this one has not begun


def test_devices_that_share_their_tags_share_their_groups():
    mixed = (*tags(), TagConfig.model_validate({"name": "slow", "type": "int16", "scan": "5s"}))
    config = DeviceConfig.model_validate({"connection": "c", "scan": "1s"})
    left, right = (poll_groups(Device(name, config, mixed)) for name in ("d1", "d2"))
    assert [group.name for group in left] == ["1s", "5s"]
    assert [group.device.name for group in right] == ["d2", "d2"]
    assert all(one.tags is other.tags for one, other in zip(left, right, strict=True))
