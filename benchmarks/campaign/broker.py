"""The broker goes, and comes back: nothing may be lost, and what comes twice must carry its own number."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.campaign.letters import content_of, joined, letters_of
from benchmarks.campaign.scenario import (
    STAMP_SLACK,
    Course,
    Outcome,
    Scenario,
    arrival,
    begin,
    catch_up,
    end,
    polls,
    wait,
)
from benchmarks.campaign.way import Proxied, Way, proxied, way
from benchmarks.processes import Broker, Plant, Subscriber, Unfit, plant

BACK: Final = 8.0
"""Seconds within which something arrives again: a wait of 5 s at most, and a busy machine."""
LEARN: Final = 5 * 5.0 + BACK
"""Seconds in which five lost links teach a lane that a size which passed before passes no more."""
ACK_TIMEOUT: Final = 30.0
"""Default of the MQTT sink."""
REFUSED_AGAIN: Final = 30.0
"""Longest first wait after a refusal."""


def stopped(name: str, order: str, course: Course, folder: Path) -> Outcome:
    """Broker stopped in order, devices read on, broker started: everything arrives."""
    outcome = Outcome(name)
    with plant(course.setting(lane={"order": order}), folder) as run:
        begin(run, course)
        run.broker.stop(10.0)
        before = polls(run)
        time.sleep(course.outage)
        during = polls(run) - before
        run.broker.start()
        _recover(outcome, run, course)
        report = end(run, outcome)
    due = course.outage / course.scan
    outcome.check("devices are read on during the outage", during.min() > 0.9 * due, f"{during.min()} of {due:.0f}")
    _judge(outcome, report)
    return outcome


def killed(name: str, kept: bool, course: Course, folder: Path) -> Outcome:
    """Broker killed and started again, with what it had kept on disk or with nothing at all.

    The gateway is let in again when the subscriber is back: a broker that has forgotten who subscribed acknowledges
    messages and gives them to nobody.
    """
    outcome = Outcome(name)
    with proxied(folder) as line:
        line.broker.configure(*(["autosave_interval 1", "autosave_on_changes true"] if kept else []), persistence=kept)
        with plant(course.setting(sink=_to(line)), folder, line.broker) as run:
            begin(run, course)
            run.broker.kill()
            line.ask("refuse")
            time.sleep(course.outage)
            before = run.subscriber.ask("mark")["subscriptions"]
            run.broker.start()
            wait(lambda: bool(run.subscriber.ask("mark")["subscriptions"] > before), 15.0)
            line.ask("open")
            _recover(outcome, run, course)
            late = _late(run, folder)
            report = end(run, outcome)
    _judge(outcome, report)
    readable = not late["unreadable"] + late["wrong"] and late["points"]
    outcome.check("who subscribes later can read everything", readable, late["notes"])
    return outcome


def frozen(course: Course, folder: Path) -> Outcome:
    """Broker stopped by SIGSTOP: connections are taken, nothing is answered; SIGCONT."""
    outcome = Outcome("broker-frozen")
    with plant(course.setting(sink=_patience(course)), folder) as run:
        begin(run, course)
        run.broker.signal(signal.SIGSTOP)
        time.sleep(course.outage)
        run.broker.signal(signal.SIGCONT)
        _recover(outcome, run, course)
        report = end(run, outcome)
    _judge(outcome, report)
    return outcome


def half_open(course: Course, folder: Path) -> Outcome:
    """All packets are dropped, without a word to either side; later they pass again."""
    outcome = Outcome("broker-half-open")
    with way(folder) as line, plant(course.setting(sink=_to(line) | _patience(course)), folder, line.broker) as run:
        begin(run, course)
        line.drop()
        time.sleep(course.outage)
        line.restore()
        _recover(outcome, run, course, _patient(course) + BACK)
        report = end(run, outcome)
        outcome.figures["by"] = line.kind
    _judge(outcome, report)
    return outcome


def forgotten(course: Course, folder: Path) -> Outcome:
    """A firewall in between forgets the connection: nothing passes on it any more, new ones would work."""
    outcome = Outcome("broker-forgotten")
    with proxied(folder) as line, plant(course.setting(sink=_to(line) | _patience(course)), folder, line.broker) as run:
        begin(run, course)
        line.ask("forget")
        _recover(outcome, run, course, _patient(course) + BACK)
        report = end(run, outcome)
    _judge(outcome, report)
    return outcome


def auth(course: Course, folder: Path) -> Outcome:
    """The password is changed on the broker while the gateway is connected; later it is as before."""
    outcome = Outcome("broker-auth")
    passwords = folder / "passwords"
    broker = Broker(folder)
    broker.configure(f"password_file {passwords}")
    _password(passwords, "right")
    with plant(course.setting(sink={"username": "gateway", "password": "right"}), folder, broker) as run:
        begin(run, course)
        _password(passwords, "another")
        run.broker.signal(signal.SIGHUP)
        time.sleep(course.outage)
        _password(passwords, "right")
        run.broker.signal(signal.SIGHUP)
        # waits double from 15 to 30 s on, so the last is never longer than twice all before it, and 30 s
        _recover(outcome, run, course, 2 * course.outage + REFUSED_AGAIN + BACK)
        report = end(run, outcome)
    refusals = run.gateway.tail(1 << 20).count("auth_refused")
    outcome.check("the refusal is named, once", refusals == 1, f"auth_refused {refusals} times in the log")
    _judge(outcome, report)
    return outcome


def quota(course: Course, folder: Path) -> Outcome:
    """On a connection that stays, every message is refused because a quota is used up; later all are taken again."""
    outcome = Outcome("broker-quota")
    with proxied(folder) as line, plant(course.setting(sink=_to(line)), folder, line.broker) as run:
        begin(run, course)
        line.ask("quota 1")
        time.sleep(course.outage)
        refused = line.ask("quota 0")["refused"]
        _recover(outcome, run, course)
        connections = line.ask("state")["connections"]
        report = end(run, outcome)
        letters = letters_of(folder)
    outcome.check("messages were refused", refused, refused)
    outcome.check("the connection stays", connections == 1, f"{connections} connections")
    outcome.check("what is refused for now is not set aside", not letters, f"{len(letters)} dead letters")
    outcome.figures["refused"] = refused
    _judge(outcome, report)
    return outcome


def small(name: str, setting: str, limit: int, course: Course, folder: Path) -> Outcome:
    """After a restart the broker takes small messages only."""
    outcome = Outcome(name)
    with plant(course.setting(), folder) as run:
        begin(run, course)
        run.broker.stop(10.0)
        run.broker.configure(f"{setting} {limit}")
        time.sleep(course.outage)
        run.broker.start()
        _recover(outcome, run, course, BACK if setting == "max_packet_size" else LEARN)
        report = end(run, outcome)
    letters = letters_of(folder)
    outcome.check("nothing is set aside that fits when it is cut", not letters, f"{len(letters)} dead letters")
    _judge(outcome, report)
    return outcome


def tiny(course: Course, folder: Path) -> Outcome:
    """For a while the broker takes messages so small that not even a schema fits; then all again."""
    outcome = Outcome("broker-tiny")
    with plant(course.setting(), folder) as run:
        begin(run, course)
        run.broker.stop(10.0)
        stopped = time.time_ns()
        run.broker.configure("max_packet_size 1000")
        run.broker.start()
        time.sleep(course.outage)
        run.broker.stop(10.0)
        run.broker.configure()
        run.broker.start()
        outcome.recovery = arrival(run)
        time.sleep(course.steady)
        report = end(run, outcome)
        letters = letters_of(folder)
        aside = content_of(letters, run)
    set_aside = sum(letter.header.points for letter in letters)
    unkept = [run for run in report["missing"] if not aside.has_all(*run[:3])]
    outcome.check("what is missing is in dead letters", report["lost"] and not unkept, unkept[:5])
    # what was under way when the broker stopped may have arrived all the same, as after any lost link
    under_way = sum(letter.header.points for letter in letters if letter.header.first_time <= stopped)
    came = set_aside - report["lost"]
    outcome.check("what is in dead letters is missing", came <= under_way, f"{came} arrived, {under_way} under way")
    gaps = [gap for gap in report["gaps"] if gap["reason"] == "poison"]
    hidden = [
        run
        for run in report["missing"]
        if not any(
            gap.get("device") in {f"d{run[0]}", None, ""}
            and gap["since"] - STAMP_SLACK <= run[3]
            and run[4] <= gap["until"]
            for gap in joined(gaps)
        )
    ]
    outcome.check("what is missing lies in a declared gap", not hidden, hidden[:5])
    outcome.check("the rest goes on", outcome.recovery < BACK, f"after {outcome.recovery} s")
    outcome.lost, outcome.declared = (report["lost"], 0) if unkept else (0, report["lost"])
    return outcome


def cuts(course: Course, folder: Path) -> Outcome:
    """The connection is reset again and again, each time somewhere within the stream of bytes."""
    outcome = Outcome("broker-cuts")
    chance = random.Random(20_260_101)
    with proxied(folder) as line, plant(course.setting(sink=_to(line)), folder, line.broker) as run:
        begin(run, course)
        for number in range(course.times):
            taken = line.ask("state")["connections"]
            # every second time between the acknowledgements, so that what arrived is sent again
            line.ask(f"cut {chance.randrange(20_000)}" if number % 2 else f"cut-back {chance.randrange(20)}")
            waited = wait(partial(_more, line, taken), 30.0)
            if waited >= 30.0:
                outcome.check("it connects after every cut", False, f"not after cut {number + 1}")
                break
        _recover(outcome, run, course)
        outcome.figures["connections"] = line.ask("state")["connections"]
        report = end(run, outcome)
    outcome.check("every cut was one", outcome.figures["connections"] > course.times, outcome.figures["connections"])
    _judge(outcome, report)
    return outcome


def narrow(course: Course, folder: Path) -> Outcome:
    """256 kbit/s, and a backlog from an outage before."""
    outcome = Outcome("broker-narrow")
    with way(folder) as line, plant(course.setting(sink=_to(line)), folder, line.broker) as run:
        line.narrow(256_000)
        begin(run, course)
        run.broker.stop(10.0)
        time.sleep(course.outage)
        run.broker.start()
        _recover(outcome, run, course)
        report = end(run, outcome)
        outcome.figures["by"] = line.kind
    _judge(outcome, report)
    return outcome


def _to(line: Way) -> dict[str, Any]:
    return {"host": line.host, "port": line.port}


def _patient(course: Course) -> float:
    """Seconds until a silent link counts as lost: the default, or less where the outage is short."""
    return min(ACK_TIMEOUT, course.outage / 3)


def _patience(course: Course) -> dict[str, Any]:
    if _patient(course) == ACK_TIMEOUT:
        return {}
    return {"ack_timeout": f"{_patient(course):g}s", "connect_timeout": f"{_patient(course):g}s"}


def _recover(outcome: Outcome, run: Plant, course: Course, most: float = BACK) -> None:
    """Wait until everything has arrived; something must arrive within ``most`` seconds."""
    began = time.monotonic()
    first = arrival(run, most + 30)
    outcome.check(f"data flows again within {most:g} s", first <= most, f"after {first} s")
    catch_up(run, course)
    outcome.recovery = round(time.monotonic() - began, 1)
    outcome.figures |= {"outage_s": course.outage, "first_data_s": first, "caught_up_s": outcome.recovery}
    time.sleep(course.steady)


def _judge(outcome: Outcome, report: dict[str, Any]) -> None:
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")


def _more(line: Proxied, taken: int) -> bool:
    return bool(line.ask("state")["connections"] > taken)


def _late(run: Plant, folder: Path) -> dict[str, Any]:
    """What somebody finds who subscribes only now."""
    with Subscriber(folder, run.setting.pattern, run.broker.port, number=2, inside=run.broker.inside) as late:
        wait(lambda: bool(late.ask("mark")["points"]), 10.0)
        return late.ask("report")


def _password(file: Path, password: str) -> None:
    program = shutil.which("mosquitto_passwd") or shutil.which("mosquitto_passwd", path="/usr/sbin:/usr/local/bin")
    if program is None:
        raise Unfit("mosquitto_passwd is not installed: apt-get install mosquitto")
    subprocess.run([program, "-b", "-c", str(file), "gateway", password], check=True, capture_output=True)


_SHORT: Final[dict[str, Any]] = {"steady": 1.5, "registers": 250}

SCENARIOS: Final = (
    Scenario(
        "broker-stopped", "broker stopped, started again", "live data",
        partial(stopped, "broker-stopped", "oldest_first"), Course(outage=8.0, **_SHORT), Course(outage=60.0),
    ),
    Scenario(
        "broker-stopped-long", "broker stopped, started again much later", "live data first, backlog behind it",
        partial(stopped, "broker-stopped-long", "fresh_first"), Course(outage=4.0, change="10%", **_SHORT),
        Course(outage=600.0),
    ),
    Scenario(
        "broker-killed-kept", "broker killed, started again with its store", "live data",
        partial(killed, "broker-killed-kept", True), Course(outage=2.0, **_SHORT), Course(outage=60.0, registers=250),
    ),
    Scenario(
        "broker-killed-empty", "broker killed, started again without persistence", "live data",
        partial(killed, "broker-killed-empty", False), Course(outage=2.0, **_SHORT), Course(outage=60.0),
    ),
    Scenario(
        "broker-frozen", "broker frozen (SIGSTOP), goes on (SIGCONT)", "live data",
        frozen, Course(outage=6.0, **_SHORT), Course(outage=90.0),
    ),
    Scenario(
        "broker-half-open", "all packets dropped, without RST; later they pass", "live data",
        half_open, Course(outage=6.0, **_SHORT), Course(outage=90.0),
    ),
    Scenario(
        "broker-forgotten", "connection forgotten by a firewall", "live data",
        forgotten, Course(outage=6.0, **_SHORT), Course(outage=90.0),
    ),
    Scenario(
        "broker-auth", "password changed, later restored", "live data",
        auth, Course(outage=2.0, **_SHORT), Course(outage=60.0),
    ),
    Scenario(
        "broker-quota", "every message refused, quota exceeded; later taken", "live data",
        quota, Course(outage=4.0, **_SHORT), Course(outage=60.0),
    ),
    Scenario(
        "broker-small", "broker takes 4,000 bytes only, and says so", "backlog of larger batches",
        partial(small, "broker-small", "max_packet_size", 4000), Course(outage=2.0, **_SHORT),
        Course(outage=60.0, registers=250),
    ),
    Scenario(
        "broker-small-untold", "broker refuses more than 4,500 bytes, and does not say why",
        "backlog of larger batches",
        partial(small, "broker-small-untold", "message_size_limit", 4500), Course(outage=2.0, **_SHORT),
        Course(outage=60.0, registers=250),
    ),
    Scenario(
        "broker-tiny", "broker takes no schema of this size, later it does", "live data",
        tiny, Course(outage=5.0, **_SHORT), Course(outage=30.0),
    ),
    Scenario(
        "broker-cuts", "connection reset at random bytes, again and again", "live data",
        cuts, Course(outage=0.0, times=8, **_SHORT), Course(outage=0.0, times=100, registers=250),
    ),
    Scenario(
        "broker-narrow", "256 kbit/s, after an outage", "backlog",
        narrow, Course(outage=4.0, scan=0.5, **_SHORT), Course(outage=60.0, scan=1.0),
    ),
)  # fmt: skip
