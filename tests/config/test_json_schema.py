"""The JSON Schema: what `load` accepts validates against it, and what is misspelt does not."""

import json
import re
from pathlib import Path

import pytest

from gateway.config.json_schema import schema
from gateway.config.yaml_reader import read

ABOUT = {"$schema", "title", "description", "default", "examples", "x-what", "format", "writeOnly", "$defs"}
TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": int | float, "integer": int,
}  # fmt: skip


def valid(value, rule, root):
    """Validate by the part of JSON Schema 2020-12 that is used; any other keyword is an error of the test."""
    for keyword, wanted in rule.items():
        if keyword not in ABOUT and not CHECKS[keyword](value, wanted, rule, root):
            return False
    return True


def is_type(value, name):
    return isinstance(value, TYPES[name]) and (name in {"boolean", "object"} or not isinstance(value, bool))


def number(check):
    return lambda value, limit, _rule, _root: not is_type(value, "number") or check(value, limit)


def properties(value, wanted, rule, root):
    return not isinstance(value, dict) or all(valid(value[key], wanted[key], root) for key in wanted if key in value)


def additional(value, wanted, rule, root):
    if not isinstance(value, dict):
        return True
    rest = [value[key] for key in value if key not in rule.get("properties", {})]
    return not rest if wanted is False else wanted is True or all(valid(one, wanted, root) for one in rest)


def conditional(value, wanted, rule, root):
    return valid(value, rule["then"], root) if valid(value, wanted, root) else True


CHECKS = {
    "type": lambda value, wanted, rule, root: is_type(value, wanted),
    "enum": lambda value, wanted, rule, root: value in wanted,
    "const": lambda value, wanted, rule, root: value == wanted and type(value) is type(wanted),
    "pattern": lambda value, wanted, rule, root: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minLength": lambda value, wanted, rule, root: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda value, wanted, rule, root: not isinstance(value, str) or len(value) <= wanted,
    "minItems": lambda value, wanted, rule, root: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted, rule, root: not isinstance(value, list) or len(value) <= wanted,
    "minimum": number(lambda value, limit: value >= limit),
    "maximum": number(lambda value, limit: value <= limit),
    "exclusiveMinimum": number(lambda value, limit: value > limit),
    "exclusiveMaximum": number(lambda value, limit: value < limit),
    "items": lambda value, wanted, rule, root: (
        not isinstance(value, list) or all(valid(one, wanted, root) for one in value)
    ),
    "prefixItems": lambda value, wanted, rule, root: (
        not isinstance(value, list) or all(valid(one, part, root) for one, part in zip(value, wanted, strict=False))
    ),
    "required": lambda value, wanted, rule, root: not isinstance(value, dict) or set(wanted) <= set(value),
    "properties": properties,
    "additionalProperties": additional,
    "propertyNames": lambda value, wanted, rule, root: (
        not isinstance(value, dict) or all(valid(key, wanted, root) for key in value)
    ),
    "anyOf": lambda value, wanted, rule, root: any(valid(value, one, root) for one in wanted),
    "allOf": lambda value, wanted, rule, root: all(valid(value, one, root) for one in wanted),
    "if": conditional,
    "then": lambda value, wanted, rule, root: True,
    "$ref": lambda value, wanted, rule, root: valid(value, root["$defs"][wanted.removeprefix("#/$defs/")], root),
}

GOOD = """
gateway: {id: plant-1}
include: [more/*.yaml]
connections:
  line: {adapter: tiny, host: 10.0.0.5, port: 502, timeout: 500ms, password: "${env:PASS}"}
  line-2: {adapter: other, serial: /dev/ttyS1, baud: "${env:BAUD}", enabled: no}
profiles:
  press:
    adapter: tiny
    params: {first: 0, must: }
    scan: 5s
    heartbeat: ${must}
    tags:
      - {name: "${must}-force", type: int16, word: "${first}", range: [0, "${must}"], deadband: 1%, min_interval: 0}
devices:
  press-1: {connection: line, profile: press, params: {must: 5s}}
  press-2: {connection: line, station: 3, tags: [{name: way, type: "${env:KIND}", word: 1, deadband: 0.5, scan: 1min}]}
lanes:
  cloud: {to: {host: broker, password: "${file:pass}"}}
  office: {sink: mqtt, to: {host: broker}, payload: json, window: 4}
bus: {limit: 2GB, batch_bytes: 1000, synchronous: off, linger: 50ms}
observe: {http: 127.0.0.1:0}
"""


@pytest.fixture
def whole(tiny):
    return schema(tiny.adapters, tiny.sinks)


def document(text):
    found, problems = read(text.encode())
    assert problems == []
    return found


def test_a_good_file_is_valid(whole):
    found = document(GOOD.replace("enabled: no", "enabled: false"))
    assert valid(found, whole, whole)


def test_it_is_plain_json(whole):
    assert json.loads(json.dumps(whole)) == whole
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("host: 10.0.0.5", "hots: 10.0.0.5"),
        ("port: 502", "port: 70000"),
        ("timeout: 500ms", "timeout: 500"),
        ("adapter: tiny, host", "adapter: tinny, host"),
        ("adapter: tiny\n", "adapter: other\n"),
        ("type: int16", "type: int61"),
        ("word: 1,", "word: one,"),
        ("word: 1,", "wrod: 1,"),
        ('range: [0, "${must}"]', "range: [0]"),
        ("deadband: 1%", "deadband: some"),
        ("connection: line, station", "conection: line, station"),
        ("station: 3, tags", "station: 300, tags"),
        ("station: 3, tags", "tags"),
        ("sink: mqtt", "sink: mqqt"),
        ("to: {host: broker}", "to: {hots: broker}"),
        ("payload: json", "payload: xml"),
        ("window: 4", "window: 0"),
        ("limit: 2GB", "limit: 2 gigabytes"),
        ("synchronous: off", "synchronous: never"),
        ("gateway: {id", "gatway: {id"),
        ("gateway: {id: plant-1}", "gateway: {id: plant 1}"),
        ("include: [more/*.yaml]", "include: more.yaml"),
        ("    scan: 5s", "    connection: line"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_not_valid(whole, old, new):
    text = GOOD.replace("enabled: no", "enabled: false")
    assert old in text
    assert not valid(document(text.replace(old, new, 1)), whole, whole)


def test_an_included_file_is_valid_without_a_gateway(whole):
    assert valid(document("devices: {}\nprofiles: {}"), whole, whole)
    assert not valid(document("bus: {}"), whole, whole)


def test_defaults_are_written_as_people_do(whole):
    bus = whole["$defs"]["BusConfig"]["properties"]
    assert (bus["linger"]["default"], bus["limit"]["default"], bus["batch_frames"]["default"]) == ("100ms", "2GB", 4096)
    assert bus["linger"]["description"].startswith("A batch is closed")


def test_every_key_is_described(whole):
    for name, definition in whole["$defs"].items():
        for key, rule in definition.get("properties", {}).items():
            assert rule.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("folder", sorted(Path(__file__).with_name("wrong").iterdir()), ids=lambda folder: folder.name)
def test_it_never_breaks_on_wrong_files(whole, folder):
    found, _ = read((folder / "plant.yaml").read_bytes())
    assert valid(found, whole, whole) in {True, False}
