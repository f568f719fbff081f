"""The configuration reference, docs/configuration.md, made from the models: it cannot differ from the program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from gateway.config.base import AdapterModels, ConnectionConfig, DeviceConfig, SinkConfig, TagConfig
from gateway.config.fields import choices, format_duration, format_size
from gateway.config.root import BusConfig, GatewayConfig, LaneConfig, ObserveConfig, ProfileConfig

INTRODUCTION: Final = """\
# Configuration reference

*Made from the models by `xingsha schema --reference`; do not edit by hand.*

One YAML file describes a gateway. `xingsha check FILE` checks it, tells every error with line and column, and forecasts
the load of each connection; `xingsha schema` prints its JSON Schema for editors.

```yaml
gateway: {id: plant-1}

connections:
  line-3: {adapter: modbus, host: 10.0.0.5}

profiles:
  meter:
    adapter: modbus
    params: {ct: 1}                     # a default; `ct:` alone makes it a must
    scan: 2s                            # a default for devices with this profile
    tags:
      - {name: power, address: "hr:100", type: int32, scale: "${ct}", unit: W, deadband: 1%}

devices:
  meter-1: {connection: line-3, profile: meter, unit: 1, params: {ct: 40}}
  meter-2: {connection: line-3, profile: meter, unit: 2}

lanes:
  cloud:
    sink: mqtt
    to: {host: broker.example.com, username: plant-1, password: "${env:MQTT_PASSWORD}", tls: {}}
```

## What holds everywhere

- Unknown keys, and keys given twice, are errors. YAML is read as YAML 1.2: `on`, `off`, `yes` and `no` are text.
- **Durations** have a unit: `us`, `ms`, `s`, `m` or `min`, `h`, `d`. **Sizes** are bytes, or `kB`, `MB`, `GB`, `TB`
  (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024).
- **Names** of connections, profiles, devices and lanes have no space, quote, backslash, `/`, `+`, `#` or `$`: they
  become levels of topics.
- **Secrets**: `${env:NAME}` is the value of an environment variable, `${file:path}` the content of a file (relative
  to the configuration, a line break at its end left out). Both may stand wherever a value may, also within text. No
  message shows what they stand for. `$${` is a plain `${`.
- **Parameters**: in a profile, `${name}` is one of its parameters. Alone, it keeps the type it has in `params`.
- **Files**: `include: [profiles/*.yaml]` adds `connections`, `profiles`, `devices` and `lanes` of other files, named
  relative to this one.
- Anchors, aliases and the merge key `<<` work within a file.
- What has `enabled: false` is checked and otherwise left alone.
"""

_SECTIONS: Final[tuple[tuple[str, str, type[BaseModel], str], ...]] = (
    ("gateway", "`gateway`", GatewayConfig, ""),
    ("connections", "`connections.<name>`", ConnectionConfig, "The adapter adds its own keys, see below."),
    ("profiles", "`profiles.<name>`", ProfileConfig, "`tags` is a list of tags, as in a device."),
    (
        "devices",
        "`devices.<name>`",
        DeviceConfig,
        "`tags` is a list of tags. The adapter adds its own keys, see below.",
    ),
    ("tags", "Tags", TagConfig, "The adapter adds its own keys, see below."),
    ("lanes", "`lanes.<name>`", LaneConfig, ""),
    ("bus", "`bus`", BusConfig, ""),
    ("observe", "`observe`", ObserveConfig, ""),
)
_SIMPLE: Final = {"number": "number", "boolean": "`true` or `false`", "string": "text", "object": "mapping", "null": ""}
_WRITTEN: Final = {"duration": format_duration, "size": format_size}


def page(adapters: Mapping[str, AdapterModels], sinks: Mapping[str, type[SinkConfig]]) -> str:
    """The whole page, in Markdown."""
    lines = [INTRODUCTION]
    for _, title, model, note in _SECTIONS:
        lines += _section(f"## {title}", model, (), note)
    for name, models in sorted(adapters.items()):
        lines += [f"## Adapter `{name}`", ""]
        lines += _section("### Connection", models.connection, ConnectionConfig.model_fields)
        lines += _section("### Device", models.device, DeviceConfig.model_fields)
        lines += _section("### Tag", models.tag, TagConfig.model_fields)
    for name, sink in sorted(sinks.items()):
        lines += _section(f"## Sink `{name}`: `lanes.<name>.to`", sink, SinkConfig.model_fields)
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, model: type[BaseModel], without: Iterable[str], note: str = "") -> Iterator[str]:
    """Heading, what the model is for, and a table; then the mappings that stand within it."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    yield title
    yield ""
    text = " ".join(part for part in (_paragraphs(schema.get("description", "")), note) if part)
    if text:
        yield text
        yield ""
    properties = {key: value for key, value in schema.get("properties", {}).items() if key not in set(without)}
    yield from _table(properties, schema.get("required", ()), definitions)
    level = title.split(" ", 1)[0] + "#"
    for key, value in properties.items():
        for name in _mappings(value):
            inner = definitions[name]
            if inner.get("type") == "object":
                yield f"{level} `{key}`"
                yield ""
                yield _paragraphs(inner.get("description", ""))
                yield ""
                yield from _table(inner["properties"], inner.get("required", ()), definitions)


