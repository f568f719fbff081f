"""The gateway's clock, on a machine whose clocks the test turns."""

from __future__ import annotations

import asyncio
import ctypes
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gateway.collect import clock as room
from gateway.collect.clock import MOST_STRETCHES, STEP, Clock, boot_identity, vouched_by
from gateway.config.root import GatewayConfig
from gateway.model.batch import Gap
from gateway.model.faults import Timeout
from gateway.model.frame import FrameFlag, stretch_of
from tests.collect.scripted import Machine as ScriptedMachine
from tests.collect.test_endpoint import Plant, plant, run

SECOND = 10**9
HOUR = 3600 * SECOND
YEAR = 8766 * HOUR
NOW = 1_800_000_000 * SECOND
RTC = 946_684_800 * SECOND
"""2000-01-01, where a clock without a battery starts."""


class Machine:
    """A machine with a monotonic clock, a wall clock, and a daemon that vouches for it or does not."""

    def __init__(self, wall: int = NOW, *, vouched: bool = True, file: Path | None = None) -> None:
        self.monotonic = 1_000 * SECOND
        self.ahead = wall - self.monotonic
        self.vouched = vouched
        self.file = file
        self.boot = "boot-1"

    @property
    def wall(self) -> int:
        return self.monotonic + self.ahead

    def clock(self) -> Clock:
        return Clock(
            lambda: self.vouched, self.file, boot=self.boot, monotonic=lambda: self.monotonic, wall=lambda: self.wall
        )

    def wait(self, seconds: float) -> None:
        self.monotonic += int(seconds * SECOND)

    def set(self, by: int, *, vouched: bool) -> None:
        self.ahead += by
        self.vouched = vouched


def test_a_clock_that_is_vouched_for_says_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.trusted
    assert (clock.flags, clock.stretch, clock.known) == (0, 0, [])
    for _ in range(100):
        machine.wait(1)
        machine.ahead += STEP // 10  # a daemon that turns it slowly is followed
        assert clock.look() == []
        assert clock.now() == machine.wall


