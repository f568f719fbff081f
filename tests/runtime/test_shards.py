"""How a gateway is shared out, and how what its workers say is put together. Pure, but for looking at files."""

import asyncio
import os
import signal
import socket
import sys

import pytest

from gateway.config.root import MOST_WORKERS
from gateway.model.faults import ConfigFault, LinkLost
from gateway.observe.status import BusStatistics, DeviceStatus, GatewayStatus, LaneStatus
from gateway.runtime.channel import Failure, Job, Report, receive_job, receive_report
from gateway.runtime.gateway import Gateway
from gateway.runtime.keeper import Keeper, usage
from gateway.runtime.launching import launch
from gateway.runtime.making import load_configuration
from gateway.runtime.merging import merge_buses, merge_lanes
from gateway.runtime.shards import journal_of, leftovers, share, shares, usable_cores, workers_of
from gateway.runtime.supervisor import Supervisor
from gateway.runtime.worker import failure_of

LANES = """
lanes:
  platform: {to: {host: broker, client_id: box, password: "${env:WORD}", username: u}}
  other:
    to:
      host: broker
      topics: {data: "plant/{gateway}/d", schema: "plant/{gateway}/s/{schema}", status: "up/{gateway}"}
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("WORD", "hidden")

    def configuration(tags, workers="auto", more=LANES):
        """One connection per entry, with one device that has so many tags."""
        lines = [f"gateway: {{id: plant-1, workers: {workers}}}", "connections:"]
        lines += [f"  c{number}: {{adapter: modbus, host: 10.0.0.{number}}}" for number in range(len(tags))]
        lines += ["devices:"]
        for number, count in enumerate(tags):
            listed = ", ".join(f'{{name: t{tag}, type: uint16, address: "hr:{tag}"}}' for tag in range(count))
            lines.append(f"  d{number}: {{connection: c{number}, tags: [{listed}]}}")
        path = tmp_path / "plant.yaml"
        path.write_text("\n".join(lines) + more)
        return load_configuration(path)

    return configuration


def test_every_connection_has_one_owner_and_the_load_is_even(make):
    configuration = make([900, 10, 10, 500, 300, 10])
    found = shares(configuration, 2)
    assert sorted(name for names in found for name in names) == [f"c{number}" for number in range(6)]
    assert "c0" in found[0]
    assert {"c3", "c4"} <= set(found[1])
    assert found == shares(configuration, 2)


def test_a_short_scan_weighs_as_much_as_many_tags(make):
    configuration = make([10, 10, 10, 10])
    device = configuration.devices["d0"]
    object.__setattr__(device, "config", device.config.model_copy(update={"scan": 0.1}))
    assert shares(configuration, 2) == [["c0"], ["c1", "c2", "c3"]]


@pytest.mark.parametrize(
    ("workers", "connections", "cores", "expected"), [("auto", 6, 4, 4), ("auto", 2, 4, 2), (3, 6, 1, 3), (8, 2, 1, 2)]
)
def test_never_more_workers_than_connections(make, workers, connections, cores, expected):
    assert workers_of(make([1] * connections, workers), cores) == expected


def test_a_gateway_that_is_not_shared_out_is_one_process(make):
    assert workers_of(make([1, 1], 1)) == 1
    assert isinstance(launch(make([1, 1], 1)), Gateway)
    assert isinstance(launch(make([1, 1], 2)), Supervisor)
    assert workers_of(make([1, 1])) >= 1


def test_the_quota_of_a_container_counts(tmp_path):
    quota = tmp_path / "cpu.max"
    there = len(os.sched_getaffinity(0))
    assert usable_cores(quota) == there
    for text, expected in (("max 100000\n", there), ("50000 100000\n", 1), ("6400000 100000\n", there), ("?", there)):
        quota.write_text(text)
        assert usable_cores(quota) == expected


def test_the_first_share_keeps_names_journal_and_sessions(make):
    configuration = make([1, 1])
    first = share(configuration, 1, ["c0"])
    assert (first.gateway, first.bus, first.sinks, first.lanes) == (
        configuration.gateway,
        configuration.bus,
        configuration.sinks,
        configuration.lanes,
    )
    assert (list(first.connections), list(first.devices), first.observe.http) == (["c0"], ["d0"], "off")


def test_other_shares_have_their_own_and_one_subscription_has_all(make):
    configuration = make([1, 1])
    second = share(configuration, 2, ["c1"])
    assert (second.gateway.id, str(second.bus.path)) == ("plant-1.2", "var/journal-2.db")
    platform, other = second.sinks["platform"], second.sinks["other"]
    assert (platform.client_id, other.client_id) == ("box.2", None)
    assert platform.topics.data == "xingsha/v1/plant-1/data"
    assert platform.topics.schema_ == "xingsha/v1/plant-1/schema/{schema}"
    assert platform.topics.status == "xingsha/v1/plant-1/status/worker/2"
    assert platform.topics.device_status == "xingsha/v1/plant-1/status/{device}"
    assert (other.topics.data, other.topics.status) == ("plant/plant-1/d", "up/plant-1/worker/2")
    assert second.lanes["other"].to is other


def test_leftovers_are_journals_of_workers_that_there_are_no_more(make, tmp_path):
    configuration = make([1, 1])
    assert leftovers(configuration.bus, tmp_path, 1) == []
    (tmp_path / "var").mkdir()
    for name in ("journal.db", "journal-1.db", "journal-2.db", "journal-5.db", "journal-5.db-wal", "journal-65.db",
                 "journal-03.db", "journal-3.db.damaged-1", "other-4.db"):  # fmt: skip
        (tmp_path / "var" / name).touch()
    assert MOST_WORKERS == 64
    assert leftovers(configuration.bus, tmp_path, 1) == [2, 5]
    assert leftovers(configuration.bus, tmp_path, 2) == [5]
    memory = configuration.bus.model_copy(update={"kind": "memory"})
    assert leftovers(memory, tmp_path, 1) == []
    assert journal_of(tmp_path / "a.b.db", 3) == tmp_path / "a.b-3.db"


def test_a_job_keeps_everything_secrets_too(make):
    configuration = make([3, 2])
    job = Job(share(configuration, 2, ["c1"]), 7.0, leftover=False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(job.pack())
        assert receive_job(theirs) == job
        assert job.configuration.sinks["platform"].password.get_secret_value() == "hidden"
        ours.sendall(job.pack()[:40])
        ours.close()
        with pytest.raises(EOFError):
            receive_job(theirs)


def test_reports_come_as_they_were():
    status = GatewayStatus(
        "g", "0", 1, 2, False, [DeviceStatus("press", "c")], [LaneStatus("cloud")], BusStatistics("memory")
    )

    async def main():
        reader = asyncio.StreamReader()
        for report in (Report(status), Report(failure=Failure("disk_full", "full", permanent=True))):
            reader.feed_data(report.pack())
            assert await receive_report(reader) == report
        reader.feed_eof()
        with pytest.raises(EOFError):
            await receive_report(reader)

    asyncio.run(main())


def test_what_ends_a_worker_is_put_in_words():
    config = ConfigFault("no such folder", code="journal_not_writable")
    group = ExceptionGroup("both", [LinkLost("gone"), config])
    assert failure_of(group) == Failure("journal_not_writable", "no such folder", permanent=True)
    assert failure_of(LinkLost("gone")) == Failure("link_lost", "gone", permanent=False)
    assert failure_of(OSError(28, "No space left")).code == "system_error"
    assert failure_of(KeyError("x")) == Failure("bug", "KeyError: 'x'", permanent=False)


def test_what_counts_is_added_and_what_is_wrong_anywhere_is_wrong():
    lanes = merge_lanes(
        [
            [LaneStatus("a", connected=True, points=3, last_delivery=5), LaneStatus("b", connected=True)],
            [LaneStatus("a", reason="link_lost", points=4, last_delivery=9), LaneStatus("b", connected=True)],
            [],
        ]
    )
    assert [lane.name for lane in lanes] == ["a", "b"]
    assert (lanes[0].connected, lanes[0].reason, lanes[0].points, lanes[0].last_delivery) == (False, "link_lost", 7, 9)
    assert (lanes[1].connected, lanes[1].reason) == (True, "")
    bus = merge_buses(
        [
            BusStatistics("journal", points=1, oldest_time=0, hours_left=None, disk_free=7),
            BusStatistics("journal", points=2, oldest_time=9, hours_left=3.5, disk_free=6, full=True),
            BusStatistics(),
        ]
    )
    assert (bus.kind, bus.points, bus.oldest_time, bus.hours_left, bus.disk_free, bus.full) == (
        "journal", 3, 9, 3.5, 6, True,
    )  # fmt: skip
    assert merge_buses([]) == BusStatistics()
    assert merge_buses([BusStatistics("memory")]).hours_left is None


def test_usage_of_a_process():
    cpu, memory = usage(os.getpid())
    assert 0 < cpu < 1000
    assert memory > 1e6
    assert usage(2**22 + 1) == (0.0, 0)


def test_a_worker_that_cannot_be_started_or_hangs_is_told_and_comes_back(make, monkeypatch):
    configuration = make([1], more="\nbus: {kind: memory}\n")

    async def main():
        keeper = Keeper(share(configuration, 1, ["c0"]))
        stop = asyncio.Event()
        python, sys.executable = sys.executable, "/nonexistent/python"
        running = asyncio.create_task(keeper.run(stop, 1.0))
        try:
            while not keeper.status.restarts:
                await asyncio.sleep(0.01)
                assert not running.done()
        finally:
            sys.executable = python
        status, devices = await keeper.ask()
        assert (status.up, [(one.name, one.reason) for one in devices]) == (False, [("d0", "worker_down")])
        async with asyncio.timeout(30):
            while not (await keeper.ask())[0].up:
                await asyncio.sleep(0.05)
        monkeypatch.setattr("gateway.runtime.keeper.ANSWER", 0.3)
        os.kill(keeper.status.pid, signal.SIGSTOP)
        first, second = await asyncio.gather(keeper.ask(), keeper.ask())
        assert not first[0].up
        assert first[1][0].reason == second[1][0].reason == "worker_down"
        os.kill(keeper.status.pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            while not (await keeper.ask())[0].up:
                await asyncio.sleep(0.05)
        stop.set()
        await running
        assert keeper.status.pid == 0

    asyncio.run(main())


def test_a_worker_is_killed_with_what_keeps_it(make):
    async def main():
        keeper = Keeper(share(make([1], more="\nbus: {kind: memory}\n"), 1, ["c0"]))
        running = asyncio.create_task(keeper.run(asyncio.Event(), 1.0))
        while not keeper.status.pid:
            await asyncio.sleep(0.01)
        pid = keeper.status.pid
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())
