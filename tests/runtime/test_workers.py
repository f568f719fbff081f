"""A gateway in several processes: real processes, real devices and broker, loss counted at the subscriber."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.pattern import Pattern, parse_change
from benchmarks.processes import Setting, plant, run_folder
from gateway.testing.ports import free_port

SCAN = 0.1
COMMIT_WINDOW = 2.0
"""Seconds before a kill within which something may not have been committed yet, on a busy machine."""


@contextmanager
def running(workers, devices=6):
    """A plant, and a gateway with an HTTP port; not yet started."""
    setting = Setting(Pattern(devices, 250, parse_change("all")), scan=f"{SCAN * 1000:g}ms", workers=workers)
    with run_folder() as folder, plant(setting, folder) as run:
        run.port = free_port()
        configure(run, workers)
        yield run


def configure(run, workers):
    path = run.folder / "gateway.yaml"
    configuration = json.loads(path.read_text())
    configuration["gateway"]["workers"] = workers
    configuration["observe"] = {"http": f"127.0.0.1:{run.port}", "log_format": "json"}
    path.write_text(json.dumps(configuration))


def get(run, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{run.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, "{}"


def status(run):
    return json.loads(get(run, "/status")[1])


def until(condition, seconds=30, what="what was waited for"):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
    return found


def ready(run):
    def is_ready():
        assert run.gateway.running
        return get(run, "/health/ready")[0] == 200 and status(run)

    return until(is_ready, 60, "readiness")


def polls(run):
    return run.devices.board.served[:: run.setting.pattern.blocks].copy()


def delivered(run):
    """True when the subscriber misses nothing but what is on its way."""
    missing = run.subscriber.ask("report")["missing"]
    return sum(last - first + 1 for _, first, last, *_ in missing) <= 8 * run.setting.pattern.devices


def end(run, code=0):
    run.gateway.stop(30.0)
    assert run.gateway.process.returncode == code, run.gateway.tail()
    run.subscriber.settle(0.5, 20.0)
    report = run.subscriber.ask("report")
    assert (report["wrong"], report["unreadable"], report["holes"]) == (0, 0, []), report["notes"]
    assert report["duplicated"] == report["repeated"]
    return report


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def logged(run, event):
    lines = [json.loads(line) for line in run.gateway.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def assert_declared(report, *ends):
    """Whatever is missing was read within the last moments before an end, and lies in a gap record."""
    restarts = [gap for gap in report["gaps"] if gap["reason"] == "restart"]
    for _, _, _, since, until in report["missing"]:
        assert any(end - COMMIT_WINDOW * 1e9 <= since <= until <= end + 1e9 for end in ends)
        assert any(gap["since"] - 1e8 <= since <= until <= gap["until"] for gap in restarts)


def two_workers_are_one_gateway_and_lose_nothing():
    with running(2) as run:
        run.gateway.start()
        whole = ready(run)
        run.wait_for_data()
        time.sleep(1)
        whole = until(lambda: len([one for one in status(run)["devices"] if one["state"] == "up"]) == 6 and status(run))
        assert [device["name"] for device in whole["devices"]] == [f"d{number}" for number in range(6)]
        assert [(one["number"], one["gateway"], one["devices"]) for one in whole["workers"]] == [
            (1, "bench", 3),
            (2, "bench.2", 3),
        ]
        assert whole["gateway"] == "bench"
        assert whole["bus"]["points"] == sum(one["bus"]["points"] for one in whole["workers"]) > 0
        assert [lane["name"] for lane in whole["lanes"]] == ["lane1"]
        assert all(one["cpu_seconds"] > 0 and one["memory_bytes"] > 1e6 for one in whole["workers"])
        metrics = get(run, "/metrics")[1]
        for worker in "12":
            assert f'xingsha_lane_connected{{lane="lane1",worker="{worker}"}} 1.0' in metrics
            assert f'xingsha_worker_restarts_total{{worker="{worker}"}} 0.0' in metrics
            assert f'xingsha_bus_points_total{{worker="{worker}"}}' in metrics
        assert 'xingsha_device_state{connection="c5",device="d5",state="up"} 1.0' in metrics
        assert sorted(run.gateway.workers()) == sorted(one["pid"] for one in whole["workers"])
        report = end(run)
        assert report["streams"] == ["bench", "bench.2"]
        assert (report["lost"], report["duplicated"]) == (0, 0)
        assert (run.folder / "journal.db").exists()
        assert (run.folder / "journal-2.db").exists()


def a_crash_of_one_worker_costs_the_others_no_poll():
    with running(2) as run:
        run.gateway.start()
        ready(run)
        run.wait_for_data()
        time.sleep(1)
        before = {device["name"]: device for device in status(run)["devices"]}
        first, second = status(run)["workers"]
        killed, began, at_first = time.time_ns(), time.monotonic(), polls(run)
        os.kill(second["pid"], signal.SIGKILL)
        until(lambda: get(run, "/health/ready")[0] == 503, what="the alarm")
        body = json.loads(get(run, "/health/ready")[1])
        assert {"concerns": "worker 2", "code": "worker_down"} in body["reasons"] or body["ready"]
        again = until(lambda: status(run)["workers"][1]["up"] and status(run), what="the restart")
        assert [worker["restarts"] for worker in again["workers"]] == [0, 1]
        assert again["workers"][0]["pid"] == first["pid"]
        assert again["workers"][1]["pid"] != second["pid"]
        during, due = polls(run) - at_first, (time.monotonic() - began) / SCAN
        for connection in connections_of(run, 1):
            assert during[int(connection[1:])] > 0.7 * due, "the others read on meanwhile"
        served = polls(run)
        until(lambda: (polls(run) > served + 5).all(), what="reading on")
        after = {device["name"]: device for device in status(run)["devices"]}
        steady = [name for name in before if after[name]["polls"] > before[name]["polls"]]
        mine = [device for device in after.values() if device["connection"] in connections_of(run, 1)]
        assert len(mine) == 3
        assert {device["name"] for device in mine} <= set(steady)
        for device in mine:
            assert device["failed_polls"] == 0
        (ended,) = logged(run, "worker_ended")
        assert (ended["worker"], ended["how"], ended["reason"]) == (2, "ended by SIGKILL", "worker_down")
        report = end(run)
        assert_declared(report, killed)
        hurt = {f"c{device}" for device, *_ in report["missing"]}
        assert hurt.isdisjoint(connections_of(run, 1))
        assert report["streams"] == ["bench", "bench.2"]
        assert len(report["epochs"]) <= 2


def connections_of(run, worker):
    from gateway.runtime.making import load_configuration
    from gateway.runtime.shards import shares

    return shares(load_configuration(run.folder / "gateway.yaml"), 2)[worker - 1]


def a_supervisor_that_is_killed_leaves_no_orphan():
    with running(2) as run:
        run.gateway.start()
        ready(run)
        run.wait_for_data()
        pids = run.gateway.workers()
        assert len(pids) == 2
        killed = time.time_ns()
        run.gateway.kill()
        until(lambda: not any(map(alive, pids)), 10, "the end of the workers")
        run.gateway.start()
        ready(run)
        served = polls(run)
        until(lambda: (polls(run) > served + 5).all(), what="reading on")
        report = end(run)
        assert_declared(report, killed)
        assert len(report["gaps"]) >= 2


def a_second_signal_ends_all_at_once():
    with running(2, devices=2) as run:
        run.gateway.start()
        ready(run)
        run.wait_for_data()
        pids = run.gateway.workers()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        run.gateway.signal(signal.SIGTERM)
        until(lambda: logged(run, "signal_received"), what="the first signal")
        run.gateway.signal(signal.SIGTERM)
        assert run.gateway.process.wait(10) == 143
        until(lambda: not any(map(alive, pids)), 10, "the end of the workers")


def fewer_workers_deliver_what_the_others_had():
    with running(3) as run:
        whole = run.gateway.command
        run.gateway.command = [*whole, "--drain", "200ms"]
        run.gateway.start()
        ready(run)
        run.wait_for_data()
        run.broker.stop(10.0)
        served = polls(run)
        until(lambda: (polls(run) > served + 10).all(), what="reading on without the broker")
        first_end = time.time_ns()
        run.gateway.stop(30.0)
        assert run.gateway.process.returncode == 0, run.gateway.tail()
        for number in (2, 3):
            with closing(sqlite3.connect(run.folder / f"journal-{number}.db")) as journal:
                assert journal.execute("SELECT count(*) FROM batch").fetchone()[0] > 0
        run.gateway.command = whole
        configure(run, 1)
        run.broker.start()
        run.gateway.start()
        until(lambda: not list(run.folder.glob("journal-*")), what="removal of what is delivered")
        until(lambda: [worker["number"] for worker in status(run)["workers"]] == [1], what="the end of the leftovers")
        assert [line["worker"] for line in logged(run, "leftover_done")] in ([2, 3], [3, 2])
        served = polls(run)
        until(lambda: (polls(run) > served + 3).all(), what="reading on")
        second_end = time.time_ns()
        report = end(run)
        assert report["streams"] == ["bench", "bench.2", "bench.3"]
        assert_declared(report, first_end)  # polls that were under way
        configure(run, 2)
        run.gateway.start()
        ready(run)
        served = polls(run)
        until(lambda: (polls(run) > served + 3).all(), what="reading on")
        assert_declared(end(run), first_end, second_end)


def what_only_an_operator_can_mend_ends_the_start_with_one_message():
    with running(2, devices=2) as run:
        journal_of_another(run, "journal-2.db")
        run.gateway.start()
        assert run.gateway.process.wait(30) == 1
        lines = run.gateway.tail().splitlines()
        assert any("error [journal_of_another_gateway]: bus.path:" in line for line in lines)
        assert "Traceback" not in run.gateway.tail()


def a_file_that_only_looks_like_a_leftover_is_left_alone():
    with running(1, devices=2) as run:
        journal_of_another(run, "journal-7.db")
        run.gateway.start()
        ready(run)
        (refused,) = until(lambda: logged(run, "leftover_refused"), what="the refusal")
        assert refused["reason"] == "journal_of_another_gateway"
        report = end(run)
        assert report["lost"] == 0
        assert (run.folder / "journal-7.db").exists()


def journal_of_another(run, name):
    import asyncio

    from gateway.bus import open_bus
    from gateway.config.root import BusConfig

    async def main():
        async with open_bus(BusConfig(path=run.folder / name), "other", run.folder) as bus:
            await bus.flush()

    asyncio.run(main())


def one_worker_is_one_process(number=signal.SIGINT):
    with running(1, devices=2) as run:
        run.gateway.start()
        ready(run)
        run.wait_for_data()
        assert run.gateway.workers() == []
        assert status(run)["workers"] == []
        run.gateway.signal(number)
        assert run.gateway.process.wait(30) == 0
        assert not logged(run, "supervisor_started")


SCENARIOS = (
    two_workers_are_one_gateway_and_lose_nothing,
    a_crash_of_one_worker_costs_the_others_no_poll,
    a_supervisor_that_is_killed_leaves_no_orphan,
    a_second_signal_ends_all_at_once,
    fewer_workers_deliver_what_the_others_had,
    what_only_an_operator_can_mend_ends_the_start_with_one_message,
    a_file_that_only_looks_like_a_leftover_is_left_alone,
    one_worker_is_one_process,
)


@pytest.fixture(scope="module")
def outcomes():
    """All of them, three at a time: they wait for most of their time."""
    with ThreadPoolExecutor(3) as pool:
        yield {scenario: pool.submit(scenario) for scenario in SCENARIOS}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_workers(outcomes, scenario):
    outcomes[scenario].result()
