"""`xingsha sim` and `xingsha read` against each other: what is simulated is what is read, through real sockets."""

import json
import math
import signal
import socket

import pytest

from gateway.cli import sim
from gateway.config.base import TagConfig
from gateway.model.faults import ConfigFault
from gateway.model.types import DataType
from gateway.sdk.manifest import manifests
from gateway.sdk.simulator import Simulator
from gateway.testing.ports import free_ports

CONFIG = """
gateway: {{id: test}}
connections:
  hall: {{adapter: modbus, host: 127.0.0.1, port: {hall}}}
  yard: {{adapter: modbus, transport: rtu_over_tcp, host: 127.0.0.1, port: {yard}, timeout: 300ms}}
devices:
  press:
    connection: hall
    tags:
      - {{name: force, type: float32, address: "hr:0", unit: kN}}
      - {{name: oil, type: int16, address: "hr:2", scale: 0.1, unit: °C, range: [20, 80]}}
      - {{name: count, type: uint64, address: "hr:4"}}
      - {{name: on, type: bool, address: "co:0"}}
      - {{name: die, type: string, address: "hr:10", length: 8}}
  pump:
    connection: yard
    unit: 3
    tags:
      - {{name: flow, type: uint16, address: "ir:0"}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {hall}}}}}
"""
PROGRAM = "from gateway.cli import main; main()"


@pytest.fixture
def read(xingsha):
    """A function that reads a plant once; gives the exit code and the rows by device and tag."""

    def once(*arguments):
        result = xingsha("read", *arguments, "--json")
        return result.returncode, {f"{row['device']}.{row['tag']}": row for row in json.loads(result.stdout)}

    return once


@pytest.fixture
def config(tmp_path):
    hall, yard = free_ports(2)
    path = tmp_path / "plant.yaml"
    path.write_text(CONFIG.format(hall=hall, yard=yard), "utf-8")
    return path


@pytest.fixture
def simulated(config, spawn):
    """Start a simulation with options; gives the process and its first lines, once it serves."""

    def begin(*options, lines=2):
        process = spawn("-c", PROGRAM, "sim", config, *options)
        return process, [process.stdout.readline() for _ in range(lines)]

    return begin


def test_what_is_set_is_read(config, simulated, read):
    process, lines = simulated(
        "-s", "press.force=-2.5", "-s", "press.oil=21.5", "-s", "press.count=18446744073709551615",
        "-s", "press.on=true", "-s", "press.die=AX-7", "-s", "pump.flow=500",
    )  # fmt: skip
    assert lines[0].startswith("hall: modbus at tcp://127.0.0.1:")
    assert lines[0].endswith(": press\n")
    code, rows = read(config)
    assert code == 0
    assert {name: row["value"] for name, row in rows.items()} == {
        "press.force": -2.5, "press.oil": 21.5, "press.count": 2**64 - 1, "press.on": True, "press.die": "AX-7",
        "pump.flow": 500,
    }  # fmt: skip
    assert rows["press.oil"]["unit"] == "°C"
    assert {row["quality"] for row in rows.values()} == {"good"}
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_values_move_by_themselves_within_their_range(config, simulated, read):
    simulated("--every", "20ms")
    oil = set()
    for _ in range(3):
        code, rows = read(config, "-d", "press")
        assert code == 0
        oil.add(rows["press.oil"]["value"])
        assert rows["press.die"]["value"] == "sim"
    assert all(20 <= value <= 80 for value in oil)
    assert len(oil) > 1


def test_a_device_that_is_away_is_read_with_its_reason(config, simulated, read):
    simulated("-d", "press", lines=1)
    code, rows = read(config)
    assert code == 1, "a value without a value is a failure for scripts"
    assert rows["press.force"]["quality"] == "good"
    assert rows["pump.flow"] | {"time": ""} == {
        "device": "pump", "tag": "flow", "value": None, "unit": "", "quality": "not_connected", "time": "",
    }  # fmt: skip


def test_read_as_a_table_of_chosen_tags(config, simulated, xingsha):
    simulated("-s", "press.oil=21.5")
    result = xingsha("read", config, "--device", "press", "--tag", "oil", "--tag", "die")
    assert result.returncode == 0
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["device", "tag", "value", "unit", "quality"]
    assert sorted(rows) == [["press", "die", "sim", "good"], ["press", "oil", "21.5", "°C", "good"]]


