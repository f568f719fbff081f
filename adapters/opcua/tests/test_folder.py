"""What the folder promises: manifest, quality scale, no policy of its own, a README that tells today's settings."""

import ast
import re
import subprocess
import sys
import types
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest
import yaml

import adapters.opcua as package
from adapters.opcua import adapter, models
from adapters.opcua.config import DEFAULT_PORT, OpcUaConnection, OpcUaDevice, OpcUaTag
from adapters.opcua.session import OpcUaSession
from gateway.config.base import ConnectionConfig, DeviceConfig, TagConfig
from gateway.config.fields import Deadband, format_duration
from gateway.sdk import Browses, Probes, Reads, ReadsHistory, Subscribes, Writes
from gateway.sdk.manifest import manifests

FOLDER = Path(package.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
PURE = {"address", "codec", "columns", "plan", "services", "spread", "status", "subscription", "values"}


def test_the_manifest_tells_the_truth(kit):
    manifest = manifests()["opcua"]
    assert manifest.default_port == DEFAULT_PORT
    made = adapter(kit.connection())
    found = {
        "read": issubclass(OpcUaSession, Reads), "write": issubclass(OpcUaSession, Writes),
        "subscribe": issubclass(OpcUaSession, Subscribes), "read_history": issubclass(OpcUaSession, ReadsHistory),
        "probe": isinstance(made, Probes), "browse": isinstance(made, Browses), "trust": hasattr(package, "trust"),
    }  # fmt: skip
    assert set(manifest.capabilities) == {name for name, can in found.items() if can}
    assert manifest.load() is package
    assert manifest.load_simulator().__name__ == "Simulator"


def test_the_quality_scale():
    scale = yaml.safe_load((FOLDER / "quality.yaml").read_text())
    for tier in ("bronze", "silver"):
        assert all(re.fullmatch(r"done|exempt: .{20,}", state) for state in scale[tier].values()), tier


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.stem not in ("simulator", "conformance")], ids=lambda path: path.stem
)
def test_no_policy(path):
    tops = {name.partition(".")[0] for name in imported(path)}
    assert not tops & {"time", "random", "threading", "structlog", "logging"}
    assert not re.search(r"\b(create_task|ensure_future|sleep|to_thread|call_later|utcnow)\b", path.read_text())


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_pure(name):
    tops = {top.partition(".")[0] for top in imported(FOLDER / f"{name}.py")}
    assert not tops & {"asyncio", "socket", "time", "random", "logging", "asyncua", "cryptography"}


def test_files_are_short():
    assert {path.name for path in MODULES if len(path.read_text().splitlines()) > 400} == set()


def test_asyncua_is_imported_only_when_it_is_used():
    code = (
        "import sys, gateway.runtime.making, gateway.cli.app; from gateway.sdk.manifest import manifests; manifests(); "
    )
    code += "assert 'asyncua' not in sys.modules and 'adapters.opcua' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parents[1])


def shown(annotation):
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if get_origin(annotation) is types.UnionType or type(None) in get_args(annotation):
        return " or ".join(dict.fromkeys(shown(part) for part in get_args(annotation) if part is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    names = {
        int: "whole number",
        str: "text",
        bool: "true, false",
        float: "duration",
        Path: "path",
        Deadband: "deadband",
    }
    return names.get(annotation, {"SecretStr": "secret"}.get(annotation.__name__, "address"))


def table(model, base):
    lines = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in base.model_fields and field.default == base.model_fields[name].default:
            continue
        default = field.default
        if field.is_required():
            text = "required"
        elif isinstance(default, float):
            text = f"`{format_duration(default)}`"
        else:
            plain = str(default).lower() if isinstance(default, bool) else default
            text = "" if default in (None, "", Deadband()) else f"`{plain}`"
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        values = shown(field.annotation)
        if values == "whole number" and "Ge" in bounds and "Le" in bounds:
            values = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
        lines.append(f"| `{name}` | {values} | {text} | {field.description} |")
    return "\n".join(lines)


TABLES = {
    "connection": (OpcUaConnection, ConnectionConfig),
    "device": (OpcUaDevice, DeviceConfig),
    "tag": (OpcUaTag, TagConfig),
}


def fresh(text):
    for name, (model, base) in TABLES.items():
        begin = f"<!-- settings: {name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table(model, base)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def test_the_readme_tells_todays_settings():
    text = (FOLDER / "README.md").read_text()
    assert fresh(text) == text, "write the output of fresh() back to README.md"


def test_the_quick_start_is_good():
    text = (FOLDER / "README.md").read_text()
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    connection = models.connection.model_validate(config["connections"]["server"])
    device = dict(config["devices"]["press-1"])
    tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
    plan = adapter(connection).plan(models.device.model_validate(device), tags)
    assert plan.push is not None


def test_every_setting_is_explained():
    for model, _ in TABLES.values():
        for name, field in model.model_fields.items():
            assert field.description, name
