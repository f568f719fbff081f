"""Everything a link and a CPU can do wrong: each poll ends in time, no wrong value is taken, and it recovers."""

import asyncio
import gc
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.s7 import adapter
from adapters.s7.simulator import Faults, Simulator
from gateway.sdk import AuthFault, Fault, LinkLost, ProtocolFault, Readings, Timeout

FAULTS = {
    "silent": (Faults(silent=True), Timeout),
    "slow": (Faults(delay=0.2), Timeout),
    "half a telegram": (Faults(truncate=9), (Timeout, ProtocolFault)),
    "nothing but the start": (Faults(truncate=40), (Timeout, ProtocolFault)),
    "a byte now and then": (Faults(dribble=0.01), Timeout),
    "wrong function": (Faults(wrong_function=True), ProtocolFault),
    "wrong reference": (Faults(wrong_reference=True), Timeout),
    "garbage before": (Faults(garbage=b"\xff\x00\xaa\x55" * 3), ProtocolFault),
    "items too short": (Faults(short_items=2), ProtocolFault),
    "a telegram of its own size": (Faults(error=0x8500), ProtocolFault),
    "no function": (Faults(error=0x8104), AuthFault),
    "disconnects": (Faults(disconnect=True), ProtocolFault),
    "hangs up": (Faults(hang_up=True), LinkLost),
    "again": (Faults(repeat=2), None),
    "in pieces": (Faults(fragment=7), None),
}


class Client:
    """What the runtime does: keeps the session after a Timeout, opens a new one after any other fault."""

    def __init__(self, kit, made, plan, tags):
        self.kit, self.made, self.plan, self.tags = kit, made, plan, tags
        self.out = Readings(len(tags), plan.table)
        self.context = None

    async def poll(self):
        try:
            if self.context is None:
                context = self.made.open()
                self.session = await context.__aenter__()
                self.context = context
            return set((await self.kit.poll(self.session, self.plan, self.tags, self.out)).values())
        except Timeout:
            raise
        except Fault:
            await self.close()
            raise

    async def close(self):
        context, self.context = self.context, None
        if context is not None:
            await context.__aexit__(None, None, None)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("at_setup", [False, True])
def test_one_fault_and_recovery(run, kit, name, at_setup):
    async def work():
        async with Simulator() as sim:
            faults, expected = FAULTS[name]
            if at_setup and name == "items too short":
                return
            memory = sim.cpu.block(1)
            tags = [kit.tag(f"DB1.DBW{300 * place}") for place in range(20)]
            made = adapter(kit.connection(sim, timeout="100ms", pdu=240))
            client = Client(kit, made, made.plan(kit.device(max_items=4), tags), tags)
            for turn in range(2):
                memory[:] = (2 * turn + 1).to_bytes(2, "big") * 32_768
                for _ in range(12):  # what the turn before left on the line may cost polls, never a value
                    try:
                        assert await client.poll() == {2 * turn + 1}
                        break
                    except Fault:
                        await asyncio.sleep(0.02)
                else:
                    raise AssertionError("did not recover")
                if at_setup:
                    await client.close()
                memory[:] = (2 * turn + 2).to_bytes(2, "big") * 32_768
                sim.cpu.faults = replace(faults, times=1)
                started = time.monotonic()
                if expected is None:
                    assert await client.poll() == {2 * turn + 2}
                else:
                    with pytest.raises(Fault if at_setup else expected):
                        await client.poll()
                assert time.monotonic() - started < 1.5
            await client.close()

    run(work)


def test_values_of_a_late_answer_are_never_taken(run, kit):
    """Answers overtake each other, and come after their time; every value must be of its own poll."""

    async def work():
        async with Simulator() as sim:
            memory = sim.cpu.block(1)
            made = adapter(kit.connection(sim, timeout="60ms", pipeline=4))
            tags = [kit.tag(f"DB1.DBW{100 * place}") for place in range(100)]
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            await client.poll()
            late = owing = 0
            for turn in range(20):
                memory[:] = turn.to_bytes(2, "big") * 32_768
                sim.cpu.faults = Faults(late=0.2, times=2) if turn % 4 == 0 else None
                try:
                    assert await client.poll() == {turn}
                except Timeout:
                    late += 1
                    if turn % 8:
                        await asyncio.sleep(0.1)
                except LinkLost:
                    owing += 1
            assert (late, owing) == (5, 3)  # twice the answers came before the next poll
            await client.close()

    run(work)


def test_a_session_goes_on_when_the_owed_answer_has_come(run, kit):
    async def work():
        async with Simulator() as sim:
            tags = kit.words(4)
            sim.cpu.block(1)
            async with kit.session(sim, timeout="60ms") as session:
                plan = adapter(kit.connection(sim)).plan(kit.device(), tags)
                sim.cpu.faults = Faults(late=0.1, times=1)
                with pytest.raises(Timeout):
                    await kit.poll(session, plan, tags)
                await asyncio.sleep(0.08)
                assert set((await kit.poll(session, plan, tags)).values()) == {0}
                assert session._exchange.strays == 1

    run(work)


def test_a_silent_cpu_while_connecting(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.device(kit.device()).silent = True
            assert sim.device(kit.device()).silent
            started = time.monotonic()
            with pytest.raises(Timeout):
                async with kit.session(sim, timeout="80ms"):
                    raise AssertionError
            assert time.monotonic() - started < 1

    run(work)


def test_an_answer_to_connecting_that_is_none(run, kit):
    async def work():
        async def web(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(web, "127.0.0.1", 0)
        with pytest.raises(ProtocolFault, match="not ISO-on-TCP"):
            async with adapter(kit.connection(port=server.sockets[0].getsockname()[1])).open():
                raise AssertionError
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    run(work)


def descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_sessions_leave_nothing_behind(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)
            made = adapter(kit.connection(sim))
            tags = kit.words(5)
            plan = made.plan(kit.device(), tags)
            before = None
            for turn in range(100):
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
            assert sim.counters.sessions_most == 1

    run(work)


def test_a_restart_of_the_cpu(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)
            made = adapter(kit.connection(sim))
            tags = kit.words(5)
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            for _ in range(3):
                assert await client.poll() == {0}
                sim.hang_up()
                with pytest.raises(LinkLost):
                    await client.poll()
            await client.close()

    run(work)


def test_a_poll_can_be_cancelled_at_any_moment(run, kit):
    async def work():
        async with Simulator() as sim:
            memory = sim.cpu.block(1)
            sim.cpu.faults = Faults(delay=0.05)
            made = adapter(kit.connection(sim, timeout="400ms"))
            tags = kit.words(3)
            client = Client(kit, made, made.plan(kit.device(), tags), tags)
            sim.cpu.faults = None
            await client.poll()
            sim.cpu.faults = Faults(delay=0.05)
            for wait in (0.0, 0.001, 0.01, 0.04, 0.06):
                task = asyncio.create_task(client.poll())
                await asyncio.sleep(wait)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()
            sim.cpu.faults = None
            await asyncio.sleep(0.3)
            memory[:6] = b"\0\6" * 3
            assert await client.poll() == {6}
            await client.close()

    run(work)
