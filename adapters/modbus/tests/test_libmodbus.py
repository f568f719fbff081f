"""Against libmodbus, an independent implementation in C, in a process of its own: server and client."""

import asyncio
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.modbus import adapter
from adapters.modbus.simulator import Simulator
from gateway.model.quality import Quality
from gateway.sdk import Write

PEERS = Path(__file__).with_name("peers")
REGISTERS = [257 * place & 0xFFFF for place in range(300)]
BITS = [place % 3 == 0 for place in range(96)]

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/modbus/modbus.h").exists(),
    reason="needs a C compiler and libmodbus-dev: apt-get install gcc libmodbus-dev",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Server and client, compiled."""
    folder = tmp_path_factory.mktemp("libmodbus")
    for name in ("libmodbus_server", "libmodbus_client"):
        source, program = PEERS / f"{name}.c", folder / name
        subprocess.run(
            ["cc", "-Wall", "-Wextra", "-Werror", "-I/usr/include/modbus", "-o", program, source, "-lmodbus"],
            check=True,
        )
    return folder


@asynccontextmanager
async def joined(folder):
    """Two pseudo terminals joined by socat."""
    ends = [folder / "gateway", folder / "device"]
    socat = await asyncio.create_subprocess_exec("socat", *(f"pty,raw,echo=0,link={end}" for end in ends))
    try:
        while not all(end.exists() for end in ends):
            await asyncio.sleep(0.01)
        yield [str(end) for end in ends]
    finally:
        socat.terminate()
        await socat.wait()


@asynccontextmanager
async def server(built, folder, transport):
    """A libmodbus server, and the settings of a connection to it."""
    if transport == "rtu":
        async with joined(folder) as (ours, theirs), process(built / "libmodbus_server", "rtu", theirs) as line:
            assert line == "ready"
            yield {"transport": "rtu", "serial_port": ours, "baudrate": 115_200}
    else:
        async with process(built / "libmodbus_server", "tcp") as port:
            yield {"transport": "tcp", "host": "127.0.0.1", "port": int(port)}


@asynccontextmanager
async def process(*words):
    """A program that serves until its standard input ends; yields the first line that it prints."""
    running = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield (await running.stdout.readline()).decode().strip()
    finally:
        running.stdin.close()
        await asyncio.wait_for(running.wait(), 5)
        await running.stdout.read()


def configured(settings):
    from adapters.modbus import models

    return models.connection.model_validate({"adapter": "modbus", "timeout": "1s"} | settings)


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
def test_their_server(run, kit, built, tmp_path, transport):
    async def work():
        async with server(built, tmp_path, transport) as settings:
            made = adapter(configured(settings | ({"pipeline": 1} if transport == "rtu" else {"pipeline": 4})))
            both = {"access": "read/write"}
            tags = [
                *kit.registers(200),
                *[kit.tag(f"ir:{place}") for place in range(295, 303)],
                *[kit.tag(f"co:{place}", "bool") for place in range(1, 90)],
                *[kit.tag(f"di:{place}", "bool") for place in range(96)],
            ]
            writes = [
                (kit.tag("hr:210", "float64", order="BADC", **both), -2.5e-3),
                (kit.tag("hr:220", "uint32", order="CDAB", encoding="bcd", **both), 12_345_678),
                (kit.tag("hr:230", "string", length=9, **both), "pneumatic"),
                (kit.tag("hr:240.13", "bool", **both), True),
                (kit.tag("hr:241", "int16", **both), -7),
                (kit.tag("co:95", "bool", **both), True),
            ]
            async with made.open() as session:
                plan = made.plan(kit.device(), tags)
                for _ in range(2):
                    found = await kit.poll(session, plan, tags)
                    assert [found[f"hr:{place}"] for place in range(200)] == REGISTERS[:200]
                    assert [found[f"ir:{place}"] for place in range(295, 300)] == REGISTERS[295:]
                    assert {found[f"ir:{place}"] for place in range(300, 303)} == {Quality.ADDRESS_REFUSED}
                    assert [found[f"co:{place}"] for place in range(1, 90)] == BITS[1:90]
                    assert [found[f"di:{place}"] for place in range(96)] == BITS
                await session.write(kit.device(), [Write(*pair) for pair in writes])
                written = [tag for tag, _ in writes]
                found = await kit.poll(session, made.plan(kit.device(), written), written)
                assert list(found.values()) == [value for _, value in writes]
            assert (await made.probe(kit.device())).outcome == "ok"

    run(work)


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
def test_their_client(run, kit, built, tmp_path, transport):
    async def work():
        async with Simulator(transport=transport) as sim:
            unit = sim.unit(5)
            unit.holding[:125] = REGISTERS[:125]
            unit.inputs[7:9] = [11, 65_535]
            unit.coils[:20] = BITS[:20]
            unit.discretes[1:4] = [True, False, True]
            unit.refuse("hr", 250, 250)
            client = await asyncio.create_subprocess_exec(
                built / "libmodbus_client", transport, str(sim.port), stdout=subprocess.PIPE
            )
            said = (await client.communicate())[0].decode().splitlines()
            assert said == [
                f"registers 0 257 {REGISTERS[124]}",
                "inputs 11 65535",
                "coils " + "".join(str(int(bit)) for bit in BITS[:20]),
                "discretes 101",
                "written 3 78 79 78 79",
                "refused -1 Illegal data address",
            ]
            assert client.returncode == 0
            assert unit.coils[40:44].tolist() == [True, True, False, True]
            assert unit.holding[200:205].tolist() == [3, 78, 79, 78, 79]

    run(work)
