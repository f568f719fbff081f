"""An adapter runs with the version of the sdk that it was written for, and is told so before it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.faults import ConfigFault
from gateway.sdk import VERSION
from gateway.sdk.manifest import Manifest
from gateway.sdk.version import suits

GOOD = """
id = "x"
title = "X"
title_zh = "X"
spec = "X 1"
capabilities = ["read"]
transports = ["tcp"]
tier = "bronze"
owner = "us"
simulator = "no_such_module:Simulator"
"""


@pytest.mark.parametrize(
    ("wanted", "version", "fits"),
    [
        ("1", "1.0", True), ("1.0", "1.0", True), ("1.2", "1.3", True), ("1.3", "1.3", True), ("1.4", "1.3", False),
        ("2", "1.3", False), ("1", "2.0", False), ("1.10", "1.9", False), ("1.9", "1.10", True),
    ],
)  # fmt: skip
def test_what_fits(wanted: str, version: str, fits: bool) -> None:
    assert suits(wanted, version) is fits


@pytest.mark.parametrize("sdk", ['"2"', '"1.999"', "2"])
def test_another_version_is_refused_before_anything_is_imported(tmp_path: Path, sdk: str) -> None:
    (tmp_path / "adapter.toml").write_text(f"{GOOD}sdk = {sdk}\n", "utf-8")
    manifest = Manifest.read(tmp_path / "adapter.toml", "no_such_module")
    for load in (manifest.load, manifest.load_simulator):
        with pytest.raises(ConfigFault, match=f"this gateway has {VERSION}") as raised:
            load()
        assert raised.value.code == "sdk_unsuitable"


@pytest.mark.parametrize("sdk", ['"one"', '""', '"1.2.3"', '"-1"'])
def test_what_is_no_version(tmp_path: Path, sdk: str) -> None:
    (tmp_path / "adapter.toml").write_text(f"{GOOD}sdk = {sdk}\n", "utf-8")
    with pytest.raises(ConfigFault, match="is no version") as raised:
        Manifest.read(tmp_path / "adapter.toml", "no_such_module").load()
    assert raised.value.code == "manifest_invalid"


def test_whoever_says_nothing_means_the_first(tmp_path: Path) -> None:
    (tmp_path / "adapter.toml").write_text(GOOD, "utf-8")
    assert Manifest.read(tmp_path / "adapter.toml", "x").sdk == "1"
    assert suits("1")
