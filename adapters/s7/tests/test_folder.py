"""What the folder promises: manifest, quality scale, no policy of its own, a README that tells today's settings."""

import ast
import asyncio
import re
import types
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest
import yaml

import adapters.s7 as package
from adapters.s7 import adapter, models
from adapters.s7.config import S7Connection, S7Device, S7Tag
from adapters.s7.session import S7Session
from adapters.s7.simulator import Simulator
from gateway.config.fields import format_duration
from gateway.sdk import Browses, ConnectionConfig, DeviceConfig, Probes, Reads, Subscribes, TagConfig, Writes
from gateway.sdk.manifest import manifests

FOLDER = Path(package.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
APART = ("simulator", "simulated", "conformance")


def test_the_manifest_tells_the_truth(kit):
    manifest = manifests()["s7"]
    assert manifest.default_port == S7Connection.model_fields["port"].default
    made = adapter(kit.connection())
    found = {
        "read": issubclass(S7Session, Reads),
        "write": issubclass(S7Session, Writes),
        "subscribe": issubclass(S7Session, Subscribes),
        "probe": isinstance(made, Probes),
        "browse": isinstance(made, Browses),
    }
    assert set(manifest.capabilities) == {name for name, can in found.items() if can}
    assert manifest.load() is package


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


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem not in APART], ids=lambda path: path.stem)
def test_no_policy(path):
    tops = {name.partition(".")[0] for name in imported(path)}
    assert not tops & {"asyncio", "time", "random", "threading", "socket", "logging", "structlog"}
    assert not re.search(r"\b(create_task|sleep|to_thread|call_later|utcnow|now\()", path.read_text())


def shown(annotation):
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if get_origin(annotation) is types.UnionType or type(None) in get_args(annotation):
        return " or ".join(shown(part) for part in get_args(annotation) if part is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    return {int: "whole number", str: "text", bool: "true, false"}.get(annotation, "address")


def bounds_of(field):
    """Bounds of a number, also of one that may be left out."""
    parts = [*field.metadata]
    for part in get_args(field.annotation):
        parts += getattr(part, "__metadata__", [])
    rules = {}
    for part in parts:
        for rule in getattr(part, "metadata", [part]):
            rules[type(rule).__name__] = rule
    return rules


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
            text = "" if default in (None, "") else f"`{default}`"
        bounds = bounds_of(field)
        values = shown(field.annotation)
        if "Ge" in bounds and "Le" in bounds:
            values = f"{bounds['Ge'].ge} to {bounds['Le'].le}"
        lines.append(f"| `{name}` | {values} | {text} | {field.description} |")
    return "\n".join(lines)


TABLES = {
    "connection": (S7Connection, ConnectionConfig),
    "device": (S7Device, DeviceConfig),
    "tag": (S7Tag, TagConfig),
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


def test_the_quick_start_is_good(run, kit):
    text = (FOLDER / "README.md").read_text()
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    compile(program, "README.md", "exec")
    filling = re.search(r"plant\.cpu\.block.*", program)[0]

    async def work():
        async with Simulator() as plant:
            exec(f"import struct\n{filling}", {"plant": plant})
            settings = config["connections"]["plc"] | {"port": plant.port}
            connection = models.connection.model_validate(settings)
            device = dict(config["devices"]["press-1"])
            tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
            made = adapter(connection)
            plan = made.plan(models.device.model_validate(device), tags)
            async with asyncio.timeout(5), made.open() as session:
                assert await kit.poll(session, plan, tags) == {"oil_temperature": 61.5, "running": True}
            probed = await made.probe(kit.device())
            assert f"{probed.outcome}: {probed.detail}" in text

    run(work)


def test_the_readme_names_every_encoding():
    from adapters.s7.config import Encoding

    text = (FOLDER / "README.md").read_text()
    assert [kind for kind in Encoding if kind != "s7string" and f"`encoding: {kind}`" not in text] == []
