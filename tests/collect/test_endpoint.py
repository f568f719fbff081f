"""Endpoints under faults, on a virtual clock: hours of outage in milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.bus import open_bus
from gateway.collect.collector import Collector
from gateway.collect.endpoint import QUEUE_LIMIT
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.root import BusConfig, BusKind, Configuration, Device, GatewayConfig, ObserveConfig
from gateway.model.batch import Gap, decode_body
from gateway.model.faults import AuthFault, Busy, ConfigFault, Fault, LinkLost, ProtocolFault, Timeout
from gateway.model.frame import Frame
from gateway.model.quality import Quality
from gateway.observe.status import DeviceState, DeviceStatus
from gateway.testing.clock import virtual
from tests.collect.scripted import Line, Machine, ScriptedAdapter


def plant(devices: int = 1, scan: str = "1s", groups: tuple[str, ...] = ()) -> Configuration:
    line = Line.model_validate(
        {"adapter": "scripted", "timeout": "1s", "retry": "5s", "retry_max": "60s"}, by_name=True
    )
    tags = [TagConfig.model_validate({"name": "v", "type": "int32"})]
    tags += [TagConfig.model_validate({"name": f"v{rate}", "type": "int32", "scan": rate}) for rate in groups]
    made = {}
    for number in range(devices):
        name = f"d{number}"
        config = DeviceConfig.model_validate(
            {"connection": "a", "scan": scan, "report": "always", "heartbeat": "0s", "description": name}
        )
        made[name] = Device(name, config, tuple(tags))
    return Configuration(
        GatewayConfig(id="g"), {"a": line}, made, {}, {}, BusConfig(kind=BusKind.MEMORY), ObserveConfig(), Path()
    )


class Plant:
    """A collector at work, and what came out of it."""

    def __init__(
        self, collector: Collector, machine: Machine, bus: object, changes: list[tuple[str, str, str]]
    ) -> None:
        self.collector = collector
        self.machine = machine
        self.bus = bus
        self.changes = changes
        self.frames: list[Frame] = []
        self.gaps: list[Gap] = []

    def state(self, device: str = "d0") -> DeviceStatus:
        return next(status for status in self.collector.statuses() if status.name == device)

    async def drain(self) -> None:
        await self.bus.flush()  # type: ignore[attr-defined]
        consumer = self.bus.consumer("test")  # type: ignore[attr-defined]
        while consumer.backlog:
            batch = await consumer.fetch()
            body = decode_body(batch.body)
            self.frames += body.frames
            self.gaps += body.gaps
            consumer.acknowledge(batch.seq)


@asynccontextmanager
async def running(machine: Machine, configuration: Configuration) -> AsyncIterator[Plant]:
    changes: list[tuple[str, str, str]] = []

    def notify(status: DeviceStatus) -> None:
        changes.append((status.name, status.state.value, status.reason))

    async with open_bus(configuration.bus, "g", configuration.folder) as bus:
        collector = Collector(configuration, bus, lambda _: ScriptedAdapter(machine), notify)
        plant = Plant(collector, machine, bus, changes)
        task = asyncio.create_task(collector.run())
        try:
            yield plant
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception():
                raise task.exception()  # type: ignore[misc]
            await plant.drain()


def run(body, machine: Machine | None = None, configuration: Configuration | None = None) -> Plant:
    async def main() -> Plant:
        async with running(machine or Machine(), configuration or plant()) as at_work:
            await body(at_work)
        return at_work

    return virtual(main())


def outage_gaps(at_work: Plant) -> list[Gap]:
    return [gap for gap in at_work.gaps if gap.reason == "outage"]


def test_polls_at_once_and_then_on_every_tick() -> None:
    async def body(at_work: Plant) -> None:
        await asyncio.sleep(10.5)

    done = run(body)
    assert [at for _, at in done.machine.polls] == [1000, *range(1001, 1011)]
    assert len(done.frames) == 11
    assert done.changes == [("d0", "up", "")]
    assert done.machine.closed == done.machine.opened == 1


def test_a_link_that_cannot_be_had_is_tried_with_backoff_and_the_outage_declared() -> None:
    machine = Machine()
    machine.open_fault = LinkLost("refused", code="connection_refused")

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(300)
        assert at_work.state().state is DeviceState.DOWN
        assert at_work.state().reason == "connection_refused"
        machine.open_fault = None
        await asyncio.sleep(60)
        assert at_work.state().state is DeviceState.UP

    done = run(body, machine)
    assert done.changes == [("d0", "down", "connection_refused"), ("d0", "up", "")]
    (gap,) = outage_gaps(done)
    assert gap.device == "d0"
    assert 290 <= gap.count <= 360
    assert done.frames[0].quality == bytes([Quality.NOT_CONNECTED]), "that there are no values is told, once"
    assert done.frames[1].quality is None


def test_one_lost_answer_is_forgiven_two_are_not() -> None:
    machine = Machine()

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(2.5)
        machine.answers["d0"] = Timeout("no answer")
        await asyncio.sleep(1)
        assert at_work.state().state is DeviceState.DEGRADED
        machine.answers["d0"] = 5
        await asyncio.sleep(1)
        assert at_work.state().state is DeviceState.UP
        machine.answers["d0"] = Timeout("no answer")
        await asyncio.sleep(2)
        assert (at_work.state().state, at_work.state().reason) == (DeviceState.DOWN, "no_answer")
        machine.answers["d0"] = 6
        await asyncio.sleep(30)

    done = run(body, machine)
    assert [gap.count for gap in outage_gaps(done)][0] == 1
    assert done.state().failed_polls == 3
    assert done.state().state is DeviceState.UP


def test_a_dead_device_costs_the_others_one_timeout_per_retry() -> None:
    machine = Machine()
    machine.answers["d3"] = Timeout("no answer")
    machine.delay["d3"] = 0.4  # its time-out, on a line that all ten share

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(600)

    done = run(body, machine, plant(10))
    polls = {name: [at for who, at in machine.polls if who == name] for name in (f"d{n}" for n in range(10))}
    assert len(polls["d3"]) <= 5 + 600 / (60 * 0.75), "backed off"
    for name in polls.keys() - {"d3"}:
        assert len(polls[name]) >= 599, "neighbours keep every scan"
        assert max(b - a for a, b in zip(polls[name][1:], polls[name][2:], strict=False)) <= 1.41
    assert machine.opened == 1, "the line is not to blame"
    (gap,) = [gap for gap in done.gaps if gap.device == "d3"]
    assert gap.count >= 590


def test_when_no_device_answers_the_link_is_opened_anew() -> None:
    machine = Machine()

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(2)
        machine.answers.update(d0=Timeout("x"), d1=Timeout("x"))
        await asyncio.sleep(3)
        assert machine.opened >= 2
        machine.answers.clear()
        await asyncio.sleep(10)
        assert {status.state for status in at_work.collector.statuses()} == {DeviceState.UP}

    run(body, machine, plant(2))


@pytest.mark.parametrize("fault", [LinkLost("gone"), ProtocolFault("bad CRC", data=b"\xff"), Fault("odd")])
def test_the_session_is_closed_and_opened_again(fault: Fault) -> None:
    machine = Machine()

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(2)
        machine.answers["d0"] = fault
        await asyncio.sleep(2)
        machine.answers.clear()
        await asyncio.sleep(70)
        assert at_work.state().state is DeviceState.UP

    done = run(body, machine)
    assert machine.opened >= 2
    assert machine.opened == machine.closed
    assert len(outage_gaps(done)) == 1


def test_a_refused_login_is_not_hammered() -> None:
    machine = Machine()
    machine.open_fault = AuthFault("wrong password")
    opens = []

    async def body(at_work: Plant) -> None:
        for _ in range(600):
            await asyncio.sleep(1)
            opens.append(at_work.state().reason)

    run(body, machine)
    assert set(opens) == {"auth_refused"}


def test_what_needs_an_edit_is_parked_and_never_tried_again() -> None:
    machine = Machine()
    machine.answers["d0"] = ConfigFault("unit 300 does not exist")

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(1000)
        assert at_work.state("d0").state is DeviceState.PARKED
        assert at_work.state("d1").state is DeviceState.UP

    run(body, machine, plant(2))
    assert len([name for name, _ in machine.polls if name == "d0"]) == 1


def test_a_busy_device_is_given_the_time_it_asks_for() -> None:
    machine = Machine()
    machine.answers["d0"] = Busy("wait", wait=20)

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(100)

    run(body, machine)
    waits = [b - a for (_, a), (_, b) in zip(machine.polls, machine.polls[1:], strict=False)]
    assert max(waits) == pytest.approx(20)
    assert machine.opened <= 6


def test_a_bug_costs_its_own_device_only_and_has_a_budget() -> None:
    machine = Machine()
    machine.answers["d0"] = KeyError("oops")

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(1000)
        assert (at_work.state("d0").state, at_work.state("d0").reason) == (DeviceState.PARKED, "internal_error")
        assert at_work.state("d1").state is DeviceState.UP

    run(body, machine, plant(2))
    assert len([name for name, _ in machine.polls if name == "d0"]) == 5


def test_readings_that_make_no_sense_cost_their_own_device_only() -> None:
    machine = Machine()
    machine.failing["d0"] = 999  # no quality: it does not fit a byte

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(1000)
        assert (at_work.state("d0").state, at_work.state("d0").reason) == (DeviceState.PARKED, "internal_error")
        assert at_work.state("d1").state is DeviceState.UP

    run(body, machine, plant(2))
    assert len([name for name, _ in machine.polls if name == "d0"]) == 5
    assert len([name for name, _ in machine.polls if name == "d1"]) > 990


def test_an_adapter_that_never_comes_back_is_given_up() -> None:
    machine = Machine()
    machine.delay["d0"] = 1e6

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(20)
        assert at_work.state().reason == "session_stalled"
        machine.delay.clear()
        await asyncio.sleep(70)
        assert at_work.state().state is DeviceState.UP

    run(body, machine)


def test_slow_polls_are_skipped_counted_and_declared_but_never_pile_up() -> None:
    machine = Machine()
    machine.delay["d0"] = 2.5

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(200)

    done = run(body, machine)
    assert len(machine.polls) == pytest.approx(200 / 3, abs=2)
    overruns = [gap for gap in done.gaps if gap.reason == "overrun"]
    assert 2 <= len(overruns) <= 6
    assert done.state().overruns == pytest.approx(133, abs=3)
    under_way = 1  # when it was told to stop
    assert sum(gap.count for gap in overruns) == done.state().overruns + under_way


def test_scan_rate_zero_reads_back_to_back() -> None:
    machine = Machine()
    machine.delay["d0"] = 0.01

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(1)
        machine.answers["d0"] = Timeout("x")
        await asyncio.sleep(1)
        machine.answers["d0"] = 1
        await asyncio.sleep(70)

    run(body, machine, plant(scan="0s"))
    assert len([at for _, at in machine.polls if at < 1001]) == pytest.approx(100, abs=2)
    assert len([at for _, at in machine.polls if at > 1071]) >= 90, "and again after an outage"


def test_commands_go_before_polls_and_polls_before_browsing() -> None:
    machine = Machine()
    order: list[str] = []

    async def body(at_work: Plant) -> None:
        endpoint = at_work.collector.endpoints["a"]
        await asyncio.sleep(0.5)
        machine.delay["d0"] = 0.2
        await asyncio.sleep(0.6)  # a poll is under way

        async def work(name: str) -> str:
            order.append(f"{name}@{len(machine.polls)}")
            return name

        async with asyncio.timeout(5):
            results = await asyncio.gather(
                endpoint.submit(lambda _: work("browse"), urgent=False),
                endpoint.submit(lambda _: work("command"), urgent=True),
            )
        assert results == ["browse", "command"]

    run(body, machine, plant(2))
    assert [entry.split("@")[0] for entry in order] == ["command", "browse"]
    assert order[0] == "command@3", "next after the poll under way"
    assert order[1] == "browse@4", "after the other device's poll"


def test_work_is_refused_clearly() -> None:
    machine = Machine()

    async def body(at_work: Plant) -> None:
        endpoint = at_work.collector.endpoints["a"]

        async def fails(_: object) -> None:
            raise LinkLost("cut")

        with pytest.raises(LinkLost):
            await endpoint.submit(fails, urgent=True)  # not open yet
        await asyncio.sleep(0.5)
        with pytest.raises(LinkLost):
            await endpoint.submit(fails, urgent=True)
        await asyncio.sleep(0.1)
        assert machine.opened == 2
        machine.delay["d0"] = 3
        await asyncio.sleep(1)
        waiting = [asyncio.create_task(endpoint.submit(fails, urgent=False)) for _ in range(QUEUE_LIMIT)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await endpoint.submit(fails, urgent=False)
        at_work.waiting = waiting  # type: ignore[attr-defined]

    done = run(body, machine)
    assert all(isinstance(task.exception(), LinkLost) for task in done.waiting)  # type: ignore[attr-defined]


def test_groups_of_one_device_have_their_own_rates() -> None:
    async def body(at_work: Plant) -> None:
        await asyncio.sleep(10.5)

    done = run(body, configuration=plant(groups=("2s", "500ms")))
    sizes = {len(frame.columns[0]) for frame in done.frames}
    assert sizes == {4}
    assert len(done.frames) == 11 + 6 + 21


def test_what_was_under_way_when_it_was_told_to_stop_is_declared() -> None:
    machine = Machine()

    async def body(at_work: Plant) -> None:
        await asyncio.sleep(2.5)
        machine.delay["d0"] = 0.8
        await asyncio.sleep(1)  # the poll of second 3 is under way, the other device waits behind it

    done = run(body, machine, plant(2))
    assert {(gap.device, gap.reason, gap.count) for gap in done.gaps} == {("d0", "restart", 1), ("d1", "restart", 1)}