def _paragraphs(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _table(properties: Mapping[str, Any], required: Iterable[str], definitions: Mapping[str, Any]) -> Iterator[str]:
    if not properties:
        yield "No keys of its own."
        yield ""
        return
    yield "| key | what | default | meaning |"
    yield "|---|---|---|---|"
    for key, value in properties.items():
        cells = (f"`{key}`", _what(value, definitions), _default(key, value, required), value.get("description", ""))
        yield "| " + " | ".join(_paragraphs(cell).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _mappings(schema: Mapping[str, Any]) -> Iterator[str]:
    """Names of the definitions that a property refers to."""
    if "$ref" in schema:
        yield schema["$ref"].removeprefix("#/$defs/")
    for choice in schema.get("anyOf", ()):
        yield from _mappings(choice)
    if isinstance(schema.get("items"), dict):
        yield from _mappings(schema["items"])


def _default(key: str, schema: Mapping[str, Any], required: Iterable[str]) -> str:
    if key in required:
        return "**required**"
    value = schema.get("default")
    if value is None or value in ("", {}, []):
        return "–"
    if isinstance(value, dict):
        return "see below"
    for choice in (schema, *schema.get("anyOf", ())):
        if choice.get("x-what") in _WRITTEN:
            return f"`{_WRITTEN[choice['x-what']](value)}`"
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    """Write a value as it stands in the file: text in quotes only where it would be a number without."""
    plain = isinstance(value, str) and not value.replace(".", "").isdigit()
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _what(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say in words what may stand there."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return "mapping, see below" if target.get("type") == "object" else _what(target, definitions)
    if "x-what" in schema:
        example = next(iter(schema["examples"]), None)
        return schema["x-what"] if example is None else f"{schema['x-what']}, such as `{example}`"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_yaml(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        ways = [_what(choice, definitions) for choice in schema["anyOf"]]
        return " or ".join(dict.fromkeys(way for way in ways if way))
    kind = schema.get("type", "")
    if kind == "integer":
        return _whole_number(schema)
    if kind == "array":
        return _list(schema, definitions)
    if names := choices(schema.get("pattern", "")):
        return ", ".join(f"`{name}`" for name in names)
    formats = {"password": "secret text", "path": "path"}
    return formats.get(schema.get("format", ""), _SIMPLE.get(kind, "anything that belongs there"))


def _whole_number(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None and most is None:
        return "whole number"
    return f"whole number, {least} to {most}" if most is not None else f"whole number from {least}"


def _list(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(_what(item, definitions) for item in schema["prefixItems"]) + "]"
    return f"list of {_what(schema['items'], definitions)}" if isinstance(schema.get("items"), dict) else "list"
