"""Polls that bring whole columns instead of a register image or single values."""

import numpy as np

from gateway.collect.normalise import Normaliser
from gateway.config.base import Report, TagConfig
from gateway.model.frame import FrameFlag
from gateway.model.quality import Quality
from gateway.model.view import FrameView
from gateway.sdk.adapter import Plan, Readings, Request

TAGS = [
    TagConfig.model_validate({"name": name, "type": kind, **more})
    for name, kind, more in (
        ("a", "int16", {}),
        ("b", "float64", {"range": [0, 10]}),
        ("c", "string", {}),
        ("d", "int16", {}),
        ("e", "float64", {"clamp": [0, 10]}),
    )
]


def made(report=Report.CHANGE):
    return Normaliser("d", "1s", TAGS, Plan([Request((0, 1, 2, 3, 4))]), report, 0)


def poll(norm, *columns, time=100, failed=()):
    readings = Readings(len(TAGS), None)
    for tags, values, more in columns:
        readings.put(np.array(tags, np.intp), values, **more)
    for request, why in failed:
        readings.fail(request, why)
    frames = norm.frames(readings, time, time)
    return {
        name: (value, quality, at)
        for frame, _ in frames
        for name, value, quality, at, _ in FrameView(norm.schema, frame).rows()
    }, [frame for frame, _ in frames]


def test_columns_of_each_type_make_one_frame():
    found, frames = poll(
        made(),
        ([3, 0], np.array([4.0, 1.0]), {}),
        ([1, 4], np.array([2.5, 99.0]), {}),
        ([2], ["text"], {}),
    )
    assert len(frames) == 1
    assert found == {
        "a": (1, 0, 100),
        "d": (4, 0, 100),
        "b": (2.5, 0, 100),
        "e": (10.0, Quality.CLAMPED, 100),
        "c": ("text", 0, 100),
    }


def test_what_no_column_names_is_not_available_and_what_failed_says_why():
    found, _ = poll(
        made(),
        ([0], np.array([1]), {}),
        ([1], np.array([77.0]), {}),
        ([4], np.array([5.0]), {"quality": np.array([Quality.SENSOR_FAILURE], np.uint8)}),
        failed=[(Request((2,)), Quality.ADDRESS_REFUSED)],
    )
    assert found == {
        "a": (1, 0, 100),
        "b": (77.0, Quality.OUT_OF_RANGE, 100),
        "c": (None, Quality.ADDRESS_REFUSED, 100),
        "d": (None, Quality.NOT_AVAILABLE, 100),
        "e": (None, Quality.SENSOR_FAILURE, 100),
    }


def test_only_what_changed_is_told_again():
    norm = made()
    columns = lambda a, text: (  # noqa: E731
        ([0, 3], np.array([a, 4]), {}),
        ([1, 4], np.array([1.0, 2.0]), {}),
        ([2], [text], {}),
    )
    assert len(poll(norm, *columns(1, "x"))[0]) == 5
    assert poll(norm, *columns(1, "x")) == ({}, [])
    assert poll(norm, *columns(2, "y"), time=200)[0] == {"a": (2, 0, 200), "c": ("y", 0, 200)}


def test_times_of_the_source_for_all_stand_alone_and_for_some_stand_beside_ours():
    norm = made(Report.ALWAYS)
    norm.flags = FrameFlag.TIME_UNTRUSTED
    at = lambda *times: {"times": np.array(times, np.int64)}  # noqa: E731
    found, (frame,) = poll(
        norm, ([0, 3], np.array([1, 2]), at(7, 8)), ([1, 4], np.array([1.0, 2.0]), at(9, 9)), ([2], ["x"], at(5))
    )
    assert [found[name][2] for name in "abcde"] == [7, 9, 5, 8, 9]
    assert frame.flags == FrameFlag.SOURCE_TIME
    found, (frame,) = poll(
        norm, ([0, 3], np.array([1, 2]), at(7, 0)), ([1, 4], np.array([1.0, 2.0]), {}), ([2], ["x"], {})
    )
    assert [found[name][2] for name in "abcde"] == [7, 100, 100, 100, 100]
    assert frame.flags == FrameFlag.SOURCE_TIME | FrameFlag.TIME_UNTRUSTED
