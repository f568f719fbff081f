"""Against implementations by others: aslmp's simulator (an FX5U as measured, and the manual as written), virtual-plc,
and the client pymcprotocol against our simulator."""

import asyncio
import random

import pytest

from adapters.mc import adapter
from adapters.mc.simulator import Simulator
from gateway.model.quality import Quality
from gateway.sdk import TagFault, Write

ENTRIES = {
    "tcp": {},
    "tcp-4e": {"frame": "4e"},
    "udp": {"transport": "udp"},
    "udp-4e": {"transport": "udp", "frame": "4e"},
    "tcp-ascii": {"code": "ascii"},
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("series", ["iq-f", "iq-r"])
def test_aslmp(run, kit, entry, series):
    """An FX5U, which sends answers in two pieces and answers only the last of several requests; and the manual."""
    aslmp = pytest.importorskip("aslmp.testing")

    async def work():
        target = aslmp.FX5U_32MT_DS if series == "iq-f" else aslmp.PEDANTIC
        async with aslmp.PlcSimulator(target=target) as plc:
            host, port = plc.address(entry)
            connection = kit.connection(**ENTRIES[entry] | {"host": host, "port": port})
            device, made = kit.device(series, max_gap=3), adapter(connection)
            source = random.Random(5)
            tags, expected = [], {}
            for place in source.sample(range(0, 7000, 2), 150):
                value = source.randrange(1 << 32)
                wide = value % 3 == 0
                tags.append(kit.tag(f"D{place}", "uint32" if wide else "uint16"))
                plc.memory.set_u32("D", place, value) if wide else plc.memory.set_u16("D", place, value & 0xFFFF)
                expected[f"D{place}"] = value if wide else value & 0xFFFF
            for name, digits in (("M", "d"), ("B", "X"), ("TS", "d"), ("X", "o" if series == "iq-f" else "X")):
                for place in source.sample(range(512), 20):
                    on = source.random() < 0.5
                    plc.memory.write_bits(name, place, [on])
                    tags.append(kit.tag(f"{name}0{place:{digits}}", "bool"))
                    expected[tags[-1].name] = on
            for name, number, address in (("W", 0x1F, "W1F"), ("TN", 9, "TN9"), ("SD", 7, "SD7"), ("SW", 0x2A, "SW2A")):
                plc.memory.set_u16(name, number, 1000 + number)
                tags.append(kit.tag(address))
                expected[address] = 1000 + number
            tags.append(kit.tag("D3001", "float32"))
            plc.memory.set_f32("D", 3001, 60.25)
            expected["D3001"] = 60.25
            plan = made.plan(device, tags)
            async with made.open() as session:
                assert await kit.poll(session, plan, tags) == expected
                word = kit.tag("D5", "int32", access="read/write")
                bit = kit.tag("M9", "bool", access="read/write")
                await session.write(device, [Write(word, -70_000), Write(bit, True)])
                assert plc.memory.get_u32("D", 5) == 0x100000000 - 70_000
                assert plc.memory.read_bits("M", 9, 1) == (True,)
                far = kit.tag("D7999" if series == "iq-f" else "D16000000", "uint32", access="write")
                with pytest.raises(TagFault) as raised:
                    await session.write(device, [Write(far, 1)])
                assert raised.value.quality is Quality.ADDRESS_REFUSED
            assert (await made.probe(device)).outcome == "ok"

    run(work)


def test_aslmp_refuses_in_due_form(run, kit):
    """D7999 is the last of an FX5U; what lies behind is bad, its neighbours arrive."""
    aslmp = pytest.importorskip("aslmp.testing")

    async def work():
        async with aslmp.PlcSimulator(target=aslmp.FX5U_32MT_DS) as plc:
            host, port = plc.address("tcp")
            made, device = adapter(kit.connection(host=host, port=port)), kit.device("fx5u")
            tags = [*kit.words(20, 7990), kit.tag("D100"), kit.tag("D7999", "uint32", name="half")]
            plc.memory.write_words("D", 7990, list(range(10)))
            plan = made.plan(device, tags)
            async with made.open() as session:
                found = await kit.poll(session, plan, tags)
            bad = Quality.ADDRESS_REFUSED
            assert found == {f"D{7990 + n}": n if n < 10 else bad for n in range(20)} | {"D100": 0, "half": bad}

    run(work)


def test_aslmp_keeps_silent_to_another_code(run, kit):
    aslmp = pytest.importorskip("aslmp.testing")

    async def work():
        async with aslmp.PlcSimulator(target=aslmp.FX5U_32MT_DS) as plc:
            host, port = plc.address("tcp-ascii")
            made = adapter(kit.connection(host=host, port=port, timeout="150ms"))
            found = await made.probe(kit.device("iq-f"))
            assert found.outcome == "wrong_protocol"
            assert "answers with frame: 3e, code: ascii" in found.detail

    run(work)


@pytest.mark.parametrize("profile", ["Q", "iQ-R"])
@pytest.mark.parametrize(("code", "frame"), [("binary", "3e"), ("binary", "4e"), ("ascii", "3e"), ("ascii", "4e")])
def test_virtual_plc(run, kit, profile, code, frame):
    """It knows no 0406, and one of its profiles only the long specification. In ASCII its numbers are all decimal."""
    server_module = pytest.importorskip("virtual_plc.server")

    async def work():
        with server_module.Server(profile=profile, ascii_dword_order="client") as server:
            host, port = server.address
            made = adapter(kit.connection(host=host, port=port, code=code, frame=frame))
            wide = profile == "iQ-R"
            device = kit.device("iq-r" if wide else "q", wide=wide, max_blocks=0, max_gap=8)
            tags = [kit.tag(f"D{place}", "int32") for place in range(0, 3000, 100)]
            tags += [kit.tag(f"M{place}", "bool") for place in range(0, 200, 7)]
            tags += kit.words(50, 5000)
            if code == "binary":
                tags += [kit.tag("W1F"), kit.tag("X1F", "bool"), kit.tag("ZR40000", "float64")]
            if wide:
                tags += [kit.tag("LZ3", "int32")]
            expected = {}
            for place, tag in enumerate(tags):
                value = place % 3 == 0 if tag.type == "bool" else 1.5 if tag.type == "float64" else 77 * place
                expected[tag.name] = value
            async with made.open() as session:
                writable = [tag.model_copy(update={"access": "read/write"}) for tag in tags]
                await session.write(device, [Write(tag, expected[tag.name]) for tag in writable])
                plan = made.plan(device, tags)
                assert await kit.poll(session, plan, tags) == expected
            memory = server.memory
            assert memory.read_words("D", 300, 2) == [231, 0]
            assert memory.read_bits("M", 7, 1) == [(31 % 3) == 0]
            if wide:
                assert memory.read_words("LZ", 3, 2) == [expected["LZ3"], 0]
            found = await made.probe(device)
            assert found.outcome == "ok"
            assert dict(found.identity)["model"] == f"VirtualPLC-{profile}"

    run(work)


def talk(module, sim, frame, code, series):
    """What a client by others sees of the simulator: everything that it can do."""
    client = (module.Type4E if frame == "4e" else module.Type3E)(plctype=series)
    client.setaccessopt(commtype=code)
    client.connect("127.0.0.1", sim.port)
    try:
        client.batchwrite_wordunits(headdevice="D100", values=[1, -2, 3000])
        client.batchwrite_bitunits(headdevice="M10", values=[1, 0, 1, 1, 0])
        client.randomwrite(
            word_devices=["D200", "W1A"], word_values=[7, 8], dword_devices=["D210"], dword_values=[70_000]
        )
        client.randomwrite_bitunits(bit_devices=["M50", "Y1F"], values=[1, 1])
        return (
            client.read_cputype(),
            client.batchread_wordunits(headdevice="D100", readsize=3),
            client.batchread_bitunits(headdevice="M10", readsize=5),
            client.batchread_bitunits(headdevice="Y1E", readsize=3),
            client.randomread(word_devices=["D200", "W1A", "TN3"], dword_devices=["D210", "M48"]),
            client.echo_test("ABC123"),
        )
    finally:
        client.close()


@pytest.mark.parametrize("series", ["Q", "iQ-R"])
@pytest.mark.parametrize(("code", "frame"), [("binary", "3e"), ("binary", "4e"), ("ascii", "3e"), ("ascii", "4e")])
def test_pymcprotocol(run, kit, code, frame, series):
    module = pytest.importorskip("pymcprotocol")

    async def work():
        async with Simulator(code=code, frame=frame) as sim:
            cpu = sim.cpu(series.lower())
            cpu.cells("TN")[3] = 33
            name, words, bits, outputs, found, echo = await asyncio.to_thread(talk, module, sim, frame, code, series)
            assert name[0].strip() == "Q03UDECPU"
            assert words == [1, -2, 3000]
            assert bits == [1, 0, 1, 1, 0]
            assert outputs == [0, 1, 0]
            assert found == ([7, 8, 33], [70_000, 1 << 2])
            assert echo[1] == "ABC123"
            assert cpu.get(kit.tag("D210", "uint32")) == 70_000
            assert cpu.get(kit.tag("M50", "bool")) is True
            assert sim.counters.ignored == 0
            await asyncio.sleep(0.02)

    run(work)
