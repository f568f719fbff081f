"""What the folder promises: manifest, quality scale, a README that tells today's settings, an example that works."""

import re
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, get_args, get_origin

import yaml

import adapters.mc as package
from adapters.mc import adapter, models
from adapters.mc.config import McConnection, McDevice, McTag, Transport
from adapters.mc.session import McSession
from gateway.config.fields import format_duration
from gateway.sdk import ConnectionConfig, DeviceConfig, Probes, Reads, TagConfig, Writes
from gateway.sdk.manifest import manifests

FOLDER = Path(package.__file__).parent
README = FOLDER / "README.md"


def test_the_manifest_tells_the_truth(kit):
    manifest = manifests()["mc"]
    assert set(manifest.transports) == set(Transport)
    made = adapter(kit.connection())
    found = {
        "read": issubclass(McSession, Reads),
        "write": issubclass(McSession, Writes),
        "probe": isinstance(made, Probes),
    }
    assert set(manifest.capabilities) == {name for name, can in found.items() if can}
    assert manifest.load() is package
    assert manifest.load_simulator().__name__ == "Simulator"


def test_the_quality_scale():
    scale = yaml.safe_load((FOLDER / "quality.yaml").read_text())
    for tier in ("bronze", "silver"):
        assert all(re.fullmatch(r"done|exempt: .{20,}", state) for state in scale[tier].values()), tier


def test_files_are_short():
    lines = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*.py")}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def shown(annotation):
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if get_origin(annotation) is UnionType or type(None) in get_args(annotation):
        return " or ".join(shown(part) for part in get_args(annotation) if part is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    return {int: "whole number", str: "text", bool: "true, false", float: "duration"}.get(annotation, "address")


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
        else:
            plain = str(default).lower() if isinstance(default, bool) else default
            text = "" if default is None or plain == "" else f"`{plain}`"
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        values = shown(field.annotation)
        if values == "whole number" and "Ge" in bounds and "Le" in bounds:
            values = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
        lines.append(f"| `{name}` | {values} | {text} | {field.description} |")
    return "\n".join(lines)


TABLES = {
    "connection": (McConnection, ConnectionConfig),
    "device": (McDevice, DeviceConfig),
    "tag": (McTag, TagConfig),
}


def fresh(text):
    for name, (model, base) in TABLES.items():
        begin = f"<!-- settings: {name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table(model, base)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def test_the_readme_tells_todays_settings():
    text = README.read_text()
    assert fresh(text) == text, "write the output of fresh() back to README.md"


def test_the_quick_start_is_good():
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)[1])
    connection = models.connection.model_validate(config["connections"]["plc"])
    device = dict(config["devices"]["cell-1"])
    tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
    assert len(adapter(connection).plan(models.device.model_validate(device), tags).requests) == 1
