"""Times stamped while nobody vouched for the clock: given as they are, corrected when the record has come."""

from __future__ import annotations

import json
import struct

from gateway.forward.json_payload import JsonPayload
from gateway.model.batch import Gap
from gateway.model.frame import Frame, FrameFlag, stretch_flags
from gateway.reader import Corrected, Declared, Frames, Malformed, Reader
from gateway.reader import clocks as module
from tests.reader.test_reader import OVEN_ID, PRESS_ID, SCHEMAS, batch, message, ready

STRETCH = 77
FLAGS = FrameFlag.TIME_UNTRUSTED | stretch_flags(STRETCH)
RIGHT = Gap("clock_set", 100, 200, clock=STRETCH, offset=1000)


def stamped(time: int, **more) -> Frame:
    return Frame(OVEN_ID, time, [struct.pack("<d", 1.5)], flags=FLAGS, **more)


def times(events: list) -> list[tuple[int, int]]:
    return [(row.time, row.clock) for event in events if isinstance(event, Frames) for row in event.rows()]


def test_what_came_before_the_record_is_named_and_what_comes_after_is_right():
    reader = ready()
    assert times(reader.feed("data", message(1, [stamped(120)]))) == [(120, STRETCH)]
    corrected, later = reader.feed("data", message(2, [stamped(130)], [RIGHT]))
    assert corrected == Corrected("gw", STRETCH, 1000, 100, 200, True)
    assert times([later]) == [(1130, 0)]
    assert not later.frames[0].frame.flags
    assert times(reader.feed("data", message(3, [stamped(140)], epoch=9))) == [(1140, 0)], "in whatever epoch"
    assert reader.report().gaps == 1


def test_another_gateway_and_another_stretch_are_left_alone():
    reader = ready()
    reader.feed("data", message(1, [], [RIGHT]))
    assert times(reader.feed("data", message(1, [stamped(5)], gateway="other"))) == [(5, STRETCH)]
    other = Frame(OVEN_ID, 5, [struct.pack("<d", 1.5)], flags=FrameFlag.TIME_UNTRUSTED | stretch_flags(78))
    assert times(reader.feed("data", message(2, [other]))) == [(5, 78)]
    trusted = Frame(OVEN_ID, 5, [struct.pack("<d", 1.5)])
    assert times(reader.feed("data", message(3, [trusted]))) == [(5, 0)]


def test_a_frame_that_waits_for_its_schema_is_corrected_when_it_comes():
    reader = Reader()
    assert reader.feed("data", message(1, [stamped(120)])) == []
    assert isinstance(reader.feed("data", message(2, [], [RIGHT]))[0], Corrected)
    assert times(reader.feed("schema", SCHEMAS[OVEN_ID])) == [(1120, 0)]


def test_the_last_record_counts_and_a_final_one_always():
    reader = ready()
    guess = Gap("clock_set", 100, 200, clock=STRETCH, offset=7, into=78)
    better = Gap("clock_set", 100, 200, clock=STRETCH, offset=8, into=79)
    (first,) = reader.feed("data", message(3, [], [guess]))
    assert (first.offset, first.final) == (7, False)
    assert times(reader.feed("data", message(4, [stamped(120)]))) == [(120, STRETCH)], "a guess corrects nothing"
    assert reader.feed("data", message(2, [], [better])) == [], "overtaken by a later one"
    (second,) = reader.feed("data", message(5, [], [better]))
    assert second.offset == 8
    (last,) = reader.feed("data", message(1, [], [RIGHT]))
    assert (last.offset, last.final) == (1000, True)
    assert reader.feed("data", message(6, [], [guess])) == []


def test_times_of_the_device_stay():
    reader = ready()
    reader.feed("data", message(1, [], [RIGHT]))
    mixed = Frame(
        PRESS_ID,
        500,
        [struct.pack("<2h", 1, 2)],
        offsets=struct.pack("<2q", 0, 40),
        flags=FLAGS | FrameFlag.SOURCE_TIME,
    )
    (event,) = reader.feed("data", message(2, [mixed]))
    assert [(row.time, row.clock) for row in event.rows()] == [(1500, 0), (540, 0)]
    (event,) = ready().feed("data", message(2, [mixed]))
    assert [(row.time, row.clock) for row in event.rows()] == [(500, STRETCH), (540, 0)]
    own = Frame(OVEN_ID, 500, [struct.pack("<d", 1.5)], flags=FLAGS | FrameFlag.SOURCE_TIME)
    assert [time for time, _ in times(reader.feed("data", message(3, [own])))] == [500]


def test_gaps_of_the_stretch_are_corrected_too():
    outage = Gap("outage", 10, 20, device="oven", clock=STRETCH)
    reader = ready()
    (before,) = reader.feed("data", message(1, [], [outage]))
    assert before.gap == outage
    _, after = reader.feed("data", message(2, [], [RIGHT, outage]))
    assert isinstance(after, Declared)
    assert (after.gap.since, after.gap.until, after.gap.clock) == (1010, 1020, 0)


def test_a_trusted_clock_that_was_set_is_told():
    said = Gap("clock_set", 100, 3700, offset=3600)
    assert ready().feed("data", message(1, [], [said])) == [Declared("gw", said)]


def test_an_impossible_offset_is_told_and_changes_nothing():
    reader = ready()
    (bad,) = reader.feed("data", message(1, [], [Gap("clock_set", 1, 2, clock=STRETCH, offset=1 << 63)]))
    assert isinstance(bad, Malformed)
    far = Gap("clock_set", 1, 2, clock=STRETCH, offset=(1 << 63) - 1)
    assert isinstance(reader.feed("data", message(2, [], [far]))[0], Corrected)
    (bad,) = reader.feed("data", message(3, [stamped(120)]))
    assert isinstance(bad, Malformed), "a time beyond 64 bits is refused, not wrapped"


def test_json_says_the_same():
    def text(seq: int, frames: list[Frame], gaps: list[Gap]) -> bytes:
        (part,) = JsonPayload("gw").encode(batch(seq, frames, gaps), 1 << 20, SCHEMAS).parts
        return part

    record = json.loads(text(1, [stamped(120)], []))["frames"][0]
    assert (record["flags"], record["clock"]) == (["time_untrusted"], STRETCH)
    reader = ready()
    (event,) = reader.feed("data", text(1, [stamped(120)], []))
    assert event.frames[0].clock == STRETCH
    assert [row.clock for row in event.rows()] == [STRETCH]
    (corrected,) = reader.feed("data", text(2, [], [RIGHT]))
    assert corrected == Corrected("gw", STRETCH, 1000, 0, 0, True)


def test_stretches_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_CLOCKS", 3)
    reader = ready()
    for number in range(1, 10):
        reader.feed("data", message(number, [], [Gap("clock_set", 1, 2, clock=number, offset=5)]))
    assert len(reader._clocks._known) == 3
