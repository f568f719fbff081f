"""What the folder promises: manifest, quality scale, no policy of its own, a README that tells today's settings."""

import ast
import re
import types
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest
import yaml

import adapters.modbus as package
from adapters.modbus import adapter, models
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag, Tls, Transport
from gateway.sdk import ConnectionConfig, DeviceConfig, Model, Probes, TagConfig, Writes
from gateway.sdk.manifest import manifests

FOLDER = Path(package.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
BRONZE = {
    "manifest", "one-folder", "no-policy", "typed-config", "address-syntax", "sans-io-codec", "cited-vectors",
    "hostile-bytes", "value-matrix", "probe-first", "partial-truth", "deadline", "clean-close", "simulator", "readme",
}  # fmt: skip
SILVER = {
    "chaos-matrix", "stale-reply", "limits-honoured", "planner", "fault-map", "edge-logging", "reload", "time-truth",
    "safe-writes", "fairness", "coverage", "troubleshooting",
}  # fmt: skip


def test_the_manifest_tells_the_truth(kit):
    manifest = manifests()["modbus"]
    assert set(manifest.transports) == set(Transport)
    assert manifest.default_port == ModbusConnection.model_fields["port"].default
    made = adapter(models.connection(adapter="modbus", host="h"))
    from adapters.modbus.session import ModbusSession

    assert ("probe" in manifest.capabilities) is isinstance(made, Probes)
    assert ("write" in manifest.capabilities) is issubclass(ModbusSession, Writes)
    assert ("doctor" in manifest.capabilities) is hasattr(package, "doctor")
    assert manifest.load() is package


def test_the_quality_scale():
    scale = yaml.safe_load((FOLDER / "quality.yaml").read_text())
    assert set(scale["bronze"]) == BRONZE
    assert set(scale["silver"]) == SILVER
    tiers = ["bronze", "silver", "gold", "platinum"]
    for tier in tiers[: tiers.index(manifests()["modbus"].tier) + 1]:
        assert all(state == "done" or re.match(r"exempt: \w{2,}", state) for state in scale[tier].values()), tier
    for rules in scale.values():
        assert all(re.fullmatch(r"done|todo|exempt: .{10,}", state) for state in rules.values())


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.stem not in ("simulator", "simulated", "conformance")],
    ids=lambda path: path.stem,
)
def test_no_policy(path):
    tops = {name.partition(".")[0] for name in imported(path)}
    assert not tops & {"asyncio", "time", "random", "threading", "socket", "logging", "structlog", "serial"}
    assert not re.search(r"\b(create_task|sleep|to_thread|call_later)\b", path.read_text())


def test_codec_and_exchange_are_sans_io():
    for name in ("codec", "exchange", "values", "plan", "address"):
        found = {
            top
            for top in imported(FOLDER / f"{name}.py")
            if not top.startswith(("adapters.modbus", "gateway.", "collections."))
        }
        assert {top.partition(".")[0] for top in found} <= {
            "__future__", "dataclasses", "enum", "functools", "math", "numpy", "operator", "pydantic_core", "re", "struct", "typing",
        }  # fmt: skip


def test_files_are_short():
    assert {
        path.name: len(path.read_text().splitlines()) for path in MODULES if len(path.read_text().splitlines()) > 400
    } == {}


def shown(annotation):
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if get_origin(annotation) is types.UnionType or type(None) in get_args(annotation):
        return " or ".join(shown(part) for part in get_args(annotation) if part is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    if get_args(annotation) and not isinstance(annotation, type):
        return ", ".join(f"`{part}`" for part in get_args(annotation))
    names = {int: "whole number", str: "text", bool: "true, false", float: "duration", Path: "path", Tls: "see below"}
    return names.get(annotation, "address")


def table(model, base):
    from gateway.config.fields import format_duration

    lines = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in base.model_fields:
            continue
        default = field.default
        if field.is_required():
            text = "required"
        elif field.annotation is float:
            text = f"`{format_duration(default)}`"
        else:
            text = (
                "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
            )
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        values = shown(field.annotation)
        if "Ge" in bounds and "Le" in bounds:
            values = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
        lines.append(f"| `{name}` | {values} | {text} | {field.description} |")
    return "\n".join(lines)


TABLES = {
    "connection": (ModbusConnection, ConnectionConfig),
    "device": (ModbusDevice, DeviceConfig),
    "tag": (ModbusTag, TagConfig),
    "tls": (Tls, Model),
}


def fresh(text):
    for name, (model, base) in TABLES.items():
        begin = f"<!-- settings: {name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table(model, base)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def test_the_readme_tells_todays_settings(request):
    readme = FOLDER / "README.md"
    text = readme.read_text()
    assert fresh(text) == text, "write the output of fresh() back to README.md"


def test_the_quick_start_is_good(kit):
    text = (FOLDER / "README.md").read_text()
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    connection = models.connection.model_validate(config["connections"]["plc"])
    device = dict(config["devices"]["press-1"])
    tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
    plan = adapter(connection).plan(models.device.model_validate(device), tags)
    assert len(plan.requests) == 2
    compile(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], "README.md", "exec")
