"""A probe tells apart what can be wrong, in time, and changes nothing; the doctor finds the right decoding."""

import asyncio
import struct
import time

import pytest

from adapters.modbus import adapter, doctor
from adapters.modbus.address import Address
from adapters.modbus.examination import examine
from adapters.modbus.simulator import Faults, Simulator
from gateway.sdk import ConfigFault, Probes, TagFault
from gateway.wire.connect import os_fault


def test_a_device_that_answers(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(3)
            before = {area: values.copy() for area, values in unit.areas.items()}
            made = adapter(kit.connection(sim))
            assert isinstance(made, Probes)
            probed = await made.probe(kit.device(unit=3))
            assert (probed.outcome, probed.detail) == ("ok", "unit 3 speaks Modbus")
            assert dict(probed.identity) == {"vendor": "Xingsha", "product": "simulated unit", "revision": "1.0"}
            unit.identity = ()
            unit.refuse("hr", 0, 0)
            probed = await made.probe(kit.device(unit=3))
            assert (probed.outcome, probed.identity) == ("ok", ())
            assert all((values == before[area]).all() for area, values in unit.areas.items())
            assert unit.counters.writes == 0

    run(work)


def test_what_a_probe_tells_apart(run, kit):
    async def work():
        async def http(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        web = await asyncio.start_server(http, "127.0.0.1", 0)
        async with Simulator() as sim:
            sim.unit(1).faults = Faults(silent=True)
            device = kit.device()

            async def outcome(**more):
                started = time.monotonic()
                probed = await adapter(kit.connection(sim, timeout="200ms", **more)).probe(device)
                assert time.monotonic() - started < 1.5
                assert len(probed.detail) > 10
                return probed.outcome

            assert await outcome() == "timeout"
            sim.unit(1).faults = Faults(exception=11)
            assert await outcome() == "timeout"
            sim.unit(1).faults = Faults(hang_up=True)
            assert await outcome() == "refused"
            assert await outcome(port=web.sockets[0].getsockname()[1]) == "wrong_protocol"
            assert await outcome(tls={"verify": False}) in ("wrong_protocol", "refused")
            assert await outcome(transport="rtu", serial_port="/dev/null/x", host="") == "refused"
            assert await outcome(tls={"ca": "/nowhere.pem"}) == "refused"
        assert (await adapter(kit.connection(sim)).probe(device)).outcome == "refused"
        web.close()

    run(work)


def test_outcomes_of_faults_that_are_rare():
    import ssl

    from gateway.sdk import LinkLost
    from gateway.sdk.probing import outcome

    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "self-signed certificate"
    assert outcome(os_fault("h:802", refused)) == "auth"
    assert outcome(LinkLost("late", code="connect_timeout")) == "timeout"


def test_a_gateway_without_that_unit(run, kit):
    async def work():
        async with Simulator() as sim:
            probed = await adapter(kit.connection(sim)).probe(kit.device(unit=9))
            assert probed.outcome == "timeout"
            assert "unit 9" in probed.detail

    run(work)


def words(*numbers):
    return struct.pack(f">{len(numbers)}H", *numbers)


def swapped(data):
    """Word order CDAB."""
    return b"".join(data[place : place + 2] for place in range(len(data) - 2, -2, -2))


TYPICAL = {
    "temperature": (words(215, 1, 0, 7), "uint16", "ABCD", 215),
    "below zero": (words(0xFFF6, 1, 1, 1), "int16", "ABCD", -10),
    "float": (struct.pack(">f", 21.5), "float32", "ABCD", 21.5),
    "float, words swapped": (swapped(struct.pack(">f", 7.25)), "float32", "CDAB", 7.25),
    "float, bytes swapped": (
        bytes(struct.pack(">f", 49.98)[place ^ 1] for place in range(4)),
        "float32",
        "BADC",
        49.98,
    ),
    "float, little": (struct.pack("<f", -3.5), "float32", "DCBA", -3.5),
    "double": (struct.pack(">d", 231.7), "float64", "ABCD", 231.7),
    "double, words swapped": (swapped(struct.pack(">d", 0.85)), "float64", "CDAB", 0.85),
    "counter": (words(1, 0xE240), "uint32", "ABCD", 123_456),
    "counter, words swapped": (words(0xE240, 1), "uint32", "CDAB", 123_456),
    "model": (b"XS-200 v1.4\0", "string", "ABCD", "XS-200 v1.4"),
    "model in Chinese": ("数控车床".encode("gbk"), "string", "ABCD", "数控车床"),
    "model, bytes swapped": (bytes(b"PRESSE"[place ^ 1] for place in range(6)), "string", "BADC", "PRESSE"),
}


@pytest.mark.parametrize("name", TYPICAL)
def test_the_right_decoding_is_among_the_first(name):
    data, kind, order, value = TYPICAL[name]
    found = examine(Address.parse("hr:100"), data)
    first = [decoding for decoding in found.decodings if decoding.address == "hr:100"]
    ranked = [decoding.settings for decoding in first]
    place = next(
        place for place, decoding in enumerate(first)
        if decoding.settings.startswith(f"type: {kind}") and f"order: {order}" in decoding.settings
        and "bcd" not in decoding.settings
    )  # fmt: skip
    assert place <= (1 if kind == "string" else 0), ranked[:5]
    assert first[place].value == pytest.approx(value)
    scores = [decoding.score for decoding in first]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(decoding.why for decoding in first)


def test_every_decoding_is_there():
    found = examine(Address.parse("40101"), words(0x1234, 0x5678, 0x0011, 0x0001))
    assert [word.address for word in found.words] == ["40101", "40102", "40103", "40104"]
    assert found.words[0].hex == "1234"
    assert found.words[2].bits == "0000000000010001"
    at_first = {decoding.settings for decoding in found.decodings if decoding.address == "40101"}
    for kind, orders in (("uint16", 2), ("int16", 2), ("uint32", 4), ("int32", 4), ("float32", 4),
                         ("uint64", 4), ("int64", 4), ("float64", 4)):  # fmt: skip
        assert len([row for row in at_first if row.startswith(f"type: {kind}, order")]) == orders
    assert "type: uint32, encoding: bcd, order: ABCD" in at_first
    bits = [decoding for decoding in found.decodings if decoding.settings.startswith("type: bool")]
    assert [(row.address, row.value) for row in bits] == [("40103", "bits 0, 4"), ("40104", "bits 0")]


def test_nothing_is_not_taken_for_something():
    found = examine(Address.parse("hr:0"), bytes(8))
    assert max(decoding.score for decoding in found.decodings) < 0.4
    found = examine(Address.parse("hr:0"), b"\xff" * 8)
    assert all(decoding.score < 0.7 for decoding in found.decodings)


def test_the_doctor_at_a_device(run, kit, anywhere):
    async def work():
        async with anywhere as sim:
            unit = sim.unit(1)
            unit.set(kit.tag("hr:100", "float32", order="CDAB"), 7.25)
            unit.coils[5:8] = [True, False, True]
            unit.refuse("hr", 200, 200)
            connection, device = kit.connection(sim), kit.device()
            found = await doctor(connection, device, "hr:100", 2)
            assert found.decodings[0].settings == "type: float32, order: CDAB"
            found = await doctor(connection, device, "co:5", 3)
            assert [(row.address, row.value) for row in found.decodings] == [
                ("co:5", True),
                ("co:6", False),
                ("co:7", True),
            ]
            assert [word.number for word in found.words] == [1, 0, 1]
            with pytest.raises(TagFault, match=r"hr:199.*exception 2"):
                await doctor(connection, device, "hr:199", 4)
            for address, count in (("hr:0", 126), ("hr:65535", 2), ("hr:0.1", 1), ("hr:0", 0)):
                with pytest.raises(ConfigFault, match="at most 125"):
                    await doctor(connection, device, address, count)
            with pytest.raises(ConfigFault, match="an address such as"):
                await doctor(connection, device, "D100", 1)

    run(work)
