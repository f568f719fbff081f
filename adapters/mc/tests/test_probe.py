"""Probing: tells refused, silent, locked, another protocol and well apart, in time, and changes nothing."""

import asyncio
import socket
import time

import pytest

from adapters.mc import adapter
from adapters.mc.simulator import Faults, Simulator
from gateway.sdk import ProtocolFault


def test_well(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            cpu = sim.device(kit.device())
            cpu.model = ("FX5U-32MT/ES", 0x4A23)
            found = await adapter(kit.connection(sim)).probe(kit.device())
            assert found.outcome == "ok"
            assert found.identity == (
                ("vendor", "Mitsubishi Electric"),
                ("model", "FX5U-32MT/ES"),
                ("model_code", "4A23"),
            )
            cpu.unsupported = {0x0101}
            found = await adapter(kit.connection(sim)).probe(kit.device())
            assert (found.outcome, found.identity) == ("ok", ())
            assert cpu.counters.writes == 0

    run(work)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("change", [{"code": "ascii"}, {"frame": "4e"}])
def test_silence_may_mean_another_code_or_frame(run, kit, transport, change):
    """Measured on an FX5U: binary sent to an ASCII entry is met with silence."""

    async def work():
        async with Simulator(transport=transport, **change) as sim:
            sim.device(kit.device())
            wrong = {"code": "binary", "frame": "3e"}
            started = time.monotonic()
            found = await adapter(kit.connection(sim, timeout="200ms", **wrong)).probe(kit.device())
            assert time.monotonic() - started < 0.6
            right = wrong | change
            assert found.outcome == "wrong_protocol"
            assert f"answers with frame: {right['frame']}, code: {right['code']}" in found.detail
            assert dict(found.identity)["model"] == "Q03UDECPU"

    run(work)


def test_what_goes_wrong(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            device = kit.device()
            cpu = sim.device(device)
            made = adapter(kit.connection(sim, timeout="100ms"))
            cases = [
                (Faults(silent=True), "timeout"),
                (Faults(end_code=0xC201), "auth"),
                (Faults(end_code=0xC05E), "timeout"),
                (Faults(garbage=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "wrong_protocol"),
            ]
            for faults, outcome in cases:
                cpu.faults = faults
                started = time.monotonic()
                assert (await made.probe(device)).outcome == outcome
                assert time.monotonic() - started < 0.5
        assert (await made.probe(device)).outcome in ("refused", "timeout")

    run(work)


def test_an_entry_in_use(run, kit):
    async def work():
        async with Simulator() as sim:
            sim.cpu()
            sim.one_session = True
            made = adapter(kit.connection(sim))
            async with made.open():
                found = await made.probe(kit.device())
            assert found.outcome == "refused"
            assert "somebody else may hold this entry" in found.detail

    run(work)


def test_nobody_there(run, kit):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        connection = kit.connection().model_copy(update={"port": port})
        assert (await adapter(connection).probe(kit.device())).outcome == "refused"

    run(work)


def test_a_udp_entry_with_a_port_of_its_own_is_not_tried_with_3e(run, kit):
    async def work():
        async with Simulator(transport="udp", frame="3e") as sim:
            sim.cpu()
            with socket.socket(type=socket.SOCK_DGRAM) as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            made = adapter(kit.connection(sim, frame="4e", source_port=port, timeout="60ms"))
            assert (await made.probe(kit.device())).outcome == "timeout"

    run(work)


def test_another_server(run, kit):
    async def work():
        async def greet(reader, writer):
            await reader.read(100)
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
            await reader.read(100)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = adapter(kit.connection().model_copy(update={"port": port}))
        assert (await made.probe(kit.device())).outcome == "wrong_protocol"
        with pytest.raises(ProtocolFault, match="no 3E binary answer"):
            async with made.open() as session:
                await session.identify(kit.device())
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    run(work)
