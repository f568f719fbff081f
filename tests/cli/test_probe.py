"""`xingsha probe`, run against simulated devices in a thread of their own."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import probe
from gateway.model.faults import ConfigFault, TagFault
from gateway.sdk.manifest import manifests

CONFIG = """
gateway: {{id: line-1}}
connections:
  plc: {{adapter: modbus, host: 127.0.0.1, port: {port}, timeout: 300ms}}
devices:
  press-1: {{connection: plc, unit: 1, tags: [{{name: t, address: "hr:100", type: int16}}]}}
  press-2: {{connection: plc, unit: 2, tags: [{{name: t, address: "hr:100", type: int16}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1}}}}
"""


@pytest.fixture
def plant():
    """A simulator that serves while the command runs."""
    ready, end, found = threading.Event(), None, {}

    async def serve():
        nonlocal end
        async with manifests()["modbus"].load_simulator()() as sim:
            unit = sim.unit(1)
            unit.holding[100:104] = [0, 0x41AC, 215, 0x5858]
            unit.holding[200] = 7
            unit.refuse("hr", 300, 300)
            found.update(sim=sim, loop=asyncio.get_running_loop())
            end = asyncio.Event()
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(5)
    yield found["sim"]
    found["loop"].call_soon_threadsafe(end.set)
    thread.join(5)


MODBUS = ("--adapter", "modbus")


def command(*words, fails=None):
    app = typer.Typer()
    probe.register(app)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["probe", *map(str, words)], env={"COLUMNS": "160"})
    if fails is not None:
        assert isinstance(result.exception, fails), result.exception
        return str(result.exception)
    assert result.exit_code in (0, 1), (result.output, result.exception)
    return result


def test_without_a_configuration(plant):
    result = command(*MODBUS, "--host", "127.0.0.1", "--port", plant.port, "--unit", 1)
    assert result.exit_code == 0
    assert "ok: unit 1 speaks Modbus" in result.output
    assert "vendor: Xingsha" in result.output
    said = json.loads(command(*MODBUS, "--host", "127.0.0.1", "--port", plant.port, "--json").output)
    assert said["outcome"] == "ok"
    assert said["identity"]["revision"] == "1.0"
    gone = command(*MODBUS, "--host", "127.0.0.1", "--port", plant.port, "--unit", 9)
    assert gone.exit_code == 1
    assert gone.output.startswith("timeout: ")


def test_the_address_doctor(plant):
    at = (*MODBUS, "--host", "127.0.0.1", "--port", plant.port)
    result = command(*at, "--address", "hr:100", "--count", 4)
    assert result.exit_code == 0
    assert "41AC" in result.output
    first = next(line for line in result.output.splitlines() if "order:" in line)
    assert "float32, order: CDAB" in first
    assert "21.5" in first
    shown = result.output.count("order:")
    assert command(*at, "--address", "hr:100", "--all").output.count("order:") > 4 * shown
    said = json.loads(command(*at, "--address", "hr:100", "--json").output)
    assert [word["hex"] for word in said["words"]] == ["0000", "41AC", "00D7", "5858"]
    assert said["decodings"][0]["value"] == 21.5
    assert "uint16" in command(*at, "--address", "hr:200", "--count", 1).output
    assert "exception 2" in command(*at, "--address", "hr:300", "--count", 1, fails=TagFault)
    assert "an address such as" in command(*at, "--address", "D100", fails=ConfigFault)


def test_wrong_options(plant):
    at = (*MODBUS, "--host", "127.0.0.1")
    assert "expected KEY=VALUE" in command(*at, "-o", "parity", fails=ConfigFault)
    assert "--option colour: adapter modbus has adapter, " in command(*at, "-o", "colour=red", fails=ConfigFault)
    assert "--option" in command(*at, "-o", "parity=[", fails=ConfigFault)
    assert "unit" in command(*at, "--unit", 300, fails=ConfigFault)
    assert "needs host" in command(*MODBUS, fails=ConfigFault)
    assert "say which adapter with --adapter: http, mc, modbus, " in command("--host", "127.0.0.1", fails=ConfigFault)
    assert "needs serial_port" in command(*MODBUS, "-o", "transport=rtu", fails=ConfigFault)
    assert "--adapter" in command(*at, "--adapter", "unknown", fails=ConfigFault)
    other = command(*at, "--port", plant.port, "-o", "timeout=200ms", "-o", "base=1", "--unit", 1)
    assert other.exit_code == 0


def test_values_that_json_cannot_hold():
    assert probe._plain(float("nan")) == "nan"
    assert probe._plain(b"\1\2") == "01 02"
    assert probe._plain(1.5) == 1.5


class Poor:
    id = "poor"

    def load(self):
        return type("Package", (), {"adapter": staticmethod(lambda connection: object())})


def test_adapters_that_can_do_less():
    with pytest.raises(ConfigFault, match="poor cannot probe"):
        asyncio.run(probe._probe(Poor(), None, None))
    with pytest.raises(ConfigFault, match="poor has no address doctor"):
        asyncio.run(probe._examine(Poor(), None, None, "hr:1", 1))


def test_with_a_configuration(plant, tmp_path: Path):
    pytest.importorskip("gateway.runtime.making")
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(port=plant.port))
    assert command(config, "--device", "press-1").output.startswith("ok: unit 1")
    gone = command(config, "-d", "press-2")
    assert gone.exit_code == 1
    assert gone.output.startswith("timeout: a gateway answers for unit 2")
    assert "float32" in command(config, "-d", "press-1", "--address", "hr:100").output
    assert "there are: press-1, press-2" in command(config, "-d", "press-3", fails=ConfigFault)
    assert "say which device" in command(config, fails=ConfigFault)
    config.write_text(CONFIG.format(port=plant.port).replace("  press-2:", "  #"))
    assert command(config).output.startswith("ok: unit 1")
