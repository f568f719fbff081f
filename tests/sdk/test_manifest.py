"""Adapters are found without being imported, and failures name what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.faults import ConfigFault, Fault
from gateway.model.quality import Quality
from gateway.model.types import DataType
from gateway.sdk.adapter import Readings, Request
from gateway.sdk.manifest import Installed, Manifest, adapter_models
from gateway.wire.registers import Field, RegisterTable

GOOD = """
id = "x"
title = "X"
title_zh = "X"
spec = "X 1"
capabilities = ["read"]
transports = ["tcp"]
tier = "bronze"
owner = "us"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "adapter.toml"
    path.write_text(text, "utf-8")
    return path


def test_an_incomplete_manifest_names_the_file_and_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"adapter\.toml: tier is missing"):
        Manifest.read(write(tmp_path, GOOD.replace('tier = "bronze"', "")), "x")
    with pytest.raises(ConfigFault, match="cannot be read"):
        Manifest.read(write(tmp_path, "id = "), "x")
    with pytest.raises(ConfigFault, match="cannot be read"):
        Manifest.read(tmp_path / "none.toml", "x")


def test_a_missing_dependency_says_which_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "needy_adapter"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    manifest = Manifest.read(write(package, GOOD + 'extra = "opcua"\n'), "needy_adapter")
    with pytest.raises(ConfigFault, match=r"no_such_library: pip install 'xingsha-gateway\[opcua\]'"):
        manifest.load()
    with pytest.raises(ModuleNotFoundError):
        Manifest.read(write(package, GOOD), "needy_adapter").load()
    with pytest.raises(ConfigFault, match="no simulator"):
        manifest.load_simulator()


def test_an_unknown_adapter_lists_the_known() -> None:
    with pytest.raises(ConfigFault, match=r"no adapter 'telepathy'; installed: .*modbus"):
        adapter_models("telepathy")


def test_one_that_is_installed_is_found_and_replaces_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, identity in (("strange_adapter", "strange"), ("other_modbus", "modbus")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        write(tmp_path / package, GOOD.replace('id = "x"', f'id = "{identity}"'))
    info = tmp_path / "strange-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: strange\nVersion: 1\n")
    points = "strange = strange_adapter\nmodbus = other_modbus\ngone = no_such_package\n"
    (info / "entry_points.txt").write_text(f"[xingsha.adapters]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Installed()
    assert (found["modbus"].package, found["strange"].package) == ("adapters.modbus", "strange_adapter")
    assert "gone" not in found
    assert list(found) == sorted(found)
    assert len(found) >= 2


def test_readings_keep_values_and_forget_failures() -> None:
    readings = Readings(3, None)
    readings.set(0, 5, time=9)
    readings.set(1, None, quality=Quality.SENSOR_FAILURE)
    readings.fail(Request((2,)), Fault("x", quality=Quality.BUSY))
    assert readings.failures == {1: Quality.SENSOR_FAILURE, 2: Quality.BUSY}
    assert readings.times == {0: 9}
    readings.clear()
    assert (readings.failures, readings.times, readings.values[0]) == ({}, {}, 5)
    table = RegisterTable(4, [Field(DataType.UINT16, (1, 0))])
    assert len(Readings(1, table).image or b"") == 5
