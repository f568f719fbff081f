"""Against pymodbus, an independent implementation: its server read by us, its client reading our simulator."""

import asyncio
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager

import pytest
from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from adapters.modbus import adapter
from adapters.modbus.simulator import Simulator
from gateway.model.quality import Quality
from gateway.sdk import Write

REGISTERS = [place * 257 & 0xFFFF for place in range(300)]
BITS = [place % 3 == 0 for place in range(96)]
IDENTITY = ModbusDeviceIdentification(
    info_name={"VendorName": "Independent", "ProductCode": "PM", "MajorMinorRevision": "3.16"}
)


def plant():
    bits = SimData(0, values=BITS, datatype=DataType.BITS)
    registers = SimData(0, values=REGISTERS, datatype=DataType.REGISTERS)
    return [SimDevice(id=number, simdata=([bits], [bits], [registers], [registers])) for number in (1, 7)]


@contextmanager
def wire(folder):
    """Two pseudo terminals joined by socat."""
    ends = [str(folder / "gateway"), str(folder / "device")]
    joined = subprocess.Popen(["socat", *(f"pty,raw,echo=0,link={end}" for end in ends)])
    try:
        while not all((folder / name).exists() for name in ("gateway", "device")):
            assert joined.poll() is None
            time.sleep(0.01)
        yield ends
    finally:
        joined.terminate()
        joined.wait()


@asynccontextmanager
async def serving(kind, kit, folder, **more):
    """A pymodbus server, and the settings of a connection to it."""
    common = {"identity": IDENTITY} | more
    if kind == "rtu":
        with wire(folder) as (ours, theirs):
            server = ModbusSerialServer(plant(), framer=FramerType.RTU, port=theirs, baudrate=115_200, **common)
            await server.serve_forever(background=True)
            try:
                yield {"transport": "rtu", "serial_port": ours, "baudrate": 115_200, "host": "", "port": 502}
            finally:
                await server.shutdown()
        return
    framer = FramerType.RTU if kind == "rtu_over_tcp" else FramerType.SOCKET
    server = ModbusTcpServer(plant(), framer=framer, address=("127.0.0.1", 0), **common)
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        yield {"transport": kind, "host": "127.0.0.1", "port": port}
    finally:
        await server.shutdown()


