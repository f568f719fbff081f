"""The simulator: it stands where a gateway looks, holds what it is given, and misbehaves when told to."""

import asyncio

import pytest

from adapters.opcua import adapter
from adapters.opcua.simulator import Simulator, at_once
from adapters.opcua.tests.conftest import until
from gateway.sdk import DataType, Quality
from gateway.testing.ports import free_port

VALUES = {
    "bool": True, "int8": -128, "uint8": 255, "int16": -32768, "uint16": 65535, "int32": -(2**31), "uint32": 2**32 - 1,
    "int64": -(2**63), "uint64": 2**64 - 1, "float32": -6.5, "float64": 1e300, "string": "水Boy", "bytes": b"\x00\xff",
}  # fmt: skip


def test_every_type_at_every_kind_of_address(run, kit):
    async def work():
        sim = Simulator.of(kit.connection(f"opc.tcp://127.0.0.1:{free_port()}"))
        tags = [kit.tag(kind, kind, f"ns=2;s={kind}") for kind in VALUES]
        tags += [
            kit.tag("guid", "int32", "nsu=urn:a;g=72962b91-fa75-4ae6-8d28-b404dc7daf63"),
            kit.tag("number", "int32", "nsu=urn:b;i=7"),
            kit.tag("path", "int32", "/Objects/nsu=urn:a;Press/3:Oil"),
            kit.tag("beside", "int32", "/Objects/nsu=urn:a;Press/3:Water"),
        ]
        device = sim.device(kit.device())
        for tag in tags[:-1]:
            device.set(tag, VALUES.get(tag.name, 5))
        async with sim:
            device.set(tags[-1], 5)
            opcua = adapter(kit.connection(sim.url, delivery="poll"))
            async with opcua.open() as session:
                found = await kit.poll(session, opcua.plan(kit.device(), tags))
            assert found == VALUES | {"guid": 5, "number": 5, "path": 5, "beside": 5}
            nodes = {node.path: node async for node in opcua.browse(kit.device(root="/Objects/nsu=urn:a;Press"))}
            assert {path.rpartition("/")[2] for path in nodes} == {"Oil", "Water"}
            assert {node.type for node in nodes.values()} == {DataType.INT32}

    run(work)


def test_what_does_not_fit(run, kit, sim):
    async def work():
        async with sim:
            device = sim.device(kit.device())
            for tag, value in (
                (kit.tag("a", "uint8", "ns=2;s=a"), 256),
                (kit.tag("b", "string", "ns=2;s=b"), 5),
                (kit.tag("c", "int32", "ns=2;s=c", index="2"), 5),
            ):
                with pytest.raises(ValueError, match=r"fit|is string|no arrays"):
                    device.set(tag, value)
            device.refuse(kit.tag("never", address="ns=2;s=never"))

    run(work)


def test_a_port_that_is_taken(run):
    async def work():
        async with Simulator() as first:
            with pytest.raises(OSError, match="in use"):
                async with Simulator(port=first.port):
                    raise AssertionError

    run(work)


def test_silence_and_passwords(run, kit):
    async def work():
        async with Simulator(user="operator", password="secret") as sim:
            device = sim.device(kit.device())
            good = kit.connection(sim.url, user="operator", password="secret", login_in_clear=True, timeout="300ms")
            assert (await adapter(good).probe(kit.device())).outcome == "ok"
            wrong = kit.connection(sim.url, user="operator", password="wrong", login_in_clear=True)
            assert (await adapter(wrong).probe(kit.device())).outcome == "auth"
            device.silent = True
            assert device.silent
            assert (await adapter(good).probe(kit.device())).outcome == "timeout"
            device.silent = False
            assert (await adapter(good).probe(kit.device())).outcome == "ok"

    run(work)


def test_a_status_and_a_value_that_goes(run, kit, sim, made):
    async def work():
        async with sim:
            device, tag = sim.device(kit.device()), kit.tag("a", address="ns=2;s=a")
            device.set(tag, 1.5, status=0x40900000)
            opcua = made(sim)
            feed = kit.feed(opcua, [tag])
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("a") == 1.5)
                assert feed.quality("a") is Quality.SENSOR_UNCERTAIN
                device.refuse(tag)
                await until(lambda: feed.quality("a") is Quality.ADDRESS_REFUSED)

    run(work)


def test_work_that_would_have_to_wait(run):
    async def work():
        with pytest.raises(RuntimeError, match="had to wait"):
            at_once(asyncio.sleep(1))

    run(work)
