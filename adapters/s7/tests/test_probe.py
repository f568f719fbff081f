"""A probe tells apart what can be wrong, in time, and changes nothing."""

import asyncio
import time

from adapters.s7 import adapter
from adapters.s7.simulator import Faults, Simulator
from gateway.sdk import LinkLost, Probes, probing


def test_a_cpu_that_answers(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu.block(1)[:4] = b"abcd"
            before = {place: bytes(memory) for place, memory in sim.cpu.memory.items()}
            made = adapter(kit.connection(sim))
            assert isinstance(made, Probes)
            probed = await made.probe(kit.device())
            assert (probed.outcome, probed.detail) == ("ok", "speaks S7: PDU 960 bytes, 4 requests at a time")
            assert dict(probed.identity)["order_number"] == "6ES7 515-2AM01-0AB0"
            sim.cpu.identity = {}
            sim.cpu.refuse((0x83, 0), 0, 10)
            probed = await made.probe(kit.device())
            assert (probed.outcome, probed.identity) == ("ok", ())
            assert {place: bytes(memory) for place, memory in sim.cpu.memory.items()} == before
            assert sim.counters.writes == 0

    run(work)


def test_what_a_probe_tells_apart(run, kit):
    async def work():
        async def http(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        web = await asyncio.start_server(http, "127.0.0.1", 0)
        async with Simulator() as sim:

            async def outcome(**more):
                started = time.monotonic()
                probed = await adapter(kit.connection(sim, timeout="200ms", **more)).probe(kit.device())
                assert time.monotonic() - started < 1.5
                assert len(probed.detail) > 10
                return probed

            sim.cpu.put_get = False
            probed = await outcome()
            assert probed.outcome == "auth"
            assert "PUT/GET" in probed.detail
            sim.cpu.put_get = True
            sim.cpu.silent = True
            assert (await outcome()).outcome == "timeout"
            sim.cpu.silent = False
            sim.cpu.faults = Faults(hang_up=True)
            assert (await outcome()).outcome == "refused"
            sim.cpu.faults = None
            sim.cpu.remote_tsaps = {b"\3\2"}
            probed = await outcome(slot=7)
            assert probed.outcome == "refused"
            assert "TSAP 03.07" in probed.detail
            assert (await outcome(port=web.sockets[0].getsockname()[1])).outcome == "wrong_protocol"
        assert (await adapter(kit.connection(sim)).probe(kit.device())).outcome == "refused"
        assert probing.outcome(LinkLost("late", code="connect_timeout")) == "timeout"
        web.close()

    run(work)