def configured(kit, settings, **more):
    from adapters.modbus import models

    return models.connection.model_validate({"adapter": "modbus", "timeout": "2s"} | settings | more)


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp", "rtu"])
def test_their_server_read_by_us(run, kit, tmp_path, kind):
    async def work():
        async with serving(kind, kit, tmp_path) as settings:
            made = adapter(configured(kit, settings))
            tags = [
                *kit.registers(300),
                kit.tag("ir:200", "uint64", order="CDAB"),
                *[kit.tag(f"co:{place}", "bool") for place in range(2, 90)],
                *[kit.tag(f"di:{place}", "bool") for place in range(96)],
            ]
            for unit in (1, 7):
                device = kit.device(unit=unit)
                async with made.open() as session:
                    found = await kit.poll(session, made.plan(device, tags), tags)
                assert [found[f"hr:{place}"] for place in range(300)] == REGISTERS
                want = 0
                for place in (3, 2, 1, 0):
                    want = want << 16 | REGISTERS[200 + place]
                assert found["ir:200"] == want
                assert [found[f"co:{place}"] for place in range(2, 90)] == BITS[2:90]
                assert [found[f"di:{place}"] for place in range(96)] == BITS

    run(work)


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp", "rtu"])
def test_their_server_written_by_us(run, kit, tmp_path, kind):
    async def work():
        async with serving(kind, kit, tmp_path) as settings:
            made = adapter(configured(kit, settings))
            both = {"access": "read/write"}
            tags = [
                kit.tag("hr:10", "int16", **both),
                kit.tag("hr:12", "float32", order="CDAB", **both),
                kit.tag("hr:20", "string", length=10, **both),
                kit.tag("hr:30.5", "bool", **both),
                kit.tag("co:3", "bool", **both),
                kit.tag("co:4", "bool", **both),
            ]
            values = [-2, 21.5, "press", True, False, True]
            async with made.open() as session:
                for device in (kit.device(), kit.device(write_multiple_only=True)):
                    await session.write(device, [Write(*pair) for pair in zip(tags, values, strict=True)])
                    found = await kit.poll(session, made.plan(device, tags), tags)
                    assert list(found.values()) == values
                    values = [-3, -0.25, "air", False, True, False]
                    await session.write(device, [Write(*pair) for pair in zip(tags, values, strict=True)])
                    assert list((await kit.poll(session, made.plan(device, tags), tags)).values()) == values

    run(work)


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp", "rtu"])
def test_their_refusals_and_identity(run, kit, tmp_path, kind):
    async def work():
        async with serving(kind, kit, tmp_path) as settings:
            made = adapter(configured(kit, settings))
            tags = [kit.tag(f"hr:{place}") for place in range(295, 305)]
            async with made.open() as session:
                found = await kit.poll(session, made.plan(kit.device(), tags), tags)
            assert [found[f"hr:{place}"] for place in range(295, 300)] == REGISTERS[295:]
            assert {found[f"hr:{place}"] for place in range(300, 305)} == {Quality.ADDRESS_REFUSED}
            probed = await made.probe(kit.device())
            assert probed.outcome == "ok"
            assert dict(probed.identity) == {"vendor": "Independent", "product": "PM", "revision": "3.16"}

    run(work)


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp", "rtu"])
def test_our_simulator_read_by_their_client(run, kit, tmp_path, kind):
    async def work():
        async with Simulator(transport=kind) as sim:
            unit = sim.unit(5)
            unit.holding[:125] = REGISTERS[:125]
            unit.inputs[:4] = [1, 2, 3, 0xFFFF]
            unit.coils[:40] = BITS[:40]
            unit.discretes[:40] = BITS[:40]
            if kind == "rtu":
                client = AsyncModbusSerialClient(str(sim.port), framer=FramerType.RTU, baudrate=115_200, timeout=2)
            else:
                framer = FramerType.RTU if kind == "rtu_over_tcp" else FramerType.SOCKET
                client = AsyncModbusTcpClient("127.0.0.1", port=sim.port, framer=framer, timeout=2)
            assert await client.connect()
            try:
                at = {"device_id": 5}
                assert (await client.read_holding_registers(0, count=125, **at)).registers == REGISTERS[:125]
                assert (await client.read_input_registers(0, count=4, **at)).registers == [1, 2, 3, 0xFFFF]
                assert (await client.read_coils(0, count=40, **at)).bits[:40] == BITS[:40]
                assert (await client.read_discrete_inputs(1, count=30, **at)).bits[:30] == BITS[1:31]
                await client.write_coil(1, True, **at)
                await client.write_register(1, 77, **at)
                await client.write_coils(2, [True, False, True], **at)
                await client.write_registers(2, [78, 79], **at)
                assert unit.coils[1:5].tolist() == [True, True, False, True]
                assert unit.holding[1:4].tolist() == [77, 78, 79]
                await client.mask_write_register(address=1, and_mask=0xFF00, or_mask=0x0003, **at)
                assert unit.holding[1] == 3
                both = await client.readwrite_registers(
                    read_address=0, read_count=3, write_address=1, values=[5, 6], **at
                )
                assert both.registers == [0, 5, 6]
                identity = await client.read_device_information(read_code=1, object_id=0, **at)
                assert identity.information[0] == b"Xingsha"
                unit.refuse("hr", 50, 50)
                assert (await client.read_holding_registers(50, count=1, **at)).exception_code == 2
            finally:
                client.close()
            await asyncio.sleep(0.05)

    run(work)
