"""Everything a line and a device can do wrong: each poll ends in time, no wrong value is taken, and it recovers."""

import asyncio
import gc
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.modbus import adapter
from adapters.modbus.simulator import Faults, Simulator
from gateway.sdk import Fault, LinkLost, ProtocolFault, Readings, Timeout

FAULTS = {
    "silent": (Faults(silent=True), Timeout),
    "slow": (Faults(delay=0.2), Timeout),
    "half a frame": (Faults(truncate=4), Timeout),
    "nothing but the start": (Faults(truncate=20), Timeout),
    "a byte now and then": (Faults(dribble=0.01), Timeout),
    "wrong unit": (Faults(wrong_unit=True), ProtocolFault),
    "wrong function": (Faults(wrong_function=True), ProtocolFault),
    "wrong checksum": (Faults(wrong_crc=True), ProtocolFault),
    "wrong transaction": (Faults(wrong_transaction=True), Timeout),
    "garbage before": (Faults(garbage=b"\xff\x00\xaa\x55" * 3), ProtocolFault),
    "hangs up": (Faults(hang_up=True), LinkLost),
    "again": (Faults(repeat=2), None),
}
RTU_DIFFERS = {
    "half a frame": (Timeout, ProtocolFault),
    "nothing but the start": (Timeout, ProtocolFault),
    "garbage before": None,
    "wrong transaction": None,
}
TCP_DIFFERS = {}


class Client:
    """What the runtime does: keeps the session after a Timeout, opens a new one after any other fault."""

    def __init__(self, kit, made, plan, tags):
        self.kit, self.made, self.plan, self.tags = kit, made, plan, tags
        self.out = Readings(len(tags), plan.table)
        self.context = None

    async def poll(self):
        if self.context is None:
            self.context = self.made.open()
            self.session = await self.context.__aenter__()
        try:
            return set((await self.kit.poll(self.session, self.plan, self.tags, self.out)).values())
        except Timeout:
            raise
        except Fault:
            await self.close()
            raise

    async def close(self):
        if self.context is not None:
            await self.context.__aexit__(None, None, None)
            self.context = None


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_and_recovery(run, kit, anywhere, name):
    async def work():
        async with anywhere as sim:
            faults, expected = FAULTS[name]
            expected = (TCP_DIFFERS if sim.transport == "tcp" else RTU_DIFFERS).get(name, expected)
            if (sim.transport, name) in (("rtu", "hangs up"), ("tcp", "wrong checksum")):
                return  # a line cannot hang up, and TCP keeps its own checksum
            unit = sim.unit(1)
            tags = kit.registers(20)
            made = adapter(kit.connection(sim, timeout="100ms"))
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            for turn in range(2):
                unit.holding[:20] = value = 2 * turn + 1
                for _ in range(12):  # what the turn before left on the line may cost polls, never a value
                    try:
                        assert await client.poll() == {value}
                        break
                    except Fault:
                        await asyncio.sleep(0.02)
                else:
                    raise AssertionError("did not recover")
                unit.holding[:20] = value = 2 * turn + 2
                unit.faults = replace(faults, times=1)
                started = time.monotonic()
                if expected is None:
                    assert await client.poll() == {value}
                else:
                    with pytest.raises(expected):
                        await client.poll()
                assert time.monotonic() - started < 1.5
            await client.close()

    run(work)


def test_values_of_a_late_answer_are_never_taken(run, kit):
    """The simulator lets answers overtake each other; every value must be of its own poll."""

    async def work():
        async with Simulator() as sim:
            unit = sim.unit(1)
            made = adapter(kit.connection(sim, timeout="60ms", pipeline=4))
            tags = kit.registers(500)
            plan = made.plan(kit.device(), tags)
            late = 0
            async with made.open() as session:
                for turn in range(20):
                    unit.holding[:500] = turn
                    unit.faults = Faults(late=0.2, times=2) if turn % 4 == 0 else None
                    try:
                        assert set((await kit.poll(session, plan, tags)).values()) == {turn}
                    except Timeout:
                        late += 1
                await asyncio.sleep(0.25)
                assert session._exchange.strays == 2 * late
            assert late == 5

    run(work)


def test_a_dead_unit_costs_its_neighbour_no_value(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            sim.unit(1).faults = Faults(silent=True)
            sim.unit(2).holding[:5] = 9
            made = adapter(kit.connection(sim, timeout="80ms"))
            tags = kit.registers(5)
            dead, live = made.plan(kit.device(unit=1), tags), made.plan(kit.device(unit=2), tags)
            async with made.open() as session:
                for _ in range(4):
                    with pytest.raises(Timeout, match="unit 1"):
                        await kit.poll(session, dead, tags)
                    assert set((await kit.poll(session, live, tags)).values()) == {9}

    run(work)


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_sessions_leave_nothing_behind(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            sim.unit(1)
            made = adapter(kit.connection(sim))
            tags = kit.registers(5)
            plan = made.plan(kit.device(), tags)
            before = None
            for turn in range(60):
                async with made.open() as session:
                    await kit.poll(session, plan, tags)
                await session.link.close()
                await session.link.close()
                with pytest.raises(LinkLost):
                    await session.read(plan, Readings(5, plan.table))
                await asyncio.sleep(0.002)
                if turn == 9:
                    before = descriptors()
            assert descriptors() <= before
            assert len(asyncio.all_tasks()) == 1

    run(work)


def test_a_poll_can_be_cancelled_at_any_moment(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            unit.faults = Faults(delay=0.05)
            made = adapter(kit.connection(sim, timeout="400ms"))
            tags = kit.registers(3)
            plan = made.plan(kit.device(), tags)
            async with made.open() as session:
                for wait in (0.0, 0.001, 0.01, 0.04, 0.06):
                    task = asyncio.create_task(kit.poll(session, plan, tags))
                    await asyncio.sleep(wait)
                    task.cancel()
                    await asyncio.wait([task])
                unit.faults = None
                await asyncio.sleep(0.3)
                unit.holding[:3] = 6
                assert set((await kit.poll(session, plan, tags)).values()) == {6}

    run(work)


@pytest.mark.parametrize("listening", ["tcp", "rtu_over_tcp"])
def test_a_unit_that_dials_in(run, kit, listening):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        transport = "tcp_listen" if listening == "tcp" else "rtu_listen"
        made = adapter(kit.connection(Simulator(), transport=transport, port=port, dial_in="5s", timeout="200ms"))
        tags = kit.registers(4)
        plan = made.plan(kit.device(), tags)
        async with Simulator(transport=listening, port=port, dial=True) as sim:
            sim.unit(1).holding[:4] = 4
            for turn in range(3):
                async with made.open() as session:
                    assert set((await kit.poll(session, plan, tags)).values()) == {4}
                    if turn == 1:
                        sim.hang_up()
                        with pytest.raises(LinkLost):
                            await kit.poll(session, plan, tags)
        made = adapter(made.connection.model_copy(update={"dial_in": 0.05}))
        with pytest.raises(LinkLost, match="nobody dialled in") as raised:
            async with made.open():
                raise AssertionError
        assert raised.value.code == "connect_timeout"
        assert made.connection.endpoint == f"listen://127.0.0.1:{port}"

    run(work)
