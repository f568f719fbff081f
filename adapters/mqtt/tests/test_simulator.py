"""Every type of value, from the simulator through the broker into a feed, in each format; what a machine cannot say."""

import math
from datetime import UTC, datetime

import pytest

from adapters.mqtt.simulated import Broker
from adapters.mqtt.simulator import Machine, Simulator, put
from adapters.mqtt.tests.conftest import until
from gateway.model.types import DTYPES, DataType
from gateway.sdk import ConfigFault

TEXTS = ["", "x", " padded ", "温度 °C", "a" * 250, '"quoted" \\ and\nbroken']


def matrix(kind):
    """Smallest, largest, negative, zero, fractions; for text: empty, padded, long, not ASCII."""
    if kind is DataType.BOOL:
        return [True, False]
    if kind is DataType.STRING:
        return TEXTS
    if kind is DataType.BYTES:
        return [b"\x00\xff", bytes(range(256))]
    if kind in (DataType.FLOAT32, DataType.FLOAT64):
        largest = 3.4028234663852886e38 if kind is DataType.FLOAT32 else 1.7976931348623157e308
        return [largest, -largest, 0.0, 0.15625, -1e-30 if kind is DataType.FLOAT64 else -(2.0**-100), 1207]
    bits = 8 * DTYPES[kind].itemsize
    if kind.value.startswith("u"):
        return [0, 1, 2**bits - 1]
    return [-(2 ** (bits - 1)), -1, 0, 2 ** (bits - 1) - 1]


FORMATS = {"json": {}, "text": {"format": "text"}, "sparkplug": {"group": "g", "node": "n", "device": "d"}}


@pytest.mark.parametrize(
    ("form", "kind"),
    [(form, kind) for form in FORMATS for kind in DataType if form != "json" or kind is not DataType.BYTES],
)
def test_value_matrix(run, kit, form, kind):
    async def work():
        async with Simulator() as plant:
            device = kit.device(**FORMATS[form])
            address = {"json": "$.a.b[1]", "text": "$", "sparkplug": "A/B"}[form]
            tag = kit.tag("v", kind.value, address=address)
            machine = plant.device(device)
            machine.set(tag, matrix(kind)[-1])
            feed = kit.feed(device, tag)
            async with kit.subscribed(kit.connection(plant.port), kit.feeds(feed)):
                await until(lambda: feed.values)
                for value in matrix(kind):
                    before = len(feed.samples)
                    machine.set(tag, value)
                    await until(lambda: len(feed.samples) > before)
                    values, bad, *_ = feed.samples[-1]
                    assert not bad
                    assert values["v"] == value
                    assert isinstance(values["v"], str | bytes) == isinstance(value, str | bytes)
                machine.refuse(tag)
                await until(lambda: feed.last["v"] in ("not_available", "undecodable", "", b""))

    run(work)


def test_not_a_number(run, kit):
    """JSON has none; Sparkplug's is what the machine measured: no number."""

    async def work():
        async with Simulator() as plant:
            tag = kit.tag("v")
            with pytest.raises(ValueError):
                plant.device(kit.device()).set(tag, math.nan)
            device = kit.device(group="g", node="n")
            metric = kit.tag("v", address="V")
            feed = kit.feed(device, metric)
            plant.device(device).set(metric, math.nan)
            async with kit.subscribed(kit.connection(plant.port), kit.feeds(feed)):
                await until(lambda: feed.values)
                assert math.isnan(feed.last["v"])

    run(work)


def test_what_does_not_fit_is_refused(kit):
    machine = Machine(kit.device(), Broker())
    for kind, value in (
        ("int8", 128),
        ("uint16", -1),
        ("string", 5),
        ("int32", "5"),
        ("bytes", "x"),
        ("float64", math.inf),
    ):
        with pytest.raises(ValueError):
            machine.set(kit.tag("v", kind, address="$"), value)


def test_scaled_values_are_what_a_gateway_makes_of_them(kit):
    machine = Machine(kit.device(), Broker())
    tag = kit.tag("v", "int16", scale=0.1, offset=-40)
    machine.set(tag, 21.5)
    assert machine._values["v"] == 615


def test_times_and_silence(kit):
    broker = Broker()
    told = []
    broker.publish = lambda topic, payload, **_: told.append((topic, payload))
    machine = Machine(kit.device(time={"path": "$.at", "format": "iso8601"}, batch="$.s"), broker)
    machine.time = datetime(2026, 1, 2, tzinfo=UTC)
    machine.set(kit.tag("v"), 1)
    assert told == [("m/1", b'{"s": [{"v": 1.0, "at": "2026-01-02T00:00:00+00:00"}]}')]
    machine.silent = True
    machine.publish()
    assert len(told) == 1


def test_documents_are_made_as_needed():
    assert put(None, (), 5) == 5
    assert put(put(None, ("a", 1), 5), ("a", 0, "b"), 6) == {"a": [{"b": 6}, 5]}
    assert put(3, ("a",), 5) == {"a": 5}


def test_where_it_stands(kit):
    plant = Simulator.of(kit.connection(2883))
    assert (plant.broker.host, plant.port) == ("127.0.0.1", 2883)
    device = kit.device()
    assert plant.device(device) is plant.device(device)
    with pytest.raises(ConfigFault) as caught:
        Simulator.of(kit.connection(tls={}))
    assert caught.value.code == "no_simulator"


def test_a_node_that_is_away_hears_nothing(run, kit):
    async def work():
        async with Simulator() as plant:
            device = kit.device(group="g", node="n", device="d")
            machine = plant.device(device)
            machine.silent = True
            machine.set(kit.tag("v", address="V"), 1.0)
            machine.silent = False
            machine.die()
            machine.node.die()
            machine.node.hear("spBv1.0/g/NCMD/n", b"")
            machine.node.hear("spBv1.0/g/NCMD/other", b"")
            assert machine.node.rebirths == 0

    run(work)
