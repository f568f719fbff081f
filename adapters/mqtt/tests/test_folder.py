"""What the folder promises: manifest, quality scale, no policy of its own, a README that tells today's settings."""

import ast
import re
import types
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest
import yaml

import adapters.mqtt as package
from adapters.mqtt import adapter, models
from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag, TimeSetting, Tls
from adapters.mqtt.session import MqttSession
from gateway.config.fields import format_duration, format_size
from gateway.sdk import (
    Browses,
    ConnectionConfig,
    DeviceConfig,
    Model,
    Probes,
    Reads,
    ReadsHistory,
    Subscribes,
    TagConfig,
    Writes,
)
from gateway.sdk.manifest import manifests

FOLDER = Path(package.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
SIMULATION = {"simulator", "simulated", "simulated_node", "conformance"}


def test_the_manifest_tells_the_truth(kit):
    manifest = manifests()["mqtt"]
    assert manifest.default_port == kit.connection().effective_port == 1883
    made = adapter(kit.connection())
    found = {
        "read": issubclass(MqttSession, Reads),
        "write": issubclass(MqttSession, Writes),
        "subscribe": issubclass(MqttSession, Subscribes),
        "read_history": issubclass(MqttSession, ReadsHistory),
        "probe": isinstance(made, Probes),
        "browse": isinstance(made, Browses),
    }
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
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem not in SIMULATION], ids=lambda path: path.stem)
def test_no_policy(path):
    tops = {name.partition(".")[0] for name in imported(path)}
    assert not tops & {"asyncio", "time", "random", "threading", "socket", "logging", "structlog"}
    assert not re.search(r"\b(create_task|sleep|to_thread|call_later|utcnow|now\()", path.read_text())


def shown(annotation):
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{part}`" for part in get_args(annotation))
    if get_origin(annotation) is types.UnionType or type(None) in get_args(annotation):
        return " or ".join(dict.fromkeys(shown(part) for part in get_args(annotation) if part is not type(None)))
    if get_origin(annotation) is tuple:
        return "list of texts"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    names = {int: "whole number", str: "text", bool: "true, false", float: "duration", Path: "path"}
    return names.get(annotation, {"Address": "address", "SecretStr": "secret"}.get(annotation.__name__, "see below"))


def table(model, base):
    lines = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in base.model_fields:
            continue
        default = field.default
        if field.is_required():
            text = "required"
        elif isinstance(default, float):
            text = f"`{format_duration(default)}`"
        elif name == "max_payload":
            text = f"`{format_size(default)}`"
        else:
            plain = str(default).lower() if isinstance(default, bool) else default
            text = "" if default in (None, "", ()) else f"`{plain}`"
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        values = "size" if name == "max_payload" else shown(field.annotation)
        if values == "whole number" and "Ge" in bounds and "Le" in bounds:
            values = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
        lines.append(f"| `{name}` | {values} | {text} | {field.description} |")
    return "\n".join(lines)


TABLES = {
    "connection": (MqttConnection, ConnectionConfig),
    "tls": (Tls, Model),
    "device": (MqttDevice, DeviceConfig),
    "time": (TimeSetting, Model),
    "tag": (MqttTag, TagConfig),
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
    connection = models.connection.model_validate(config["connections"]["plant"])
    device = dict(config["devices"]["press-1"])
    tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
    assert adapter(connection).plan(models.device.model_validate(device), tags).push
