"""Everything a line and a CPU can do wrong: each poll ends in time, no wrong value is taken, and it recovers."""

import asyncio
import gc
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.mc import adapter
from adapters.mc.simulator import Faults, Simulator
from gateway.sdk import Fault, LinkLost, ProtocolFault, Readings, Timeout

BROKEN = (Timeout, ProtocolFault)
FAULTS = {
    "silent": (Faults(silent=True), Timeout),
    "late": (Faults(delay=0.3), Timeout),
    "half an answer": (Faults(truncate=4), BROKEN),
    "nothing but the start": (Faults(truncate=50), BROKEN),
    "a byte now and then": (Faults(dribble=0.02), BROKEN),
    "another serial number": (Faults(wrong_serial=True), Timeout),
    "another station": (Faults(wrong_route=True), ProtocolFault),
    "a refusal of something else": (Faults(end_code=0xC056, wrong_command=True), ProtocolFault),
    "garbage before": (Faults(garbage=b"\xff\x00\xaa\x55" * 3), ProtocolFault),
    "a garbled beginning": (Faults(flip=0), ProtocolFault),
    "hangs up": (Faults(hang_up=True), LinkLost),
    "doubled": (Faults(repeat=1), None),
}


class Client:
    """What the runtime does: keeps the session after a plain Timeout, opens a new one after any other fault."""

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
        except Fault as fault:
            if type(fault) is not Timeout:
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
            if (sim.transport, name) in (("udp", "hangs up"), ("udp", "a byte now and then")):
                return  # nothing to hang up on; a datagram comes as a whole
            if name == "another serial number" and sim.frame == "3e":
                return  # there is none
            cpu = sim.device(kit.device())
            tags = kit.words(20)
            made = adapter(kit.connection(sim, timeout="100ms"))
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            for turn in range(2):
                cpu.cells("D")[:20] = value = 2 * turn + 1
                for _ in range(12):  # what the turn before left on the line may cost polls, never a value
                    try:
                        assert await client.poll() == {value}
                        break
                    except Fault:
                        await asyncio.sleep(0.02)
                else:
                    raise AssertionError("did not recover")
                cpu.cells("D")[:20] = value = 2 * turn + 2
                cpu.faults = replace(faults, times=1)
                started = time.monotonic()
                if expected is not None:
                    with pytest.raises(expected):
                        await client.poll()
                elif sim.frame == "4e":
                    assert await client.poll() == {value}
                else:  # which of two 3E answers is the right one?
                    with pytest.raises(ProtocolFault):
                        await client.poll()
                assert time.monotonic() - started < 1.0
            await client.close()

    run(work)


def test_values_of_a_late_answer_are_never_taken(run, kit, anywhere):
    """Answers come late now and then, and overtake each other; every value must be of its own poll."""

    async def work():
        async with anywhere as sim:
            cpu = sim.device(kit.device())
            tags = kit.words(300, 0, 5)
            made = adapter(kit.connection(sim, timeout="40ms", rest="1ms"))
            plan = made.plan(kit.device(), tags)
            client = Client(kit, made, plan, tags)
            late = 0
            for turn in range(40):
                cpu.cells("D")[:] = turn
                cpu.faults = Faults(delay=0.09, times=1) if turn % 4 == 0 else None
                try:
                    assert await client.poll() == {turn}
                except Timeout:
                    late += 1
                await asyncio.sleep(0.007)
            await client.close()
            assert late >= 5  # on a busy machine an answer may still be in time; none may be wrong

    run(work)


def test_a_restart_of_the_cpu(run, kit, anywhere):
    async def work():
        sim = anywhere
        async with sim:
            sim.device(kit.device()).cells("D")[:5] = 3
            tags = kit.words(5)
            made = adapter(kit.connection(sim, timeout="100ms"))
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            assert await client.poll() == {3}
        for _ in range(2):
            with pytest.raises(Fault) as raised:
                await client.poll()
            if sim.transport == "udp":
                assert raised.value.code in ("connection_refused", "no_answer")
            else:
                assert raised.value.code in ("connection_refused", "link_lost")
        sim.cpus.clear()
        async with sim:
            sim.device(kit.device()).cells("D")[:5] = 4
            for _ in range(5):
                try:
                    assert await client.poll() == {4}
                    break
                except Fault:
                    await asyncio.sleep(0.02)
            else:
                raise AssertionError("did not recover")
            await client.close()

    run(work)


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_sessions_leave_nothing_behind(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            sim.device(kit.device())
            made = adapter(kit.connection(sim, rest="0s"))
            tags = kit.words(5)
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


def test_a_dead_station_costs_its_neighbours_no_value(run, kit):
    """4E: the link stands, and others on it are read on. 3E: it is opened anew after each time-out."""

    async def work():
        for frame in ("3e", "4e"):
            async with Simulator(frame=frame) as sim:
                sim.cpu(pc=1).silent = True
                sim.cpu(pc=2).cells("D")[:5] = 9
                made, tags = adapter(kit.connection(sim, timeout="60ms")), kit.words(5)
                dead = Client(kit, made, made.plan(kit.device(pc=1), tags), tags)
                live = made.plan(kit.device(pc=2), tags)
                for _ in range(3):
                    started = time.monotonic()
                    with pytest.raises(Timeout):
                        await dead.poll()
                    assert time.monotonic() - started < 0.3
                    dead.plan, other = live, dead.plan
                    assert await dead.poll() == {9}
                    dead.plan = other
                await dead.close()

    run(work)
