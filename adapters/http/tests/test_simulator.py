"""The simulator, asked by the adapter: every way in which it can misbehave, and documents of each format."""

import asyncio
from contextlib import suppress

import pytest

from adapters.http.simulator import Simulator
from adapters.http.tests.test_asking import read
from gateway.sdk import AuthFault, Busy, ConfigFault, Quality
from gateway.testing.ports import free_port


@pytest.mark.parametrize(
    ("form", "addresses"),
    [
        ("xml", ["/m/axis[2]/@pos", "/m/axis[2]", "/m/n", "/m/axis[2]/v[3]/x"]),
        ("json", ["$.a[2].b", "$.a[0]", "$['c d']", "$.e.f"]),
    ],
)
def test_documents_hold_what_was_set(run, kit, form, addresses):
    async def work():
        device = kit.device(format=form)
        tags = [kit.tag(f"t{place}", "int16", address=address) for place, address in enumerate(addresses)]
        async with Simulator() as plant:
            machine = plant.device(device)
            for place, tag in enumerate(tags):
                machine.set(tag, place - 1)
            made = kit.adapter(plant.port)
            plan = made.plan(device, tags)
            async with made.open() as session:
                assert (await read(session, plan, 4)).values == [-1, 0, 1, 2]
                machine.refuse(tags[2])
                assert (await read(session, plan, 4)).failures == {2: Quality.ADDRESS_REFUSED}

    run(work)


def test_booleans_in_xml_and_the_time(run, kit):
    async def work():
        device = kit.device(format="xml", time={"path": "/m/@at", "format": "s"})
        tag = kit.tag("on", "bool", address="/m/on")
        async with Simulator() as plant:
            machine = plant.device(device)
            machine.set(tag, True)
            machine.time = 1_764_000_000
            made = kit.adapter(plant.port)
            async with made.open() as session:
                out = await read(session, made.plan(device, [tag]), 1)
        assert (out.values, out.times) == ([True], {0: 1_764_000_000 * 10**9})

    run(work)


def test_statuses_and_strangers(run, kit):
    async def work():
        device, tag = kit.device(), kit.tag("a")
        async with Simulator(headers=(("X-Key", "k"),)) as plant:
            machine = plant.device(device)
            machine.status, machine.fields = 429, ("Retry-After: 3",)
            made = kit.adapter(plant.port, headers={"X-Key": "k"})
            async with made.open() as session:
                with pytest.raises(Busy) as caught:
                    await read(session, made.plan(device, [tag]), 1)
                assert caught.value.wait == 3.0
                elsewhere = made.plan(kit.device("/elsewhere"), [tag])
                assert (await read(session, elsewhere, 1)).failures == {0: Quality.ADDRESS_REFUSED}
            assert (await made.probe(kit.device("/elsewhere"))).detail.endswith("nothing at this path (404)")
            stranger = kit.adapter(plant.port)
            async with stranger.open() as session:
                with pytest.raises(AuthFault):
                    await read(session, stranger.plan(device, [tag]), 1)

    run(work)


def test_machines_that_post(run, kit):
    async def work():
        made = kit.adapter(free_port(), listen=True, token="s3cret")
        device, tag = kit.device(), kit.tag("a", "int16")
        feed = kit.Recorder("m", device, [tag])
        async with made.open() as session, Simulator.of(made.connection) as machines:
            task = asyncio.create_task(session.subscribe(kit.Feeds(feed)))
            machines.device(device).set(tag, 7)
            while not machines.confirmed:
                await asyncio.sleep(0.02)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert feed.samples[0][0] == {"a": 7}

    run(work)


def test_what_is_not_simulated(kit):
    with pytest.raises(ConfigFault) as caught:
        Simulator.of(kit.adapter(1, tls={}).connection)
    assert caught.value.code == "no_simulator"
    with pytest.raises(ValueError, match="holds no inf"):
        Simulator().device(kit.device()).set(kit.tag("a"), float("inf"))
