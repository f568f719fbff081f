"""What the gateway reads from the served plant, through the profiles, are the machines' own engineering values."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gateway.config.loader import load
from gateway.model.faults import ConfigFault, LinkLost
from gateway.model.quality import Quality
from gateway.model.types import DataType
from gateway.runtime import read_once
from gateway.sdk.manifest import adapter_models
from gateway.sinks import sink_model
from gateway.testing.plant import Plant
from gateway.testing.plant.serve import Mishaps, served, troubled

CONFIGS = Path(__file__).parents[2] / "configs"


def configuration(name="demo.yaml"):
    return load(CONFIGS / name, adapter_models, sink_model)


def at(found, plant):
    """The configuration with the ports that the plant listens on."""
    connections = {
        name: connection.model_copy(update={"host": "127.0.0.1", "port": plant.ports[name]})
        for name, connection in found.connections.items()
    }
    return replace(found, connections=connections)


def tolerance(tag):
    """Half a step of the register, or what float32 cannot hold."""
    return abs(tag.scale) / 2 + 1e-9 if tag.type not in (DataType.FLOAT32, DataType.FLOAT64) else 1e-2


@pytest.mark.parametrize("name", ["demo.yaml", "compose.yaml"])
def test_every_tag_of_every_profile_arrives_as_the_machine_has_it(name):
    async def scene():
        found = configuration(name)
        async with served(found, seed=3, host="127.0.0.1", any_port=True) as plant:
            for _ in range(40):
                plant.refresh(2.5)
            return found, await read_once(at(found, plant))

    found, readings = asyncio.run(scene())
    twin = Plant({name: device.config.profile for name, device in found.devices.items()}, seed=3)
    twin.values()  # refreshed once when it was made
    for _ in range(40):
        twin.step(2.5)
        expected = twin.values()
    tags = {(name, tag.name): tag for name, device in found.devices.items() for tag in device.tags}
    assert len(readings) == len(tags) == 99
    for reading in readings:
        tag, wanted = tags[reading.device, reading.tag], expected[reading.device][reading.tag]
        assert reading.quality == Quality.GOOD, reading
        assert reading.unit == tag.unit
        if isinstance(wanted, bool | str):
            assert reading.value == wanted, reading
        else:
            assert reading.value == pytest.approx(wanted, abs=tolerance(tag), rel=1e-6), reading


def test_profiles_are_a_fair_mix():
    tags = [tag for device in configuration().devices.values() for tag in device.tags]
    assert {tag.type for tag in tags} >= {
        DataType.BOOL, DataType.INT16, DataType.UINT16, DataType.INT32, DataType.UINT32, DataType.INT64,
        DataType.UINT64, DataType.FLOAT32, DataType.FLOAT64, DataType.STRING,
    }  # fmt: skip
    assert {tag.address.area for tag in tags} >= {"hr", "ir", "di"}
    assert all(tag.description for tag in tags)


def test_a_silent_device_leaves_its_neighbour_alone():
    async def scene():
        found = configuration()
        async with served(found, any_port=True) as plant:
            placed = at(found, plant)
            line = {"connections": {"utilities": placed.connections["utilities"]}}
            plant.silence("compressor-1", silent=True)
            away = await read_once(replace(placed, **line), ["compressor-1", "meter-1"])
            plant.silence("compressor-1", silent=False)
            back = await read_once(replace(placed, **line), ["compressor-1", "meter-1"])
            return away, back

    away, back = asyncio.run(scene())
    assert {reading.quality for reading in away if reading.device == "compressor-1"} == {Quality.TIMEOUT}
    assert {reading.quality for reading in back} == {Quality.GOOD}
    assert {reading.quality for reading in away if reading.device == "meter-1"} == {Quality.GOOD}


def test_mishaps_come_and_go():
    mishaps = Mishaps("compressor-1", Random(1))
    edges = [(tenth, mishaps.silent) for tenth in range(6000) if mishaps.step(0.1)]
    assert [silent for _, silent in edges] == [True, False] * (len(edges) // 2) + [True] * (len(edges) % 2)
    assert 60 <= edges[0][0] <= 95
    assert 40 <= edges[1][0] - edges[0][0] <= 95
    assert 15 <= len(edges) <= 45


def test_the_one_in_trouble_shares_its_line():
    found = configuration()
    assert troubled(found) == "compressor-1"
    assert troubled(replace(found, devices={"cnc-1": found.devices["cnc-1"]})) is None


def test_the_plant_keeps_step_with_the_clock_and_fails_when_told():
    async def scene():
        found = configuration()
        async with served(found, any_port=True) as plant:
            before = {row.tag: row.value for row in await read_once(at(found, plant), ["meter-1"])}
            mishaps = Mishaps("compressor-1", Random(1))
            mishaps._left = 0.01
            running = asyncio.create_task(plant.run(mishaps))
            async with asyncio.timeout(20):
                while not mishaps.silent:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            after = {row.tag: row.value for row in await read_once(at(found, plant), ["meter-1"])}
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            return before, after

    before, after = asyncio.run(scene())
    assert after["active_power"] != before["active_power"]


def refused(found, **options):
    async def scene():
        async with served(found, **options):
            raise AssertionError("not reached")

    return scene()


def test_says_which_device_it_cannot_simulate():
    found = configuration()
    device = found.devices["cnc-1"]
    strange = replace(device, config=device.config.model_copy(update={"profile": "lathe"}))
    with pytest.raises(ConfigFault, match="device cnc-1: the plant simulates devices with the profiles press, "):
        asyncio.run(refused(replace(found, devices={"cnc-1": strange})))
    more = replace(device, tags=(*device.tags, device.tags[0].model_copy(update={"name": "coolant"})))
    with pytest.raises(ConfigFault, match="device cnc-1: the simulated cnc has no tag coolant"):
        asyncio.run(refused(replace(found, devices={"cnc-1": more})))


def test_says_which_port_is_taken():
    found = configuration()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = found.connections["cnc-1"].model_copy(update={"port": taken.getsockname()[1]})
        only = replace(found, connections={"cnc-1": busy}, devices={"cnc-1": found.devices["cnc-1"]})
        with pytest.raises(LinkLost, match=r"connection cnc-1: cannot listen on 127.0.0.1:\d+: ") as caught:
            asyncio.run(refused(only))
    assert caught.value.code == "port_in_use"


COMMAND = [sys.executable, "-m", "gateway.testing.plant"]


def test_as_a_program_it_ends_with_sigterm_and_with_its_parent():
    for how in ("signal", "parent"):
        arguments = [str(CONFIGS / "demo.yaml"), "--any-port", "--mishaps"] + ["--with-parent"] * (how == "parent")
        with subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            ports = json.loads(process.stdout.readline())
            assert set(ports) == {"presses", "utilities", "cnc-1", "cnc-2"}
            socket.create_connection(("127.0.0.1", ports["cnc-1"]), timeout=5).close()
            if how == "signal":
                process.send_signal(signal.SIGTERM)
            else:
                process.stdin.close()
            assert process.wait(20) == 0


def test_as_a_program_it_says_what_is_wrong(tmp_path):
    for text, told in (("gateway: {}\n", "gateway.id"), (None, "port_in_use")):
        path = tmp_path / "plant.yaml"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            path.write_text(
                text
                or "gateway: {id: g}\n"
                f"connections: {{c: {{adapter: modbus, host: 127.0.0.1, port: {port}}}}}\n"
                "profiles: {meter: {adapter: modbus, tags: [{name: frequency, address: hr:1, type: uint16}]}}\n"
                "devices: {m: {connection: c, profile: meter}}\n"
            )
            done = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_as_a_program_it_ends_with_ctrl_c():
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # who started the tests may have it ignored
    code = (
        f"import runpy, signal; {heard}; runpy.run_module('gateway.testing.plant', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, str(CONFIGS / "demo.yaml"), "--any-port"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
