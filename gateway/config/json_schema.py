"""JSON Schema of the configuration file, made from the models: for editors that complete and check while one types.

It says what a file may look like; what only holds between entries (does that connection exist?) is left to `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.config.base import AdapterModels, SinkConfig
from gateway.config.fields import format_duration, format_size
from gateway.config.profiles import NOT_SHARED
from gateway.config.root import BusConfig, GatewayConfig, LaneConfig, ObserveConfig, ProfileConfig
from gateway.config.sources import INCLUDE, NAMED, SINGLE

Schema = dict[str, Any]

_SINGLE: Final[dict[str, type[BaseModel]]] = {"gateway": GatewayConfig, "bus": BusConfig, "observe": ObserveConfig}
_REFERENCE: Final = {"$ref": "#/$defs/Reference"}
_REFERENCE_SCHEMA: Final = {
    "type": "string",
    "pattern": r"\$\{[^{}]+\}",
    "description": "${env:NAME}, ${file:path}, or in a profile ${parameter}.",
}
_ABOUT: Final = ("description", "default", "title", "examples", "x-what")
_WRITTEN: Final[dict[str, Callable[[Any], str]]] = {"duration": format_duration, "size": format_size}


def schema(adapters: Mapping[str, AdapterModels], sinks: Mapping[str, type[SinkConfig]]) -> Schema:
    """JSON Schema (2020-12) of a file, with the keys of these adapters and sinks."""
    models: list[type[BaseModel]] = [*_SINGLE.values(), LaneConfig, ProfileConfig, *sinks.values()]
    for adapter in adapters.values():
        models += [adapter.connection, adapter.device, adapter.tag]
    models = list(dict.fromkeys(models))
    refs, top = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Schema] = top.get("$defs", {})
    for definition in definitions.values():
        _open(definition, definitions)
    by_model = {model: refs[model, "validation"] for model in models}
    parts = _Parts(by_model, definitions)
    definitions["Reference"] = _REFERENCE_SCHEMA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Xingsha Gateway",
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["gateway"]}, {"propertyNames": {"enum": list(NAMED)}}],
        "properties": {
            **{section: {**by_model[model], "description": SINGLE[section]} for section, model in _SINGLE.items()},
            INCLUDE: {
                "type": "array",
                "items": {"type": "string"},
                "description": "Files and patterns, relative to this file's folder, that hold more of "
                + ", ".join(NAMED),
            },
            "connections": _named("connections", parts.by_adapter(adapters, parts.connection)),
            "profiles": _named("profiles", parts.by_adapter(adapters, parts.profile)),
            "devices": _named("devices", {"anyOf": [parts.device(models) for models in adapters.values()]}),
            "lanes": _named("lanes", parts.lane(sinks)),
        },
        "$defs": definitions,
    }


def _named(section: str, entry: Schema) -> Schema:
    return {"type": "object", "description": NAMED[section], "additionalProperties": entry}


class _Parts:
    """Puts the models together to what stands in the file."""

    def __init__(self, refs: Mapping[type[BaseModel], Schema], definitions: dict[str, Schema]) -> None:
        self._refs = refs
        self._definitions = definitions

    def _definition(self, model: type[BaseModel]) -> Schema:
        return self._definitions[self._refs[model]["$ref"].removeprefix("#/$defs/")]

    def by_adapter(self, adapters: Mapping[str, AdapterModels], part: Any) -> Schema:
        return {
            "type": "object",
            "required": ["adapter"],
            "properties": {"adapter": {"enum": sorted(adapters)}},
            "allOf": [
                _when({"adapter": {"const": name}}, ["adapter"], part(models)) for name, models in adapters.items()
            ],
        }

    def connection(self, models: AdapterModels) -> Schema:
        return self._refs[models.connection]

    def tags(self, models: AdapterModels) -> Schema:
        return {"type": "array", "items": self._refs[models.tag], "description": "Tags, in the order they are sent."}

    def profile(self, models: AdapterModels) -> Schema:
        device = self._definition(models.device)["properties"]
        shared = {key: value for key, value in device.items() if key not in NOT_SHARED}
        own = self._definition(ProfileConfig)["properties"]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {**shared, **own, "tags": self.tags(models)},
        }

    def device(self, models: AdapterModels) -> Schema:
        definition = self._definition(models.device)
        required = [key for key in definition.get("required", ()) if key != "connection"]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {**definition["properties"], "tags": self.tags(models)},
            "required": ["connection"],
            "anyOf": [{"required": ["profile"]}, {"required": [*required, "tags"]}],
        }

    def lane(self, sinks: Mapping[str, type[SinkConfig]]) -> Schema:
        definition = self._definition(LaneConfig)
        default = definition["properties"]["sink"]["default"]
        properties = {**definition["properties"], "sink": {"enum": sorted(sinks), "default": default}, "to": {}}
        return {
            "type": "object",
            "additionalProperties": False,
            "required": ["to"],
            "properties": properties,
            "allOf": [
                _when(
                    {"sink": {"const": name}},
                    [] if name == default else ["sink"],
                    {"properties": {"to": self._refs[model]}},
                )
                for name, model in sinks.items()
            ],
        }


def _when(properties: Schema, required: Iterable[str], then: Schema) -> Schema:
    return {"if": {"properties": properties, "required": list(required)}, "then": then}


def _open(schema: Schema, definitions: Mapping[str, Schema]) -> None:
    """Let ``${…}`` stand wherever a single value may, and write defaults as people do; in place, at every depth."""
    for name, value in schema.get("properties", {}).items():
        schema["properties"][name] = _opened(value, definitions)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _opened(schema[key], definitions)
    if "prefixItems" in schema:
        schema["prefixItems"] = [_opened(value, definitions) for value in schema["prefixItems"]]


def _opened(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    target = definitions[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema
    about: Schema = {key: schema.pop(key) for key in _ABOUT if key in schema}
    if target.get("type") in {"object", "array"}:
        _open(schema, definitions)
        return {**about, **schema}
    choices = schema.get("anyOf", [schema])
    written = next((_WRITTEN[one["x-what"]] for one in (about, *choices) if one.get("x-what") in _WRITTEN), None)
    if written and isinstance(about.get("default"), int | float):
        about["default"] = written(about["default"])
    for choice in choices:
        if choice.get("type") in {"object", "array"}:
            _open(choice, definitions)
    return {**about, "anyOf": [*choices, _REFERENCE]} if schema else about
