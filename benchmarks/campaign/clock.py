"""The clock of the gateway's machine is set, or was never set: nothing is lost, intervals stay, times are corrected.

Only the gateway is deceived (libfaketime; its monotonic clock runs true), so the devices' scoreboard has the right time
of every answer. A witness with `gateway.reader` beside the verifying subscriber applies the corrections; in the end
each frame's corrected time must be the time of the answer it holds.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.campaign.scenario import Course, Outcome, Scenario, begin, catch_up, end, kill, polls, wait
from benchmarks.processes import Plant, Unfit, plant
from gateway.config.fields import parse_duration
from gateway.model.view import FrameView
from gateway.reader import Corrected, Declared, Frames, Reader

HOUR: Final = 3600
YEAR: Final = 8766 * HOUR
STEPS: Final = (HOUR, -HOUR, 10 * YEAR, -10 * YEAR)
YEAR_2000: Final = 946_684_800
SLACK: Final = 5_000_000_000
"""ns between an answer and its stamp, at most: on two cores that a whole test suite shares. Steps are far greater …"""
CLOSE: Final = 500_000_000
"""… and half of the stamps are nearer than this."""
UNSET: Final = 1_704_067_200
"""2024-01-01: nobody can vouch for an earlier time."""
NOTICED: Final = 30.0
"""Seconds within which the gateway must have looked at the clock again (it looks once a second)."""
LONGEST: Final = 15.0
"""Seconds without a poll that a busy machine is forgiven; a schedule that follows the clock would stall for an hour."""
RETAIN: Final = "2m"
"""Far less than the steps, more than a run: whoever takes ages from the wall clock gives up the backlog."""


class Belief(NamedTuple):
    """What the gateway believes, if it believes its machine's clock."""

    ahead: int
    """ns ahead of the right time."""
    trusted: bool


class Deception:
    """What the gateway believes: by how much its clock is off, and whether somebody vouches for it."""

    def __init__(self, run: Plant, *, ahead: int = 0, vouched: bool = True, trust: str = "") -> None:
        library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        if library is None:
            raise Unfit("libfaketime is not installed: apt-get install faketime")
        self._gateway = run.gateway
        self._now = run.folder / "now"
        """Symbolic link to a folder: what it believes changes at once."""
        self.history: list[tuple[int, int, Belief]] = []
        """(from then on it may, from then on it does believe), in right time (ns)."""
        path = run.folder / "gateway.yaml"
        configuration = json.loads(path.read_text())
        configuration["gateway"]["clock"] = trust or str(self._now / "vouched")
        path.write_text(json.dumps(configuration))
        run.gateway.environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._now / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self._write(ahead, vouched=vouched)
        self._note(0, time.time_ns(), ahead, vouched=vouched)

    def set(self, ahead: int, *, vouched: bool) -> None:
        """Set the clock ``ahead`` seconds of the right time, and wait until the gateway tells that it knows."""
        known, began = self._told(), time.time_ns()
        self._write(ahead, vouched=vouched)
        if wait(lambda: self._told() > known, NOTICED) >= NOTICED:
            raise Unfit(f"the gateway did not notice within {NOTICED:g} s that its clock was set")
        time.sleep(0.1)
        self._note(began, time.time_ns(), ahead, vouched=vouched)

    def beliefs(self, right: int) -> list[Belief]:
        """All that it may have believed when it stamped what was answered at ``right``: a stamp can come late."""
        moments = zip(self.history, (known for _, known, _ in [*self.history[1:], (0, 1 << 63, None)]), strict=True)
        return [belief for (began, _, belief), gone in moments if began <= right + SLACK and right - CLOSE <= gone]

    def untrusted(self, right: int) -> bool:
        """True at a moment at which it certainly believed that its clock cannot be trusted."""
        ends = [began for began, _, _ in self.history[1:]] + [1 << 63]
        spans = zip(self.history, ends, strict=True)
        return any(known < right < end - CLOSE for (_, known, belief), end in spans if not belief.trusted)

    def _write(self, ahead: int, *, vouched: bool) -> None:
        folder = self._now.with_name(f"now-{len(self.history)}")
        folder.mkdir()
        (folder / "clock").write_text(f"{ahead:+d}\n")
        if vouched:
            (folder / "vouched").touch()
        link = self._now.with_name("now-new")
        link.symlink_to(folder)
        link.replace(self._now)

    def _note(self, began: int, known: int, ahead: int, *, vouched: bool) -> None:
        at = time.time_ns() + ahead * 10**9
        self.history.append((began, known, Belief(ahead * 10**9, vouched and at >= UNSET * 10**9)))

    def _told(self) -> int:
        """Lines about the clock in the gateway's log."""
        return self._gateway.log.read_text("utf-8", "replace").count(" clock_")