@pytest.mark.parametrize("step", [HOUR, -HOUR, 10 * YEAR, -2 * YEAR])
def test_stamps_do_not_move_before_the_look_that_finds_the_step(step: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set(step, vouched=True)
    machine.wait(0.5)
    assert clock.now() == NOW + SECOND // 2
    (record,) = clock.look()
    assert record == Gap("clock_set", NOW + SECOND // 2, NOW + SECOND // 2 + step, offset=step)
    assert clock.now() == machine.wall
    assert clock.trusted


def test_a_start_without_a_set_clock_is_corrected_when_the_time_is_known() -> None:
    machine = Machine(RTC, vouched=False)
    clock = machine.clock()
    first = clock.now()
    flags = clock.flags
    assert not clock.trusted
    assert flags & FrameFlag.TIME_UNTRUSTED
    assert stretch_of(flags) == clock.stretch > 0
    machine.wait(600)
    assert clock.look() == []
    machine.set(NOW - RTC, vouched=True)
    last = clock.now()
    (record,) = clock.look()
    assert record == Gap("clock_set", first, last, clock=stretch_of(flags), offset=NOW - RTC)
    assert (clock.flags, clock.trusted) == (0, True)
    assert last + record.offset == clock.now()
    machine.wait(1)
    assert clock.look() == []


def test_a_right_time_that_nobody_vouched_for_is_confirmed() -> None:
    machine = Machine(vouched=False)
    clock = machine.clock()
    number = clock.stretch
    machine.wait(60)
    machine.vouched = True
    (record,) = clock.look()
    assert (record.clock, record.offset, record.into) == (number, 0, 0)


def test_a_step_that_nobody_vouches_for_begins_another_stretch_and_relates_the_two() -> None:
    machine = Machine(NOW - 13 * YEAR, vouched=False)
    clock = machine.clock()
    first = clock.stretch
    machine.set(10 * YEAR, vouched=False)  # by hand, and wrong
    (between,) = clock.look()
    second = clock.stretch
    assert second not in {0, first}
    assert (between.clock, between.offset, between.into) == (first, 10 * YEAR, second)
    machine.wait(5)
    assert clock.look() == []
    machine.set(3 * YEAR, vouched=False)
    records = clock.look()
    third = clock.stretch
    found = [(record.clock, record.offset, record.into) for record in records]
    assert found == [(first, 13 * YEAR, third), (second, 3 * YEAR, third)]
    machine.set(HOUR, vouched=True)
    found = [(record.clock, record.offset, record.into) for record in clock.look()]
    assert found == [(first, 13 * YEAR + HOUR, 0), (second, 3 * YEAR + HOUR, 0), (third, HOUR, 0)]


@pytest.mark.parametrize("step", [HOUR, -HOUR, 10 * YEAR])
def test_when_somebody_sets_a_trusted_clock_only_what_follows_is_not_trusted(step: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set(step, vouched=False)
    (said,) = clock.look()
    number = clock.stretch
    assert (said.clock, said.offset, said.into) == (0, step, number)
    machine.wait(30)
    machine.set(-step, vouched=True)
    (record,) = clock.look()
    assert (record.clock, record.offset, record.into) == (number, -step, 0)
    assert record.until - record.since == 30 * SECOND


def test_nobody_can_vouch_for_a_time_before_the_clock_was_set() -> None:
    assert not Machine(RTC, vouched=True).clock().trusted


def test_a_start_in_the_same_boot_corrects_what_the_run_before_left(tmp_path: Path) -> None:
    file = tmp_path / "journal.clock"
    machine = Machine(RTC, vouched=False, file=file)
    first = machine.clock()
    number = first.stretch
    machine.wait(10)
    again = machine.clock()  # killed, and started again
    assert again.stretch == number
    assert again.known == []
    machine.wait(10)
    machine.set(NOW - RTC, vouched=True)  # … and again, when the time is known
    (record,) = machine.clock().known
    assert record == Gap("clock_set", RTC, RTC + 20 * SECOND, clock=number, offset=NOW - RTC)
    assert not file.exists()
    assert machine.clock().known == []


def test_after_another_boot_nothing_can_be_said_of_the_one_before(tmp_path: Path) -> None:
    machine = Machine(RTC, vouched=False, file=tmp_path / "journal.clock")
    number = machine.clock().stretch
    machine.boot = "boot-2"
    clock = machine.clock()
    assert clock.stretch != number
    number_now = clock.stretch
    machine.set(NOW - RTC, vouched=True)
    assert [record.clock for record in clock.look()] == [number_now]


def test_a_damaged_or_unwritable_memory_is_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "journal.clock"
    file.write_bytes(b"\x00 torn")
    assert Machine(RTC, vouched=False, file=file).clock().stretch
    assert msgspec.json.decode(file.read_bytes())["boot"] == "boot-1"
    assert Machine(RTC, vouched=False, file=tmp_path / "missing" / "journal.clock").clock().stretch


def test_stretches_that_wait_are_bounded() -> None:
    machine = Machine(RTC, vouched=False)
    clock = machine.clock()
    for _ in range(3 * MOST_STRETCHES):
        machine.set(HOUR, vouched=False)
        assert len(clock.look()) <= MOST_STRETCHES
    machine.set(NOW - machine.wall, vouched=True)
    assert len(clock.look()) == MOST_STRETCHES


def test_a_preempted_reading_is_not_taken_for_a_step() -> None:
    machine = Machine()
    clock = machine.clock()
    waits = iter([10, 30, 0, 7, 2])

    def wall() -> int:
        machine.wait(next(waits, 0))
        return machine.wall

    late = Clock(lambda: True, boot="", monotonic=lambda: machine.monotonic, wall=wall)
    assert late.offset == clock.offset


def test_who_vouches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vouched_by("always")()
    file = tmp_path / "synchronized"
    vouched = vouched_by(str(file))
    assert not vouched()
    file.touch()
    assert vouched()
    status = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    assert vouched_by("auto")() is (0 <= status < 5)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not vouched_by("auto")(), "where the kernel cannot be asked"


def test_boot_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_identity() == boot_identity()
    monkeypatch.setattr(room, "_BOOT", tmp_path / "none")
    assert boot_identity() == ""


def test_a_stamp_costs_less_than_asking_the_system() -> None:
    clock = Clock(lambda: True)
    monotonic = time.monotonic_ns()
    best = min(_seconds(lambda: monotonic + clock.offset) for _ in range(5))
    assert best < 10e-6, "0.05 µs on the reference machine; the bound leaves room for a busy one"


def test_frames_and_gaps_of_a_plant_whose_clock_is_set(tmp_path: Path) -> None:
    synchronised = tmp_path / "synchronised"
    configuration = replace(plant(), gateway=GatewayConfig(id="g", clock=str(synchronised)))
    machine = ScriptedMachine()

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(2.5)
        machine.answers["d0"] = Timeout("no answer")
        await asyncio.sleep(3)
        at_work.collector.clock._wall = lambda: time.time_ns() + 10 * YEAR
        machine.answers.clear()
        await asyncio.sleep(70)
        assert not at_work.collector.clock.trusted
        synchronised.touch()
        await asyncio.sleep(5)

    done = run(body, machine, configuration)
    stretches = list(dict.fromkeys(stretch_of(frame.flags) for frame in done.frames))
    first, second, trusted = stretches
    assert trusted == 0
    for frame in done.frames:
        assert bool(frame.flags & FrameFlag.TIME_UNTRUSTED) is (stretch_of(frame.flags) != 0)
    set_by = {(gap.clock, gap.into): gap.offset for gap in done.gaps if gap.reason == "clock_set"}
    assert set_by.keys() == {(first, second), (first, 0), (second, 0)}
    assert abs(set_by[first, 0] - 10 * YEAR) < SECOND
    assert abs(set_by[second, 0]) < SECOND
    (outage,) = [gap for gap in done.gaps if gap.reason == "outage"]
    assert outage.clock in {first, second}
    assert 0 < outage.until - outage.since < HOUR, "in one time, however the clock was set meanwhile"
    polled = [at for _, at in machine.polls]
    assert polled[-5:] == [polled[-5] + tick for tick in range(5)], "the schedule takes no notice"


def _seconds(call: object, times: int = 1000) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()  # type: ignore[operator]
    return (time.perf_counter() - began) / times
