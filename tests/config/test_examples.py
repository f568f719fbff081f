"""Every example configuration loads with the adapters that are installed, can be run, and fits the JSON Schema."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.collect.forecast import Verdict, forecast
from gateway.config.loader import load
from gateway.sdk.manifest import adapter_models, manifests

CONFIGS = Path(__file__).parents[2] / "configs"

pytestmark = pytest.mark.skipif(
    "modbus" not in manifests() or find_spec("gateway.sinks") is None, reason="the examples use the adapter modbus"
)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_loads_and_its_lines_can_carry_it(path, monkeypatch):
    for name in re.findall(r"\$\{env:(\w+)\}", path.read_text("utf-8")):
        monkeypatch.setenv(name, "example")
    configuration = load(path, adapter_models, import_module("gateway.sinks").sink_model)
    assert configuration.devices
    assert configuration.lanes
    found = forecast(configuration)
    assert found.refusals == ()
    assert {connection.verdict for connection in found.connections} == {Verdict.OK}
    assert sum(connection.tags for connection in found.connections) == sum(
        len(device.tags) for device in configuration.devices.values()
    )


def test_there_are_examples():
    assert len(list(CONFIGS.glob("*.yaml"))) >= 4