@dataclass(frozen=True)
class Stamp:
    """One frame as the witness got it."""

    device: int
    count: int
    time: int
    clock: int


class Witness:
    """A subscriber with the project's reader: keeps the stamp of every frame, and every correction."""

    def __init__(self, port: int) -> None:
        self.stamps: list[Stamp] = []
        self.corrections: dict[int, Corrected] = {}
        self.declared: list[Declared] = []
        self.arrived: dict[int, float] = {}
        """When the final correction of a stretch came, monotonic."""
        self._reader = Reader()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "witness", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("xingsha/v1/+/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        if not self._subscribed.wait(30):
            raise Unfit("the broker did not confirm the subscription within 30 s")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        for event in self._reader.feed(message.topic, bytes(message.payload)):
            match event:
                case Frames():
                    self.stamps += [_stamp(view) for view in event.frames if isinstance(view, FrameView)]
                case Corrected():
                    self.corrections[event.clock] = event
                    if event.final:
                        self.arrived[event.clock] = time.monotonic()
                case Declared():
                    self.declared.append(event)

    def uncorrected(self) -> set[int]:
        """Stretches whose right time is not known."""
        return {stamp.clock for stamp in self.stamps.copy() if stamp.clock} - self.arrived.keys()


def _stamp(view: FrameView) -> Stamp:
    marker = np.asarray(view.columns[0].raw)[0]
    return Stamp(int(view.device.removeprefix("d")), int(marker), view.time, view.clock)


def steps(course: Course, folder: Path) -> Outcome:
    """Somebody sets the clock while it is synchronised; the daemon sets it right again, and vouches for it."""
    outcome = Outcome("clock-steps")
    with plant(course.setting(bus={"retain": RETAIN}), folder) as run, Witness(run.broker.port) as witness:
        clock = Deception(run)
        begin(run, course)
        for ahead in STEPS:
            clock.set(ahead, vouched=False)
            time.sleep(course.outage)
            clock.set(0, vouched=True)
            restored = time.monotonic()
            time.sleep(course.steady)
        report = end(run, outcome)
        outcome.recovery = _recovery(witness, restored)
        _judge(outcome, run, clock, witness, report)
    return outcome


def believed(course: Course, folder: Path) -> Outcome:
    """The clock is set to and fro, with ``clock: always`` and a backlog: no age is taken from it."""
    outcome = Outcome("clock-believed")
    with plant(course.setting(bus={"retain": RETAIN}), folder) as run, Witness(run.broker.port) as witness:
        clock = Deception(run, trust="always")
        begin(run, course)
        run.broker.stop(10.0)
        for ahead in (*STEPS, 0):
            clock.set(ahead, vouched=True)
            time.sleep(course.outage / len(STEPS))
        run.broker.start()
        outcome.recovery = catch_up(run, course)
        time.sleep(course.steady)
        report = end(run, outcome)
        _judge(outcome, run, clock, witness, report)
        told = [event.gap.offset for event in witness.declared if event.gap.reason == "clock_set"]
        due = np.diff([0, *STEPS]) * 1e9
        good = len(told) == len(due) and bool((np.abs(np.array(told) - due) < SLACK).all())
        outcome.check("every step of a trusted clock is declared", good, told)
    return outcome


def unset(course: Course, folder: Path) -> Outcome:
    """Start in 2000; broker down, kill, start; then the time becomes known, and the broker comes back."""
    outcome = Outcome("clock-unset")
    with plant(course.setting(bus={"retain": RETAIN}), folder) as run, Witness(run.broker.port) as witness:
        clock = Deception(run, ahead=YEAR_2000 - int(time.time()), vouched=True)
        begin(run, course)
        run.broker.stop(10.0)
        time.sleep(course.outage / 2)
        killed, committed = kill(run, course, outcome)
        before = polls(run)
        run.gateway.start()
        wait(lambda: bool((polls(run) > before).all()), NOTICED)
        time.sleep(course.outage / 2)
        clock.set(0, vouched=True)
        run.broker.start()
        started = time.monotonic()
        catch_up(run, course)
        time.sleep(course.steady)
        report = end(run, outcome)
        outcome.recovery = _recovery(witness, started)
        lost = [run for run in report["missing"] if committed.has(*run[:3])]
        outcome.check("nothing that was committed is lost", not lost, lost[:5])
        late = [run for run in report["missing"] if run[4] > killed + 1e8]
        outcome.check("nothing that was served after the kill is missing", not late, late[:5])
        restarts = [event for event in witness.declared if event.gap.reason == "restart"]
        outcome.check("the restart is declared as a gap", len(restarts) == 1, witness.declared[:5])
        outcome.lost, outcome.declared = (report["lost"] if lost else 0), (0 if lost else report["lost"])
        outcome.check("both runs are one stretch", len(witness.corrections) == 1, witness.corrections)
        _judge(outcome, run, clock, witness, report | {"lost": outcome.lost}, killed=True)
    return outcome


def _recovery(witness: Witness, since: float) -> float:
    """Seconds from ``since`` until the last correction came."""
    wait(lambda: not witness.uncorrected(), 10.0)
    return round(max([arrived - since for arrived in witness.arrived.values()], default=0.0), 1)


def _judge(
    outcome: Outcome,
    run: Plant,
    clock: Deception,
    witness: Witness,
    report: dict[str, Any],
    *,
    killed: bool = False,
) -> None:
    """What must hold however the clock is set."""
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    overflow = [gap for gap in report["gaps"] if gap["reason"] == "overflow"]
    outcome.check("nothing is given up as too old", not overflow, overflow[:3])
    _intervals(outcome, run, report["gaps"], killed=killed)
    outcome.check("every stretch is corrected for good", not witness.uncorrected(), witness.uncorrected())
    wrong, ages, inside, judged = [], list[int](), list[bool](), 0
    for stamp in witness.stamps:
        right = int(run.devices.board.times(np.array([stamp.device]), np.array([stamp.count]))[0])
        if not right:
            continue  # the scoreboard remembers the last 1,024 polls of a device
        judged += 1
        offset = witness.corrections[stamp.clock].offset if stamp.clock else 0
        fitting = [
            off
            for belief in clock.beliefs(right)
            if belief.trusted == (not stamp.clock)
            and -CLOSE <= (off := stamp.time + offset - right - belief.ahead * belief.trusted) <= SLACK
        ]
        ages += fitting[:1]
        inside += [stamp.clock > 0] if clock.untrusted(right) else []
        if not fitting:
            wrong.append((stamp, right, clock.beliefs(right)))
    outcome.check("frames say what is known of their time", not wrong, f"{len(wrong)}: {wrong[:3]}")
    untrusted = sum(1 for stamp in witness.stamps if stamp.clock)
    good = inside and sum(inside) > 0.5 * len(inside)  # a stamp can come late, when the clock is right again
    outcome.check("frames of untrusted time say so", bool(good), f"{sum(inside)} of {len(inside)}")
    half = float(np.median(ages)) if ages else 0.0
    outcome.check("half of the stamps are near", 0 < half < CLOSE, f"{half / 1e6:.1f} ms after the answer")
    outcome.check("frames were judged", judged > 0.5 * len(witness.stamps) > 0, f"{judged} of {len(witness.stamps)}")
    outcome.figures |= {
        "frames_judged": judged,
        "frames_untrusted": untrusted,
        "stretches": len(witness.corrections),
    }


def _intervals(outcome: Outcome, run: Plant, gaps: list[dict[str, Any]], *, killed: bool) -> None:
    """Scan rates, by the devices' clock: every poll that was due was made, or is declared as missed."""
    board, due = run.devices.board, parse_duration(run.setting.scan)
    found, shares = [], []
    for device, last in enumerate(polls(run).tolist()):
        count = np.arange(max(1, last - board.RING + 1), last + 1)
        times = board.times(np.full(len(count), device), count)
        found.append(np.diff(times) / 1e9)
        missed = sum(gap.get("count", 0) for gap in gaps if gap.get("device") == f"d{device}")
        shares.append((last - 1 + missed) * due * 1e9 / max(times[-1] - times[0], 1))
    p50, p99, most = (round(float(value), 3) for value in np.percentile(np.concatenate(found), [50, 99, 100]))
    if not killed and last < board.RING:
        good = all(0.9 < share < 1.5 for share in shares)  # a session that is opened again reads once at once
        outcome.check(
            "polls made and declared missed are those due", good, [round(float(share), 3) for share in shares]
        )
    outcome.check("scanning never stops", most < LONGEST, f"longest {most} s, due {due} s")
    outcome.figures |= {"interval_s": {"p50": p50, "p99": p99, "max": most}}


SCENARIOS: Final = (
    Scenario(
        "clock-steps",
        "clock set by ±1 h and ±10 years, set right again each time",
        "live data",
        steps,
        short=Course(outage=1.0, steady=1.0, devices=4, registers=125, scan=0.2),
        long=Course(outage=8.0, steady=2.0, registers=250),
    ),
    Scenario(
        "clock-believed",
        "clock set by ±1 h and ±10 years, believed each time; broker down",
        "backlog",
        believed,
        short=Course(outage=4.0, steady=1.0, devices=4, registers=125, scan=0.2),
        long=Course(outage=50.0, steady=2.0, registers=250),
    ),
    Scenario(
        "clock-unset",
        "start in 2000, broker down, killed and started again; then the time becomes known",
        "backlog",
        unset,
        short=Course(outage=4.0, steady=1.0, devices=4, registers=125, scan=0.2),
        long=Course(outage=40.0, steady=2.0, registers=250),
    ),
)