def test_it_ends_by_itself(config, xingsha):
    result = xingsha("sim", config, "--for", "300ms")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sim", "-d", "pres"), "error [device_unknown]: no device 'pres'"),
        (("sim", "-s", "press.oill=1"), "error [tag_unknown]: --set press.oill=1: no tag 'press.oill'"),
        (("sim", "-s", "press.oil=warm"), "error [value_invalid]: --set …=warm: expected a int16"),
        (("sim", "-s", "press.oil=99999"), "error [value_invalid]: press.oil: 99999"),
        (("read", "-d", "pres"), "error [device_unknown]"),
        (("read", "-t", "oill"), "error [tag_unknown]: no tag 'oill' in the devices chosen"),
    ],
)
def test_what_does_not_exist_or_fit_is_told(config, arguments, said, xingsha):
    result = xingsha(arguments[0], config, *arguments[1:])
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_told(config, xingsha):
    port = int(config.read_text().partition("port: ")[2].partition("}")[0])
    with socket.create_server(("127.0.0.1", port)):
        result = xingsha("sim", config, "--for", "10s")
    assert result.returncode == 1
    assert f"error [port_in_use]: connections.hall: cannot simulate tcp://127.0.0.1:{port}" in result.stderr


def test_simulators_are_what_the_command_needs():
    found = [manifest.load_simulator() for manifest in manifests().values() if manifest.simulator]
    assert found
    for simulator in found:
        for name in ("of", "device", "__aenter__", "__aexit__"):
            assert getattr(Simulator, name).__doc__
            assert callable(getattr(simulator, name)), (
                f"{simulator.__module__} has no {name}: see gateway.sdk.simulator"
            )


@pytest.mark.parametrize(
    ("text", "at", "value"),
    [
        ("sine:20..80/60s", 0.0, 50.0), ("sine:20..80/60s", 15.0, 80.0), ("ramp:-10..10/10s", 5.0, 0.0),
        ("square:0..5/2s", 0.5, 0.0), ("square:0..5/2s", 1.5, 5.0), ("42", 7.0, 42), ("-1.5", 7.0, -1.5),
    ],
)  # fmt: skip
def test_forms(text, at, value):
    assert sim.parse_wave(DataType.FLOAT64, text)(at) == pytest.approx(value)


def test_random_is_new_each_period_and_within_limits():
    wave = sim.parse_wave(DataType.FLOAT64, "random:1..2/1s")
    assert wave(0.1) == wave(0.9)
    assert len({wave(t) for t in range(20)}) == 20
    assert all(1 <= wave(t) <= 2 for t in range(20))


@pytest.mark.parametrize(
    "text", ["sine:80..20/60s", "sine:1..2/0s", "sine:1..2", "wave:1..2/1s", "sine:1..2/5", "", "x"]
)
def test_what_is_no_form(text):
    with pytest.raises(ConfigFault, match="such as sine") as caught:
        sim.parse_wave(DataType.FLOAT64, text)
    assert caught.value.code == "value_invalid"


@pytest.mark.parametrize("kind", DataType)
@pytest.mark.parametrize("scale", [1.0, 0.1, -2.0])
def test_by_itself_a_value_always_fits_its_type(kind, scale):
    numeric = kind.packed and kind is not DataType.BOOL
    tag = TagConfig(name="t", type=kind, **({"scale": scale, "offset": 5.0} if numeric else {}))
    wave = sim.by_itself("d.t", tag)
    for t in range(0, 100, 7):
        value = sim.fitting(tag, wave(float(t)))
        if numeric:
            lowest, highest = sim.limits(tag)
            assert lowest <= value <= highest
            assert math.isfinite(value)
        else:
            assert isinstance(value, bool | str | bytes)


def test_limits_follow_type_scale_and_offset():
    assert sim.limits(TagConfig(name="t", type=DataType.UINT8, scale=0.1, offset=-5)) == (-5, 20.5)
    assert sim.limits(TagConfig(name="t", type=DataType.INT8, scale=-1)) == (-127, 128)
    outside = TagConfig(name="t", type=DataType.UINT8, range=(1000, 2000))
    assert 0 <= sim.by_itself("d.t", outside)(3.0) <= 255
