"""Rules about what stands in an adapter's folder: judged by reading, without running anything of it but its models."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from gateway.config.base import ConnectionConfig, DeviceConfig, Model, TagConfig
from gateway.sdk.manifest import Manifest
from gateway.testing.conformance.result import Short
from gateway.testing.conformance.subject import Subject

RULES: Final = {
    "bronze": (
        "manifest", "one-folder", "no-policy", "typed-config", "address-syntax", "sans-io-codec", "cited-vectors",
        "hostile-bytes", "value-matrix", "probe-first", "partial-truth", "deadline", "clean-close", "simulator",
        "readme",
    ),
    "silver": (
        "chaos-matrix", "stale-reply", "limits-honoured", "planner", "fault-map", "edge-logging", "reload",
        "time-truth", "safe-writes", "fairness", "coverage", "troubleshooting",
    ),
}  # fmt: skip
"""The scale, as far as the suite goes."""
CAPABILITIES: Final = frozenset(
    {"read", "subscribe", "listen", "broadcast", "write", "browse", "probe", "read_history", "doctor", "trust"}
)
_MAY: Final = ("gateway.sdk", "gateway.model", "gateway.wire", "gateway.config.fields", "gateway.config.base")
_IMPURE: Final = frozenset(
    {"asyncio", "socket", "ssl", "time", "random", "logging", "structlog", "threading", "select"}
)
_POLICY: Final = frozenset({"time", "random", "threading", "logging", "structlog", "sched", "tenacity", "backoff"})
_POLICY_NAMES: Final = re.compile(r"^(create_task|ensure_future|sleep|to_thread|call_later|call_at|TaskGroup|Thread)$")
_APART: Final = re.compile(r"^(simulat\w*|conformance)$")
"""Modules for which the rules of mechanism do not hold."""


def modules(folder: Path) -> Iterator[Path]:
    """Modules of an adapter, without tests and simulator."""
    for path in sorted(folder.glob("*.py")):
        if not _APART.match(path.stem):
            yield path


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _imported(path: Path, package: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def scale_of(manifest: Manifest) -> dict[str, dict[str, str]]:
    """What quality.yaml says. Raises Short when it is not whole."""
    path = manifest.folder / "quality.yaml"
    mend = "give every rule of the scale: done, todo, or exempt: and why"
    try:
        scale = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise Short(f"{path}: {error}", mend) from error
    for tier, rules in RULES.items():
        told = (scale or {}).get(tier) or {}
        if missing := set(rules) - set(told):
            raise Short(f"quality.yaml says nothing of {', '.join(sorted(missing))}", mend)
        for rule, state in told.items():
            if not re.fullmatch(r"done|todo|exempt: .{10,}", str(state)):
                raise Short(f"quality.yaml: {rule}: {state!r}", mend)
    found: dict[str, dict[str, str]] = scale
    return found


def manifest_whole(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001 - one shape for all
    """manifest: complete, and of what there is."""
    mend = "complete adapter.toml"
    unknown = set(manifest.capabilities) - CAPABILITIES
    if unknown or not manifest.capabilities:
        raise Short(f"capabilities: {', '.join(sorted(unknown)) or 'none'}", f"use {', '.join(sorted(CAPABILITIES))}")
    for name in ("title", "title_zh", "spec", "owner"):
        if len(str(getattr(manifest, name)).strip()) < 2:
            raise Short(f"{name} is empty", mend)
    if not re.search(r"\d", manifest.spec):
        raise Short(f"spec names no edition: {manifest.spec!r}", "name the standard with its edition or year")
    if not manifest.transports:
        raise Short("transports: none", mend)
    scale = scale_of(manifest)
    tiers = list(RULES)
    claimed = tiers[: tiers.index(manifest.tier) + 1] if manifest.tier in tiers else tiers
    todo = [rule for tier in claimed for rule, state in scale[tier].items() if state == "todo"]
    if todo:
        raise Short(f"claims {manifest.tier}, and has to do: {', '.join(todo)}", "claim what is done, or do it")
    return f"{', '.join(manifest.capabilities)}; {manifest.spec}"


def one_folder(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """one-folder: imports the kit, itself, and nothing else of the house."""
    own = manifest.package
    files = [path for path in sorted(manifest.folder.glob("*.py")) if path.stem != "conformance"]
    for path in files:
        for line, name in _imported(path, own):
            top = name.partition(".")[0]
            inside = name == own or name.startswith(f"{own}.")
            kit = any(name == may or name.startswith(f"{may}.") for may in _MAY)
            if (top == "adapters" and not inside) or (top == "gateway" and not kit):
                raise Short(f"{path.name}:{line} imports {name}", f"import {', '.join(_MAY)} and this folder only")
    return f"{len(files)} modules"


def no_policy(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """no-policy: no task, sleep, thread, retry, time or chance of its own."""
    mend = "leave when and how often to the runtime, time-outs to the link"
    for path in modules(manifest.folder):
        for line, name in _imported(path, manifest.package):
            if name.partition(".")[0] in _POLICY:
                raise Short(f"{path.name}:{line} imports {name}", mend)
        for node in ast.walk(_tree(path)):
            word = getattr(node, "attr", None) or getattr(node, "id", None)
            if isinstance(word, str) and _POLICY_NAMES.match(word):
                raise Short(f"{path.name}:{getattr(node, 'lineno', 0)} uses {word}", mend)
    return "none found"


def sans_io(manifest: Manifest, subject: Subject) -> str:
    """sans-io-codec: the codec knows no clock and no socket."""
    for stem in subject.sans_io:
        path = manifest.folder / f"{stem}.py"
        if not path.exists():
            raise Short(f"there is no {stem}.py", "keep bytes ↔ values in codec.py, or name the modules in the subject")
        for line, name in _imported(path, manifest.package):
            if name.partition(".")[0] in _IMPURE:
                raise Short(f"{path.name}:{line} imports {name}", "bytes in, values out: no I/O, clock or log there")
    return ", ".join(f"{stem}.py" for stem in subject.sans_io)


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """A model and those inside it."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _models(part, seen)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _parts(part)


def typed_config(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """typed-config: frozen, strict, described; secrets are secrets."""
    models = manifest.load().models
    count = 0
    seen: set[type[BaseModel]] = set()
    for model in models.connection, models.device, models.tag:
        for one in _models(model, seen):
            strict = one.model_config.get("frozen") and one.model_config.get("extra") == "forbid"
            if not (issubclass(one, Model) and strict):
                raise Short(f"{one.__name__} is not a Model of the kit", "derive it from gateway.sdk.Model")
            for name, field in one.model_fields.items():
                count += 1
                if len(field.description or "") < 8:
                    raise Short(f"{one.__name__}.{name} is not described", "write a docstring below the field")
                secret = re.search(r"(password|token|secret|passphrase|api_key)$", name)
                if secret and field.annotation is not bool and SecretStr not in _parts(field.annotation):
                    raise Short(f"{one.__name__}.{name} is no Secret", "give it the type gateway.config.fields.Secret")
    return f"{count} settings in {len(seen)} models"


def address_syntax(manifest: Manifest, subject: Subject) -> str:
    """address-syntax: read at load; written as they are read."""
    tag = manifest.load().models.tag
    sample = dict(subject.tags[0])
    _ = tag.model_validate(sample)
    field = tag.model_fields["address"]
    kinds = [part for part in (*_parts(field.annotation), *field.metadata) if isinstance(part, type)]
    kind = next((part for part in kinds if hasattr(part, "parse")), str)
    parse = getattr(kind, "parse", None)
    if parse is None:
        raise Short(f"addresses are {kind.__name__}", "give addresses a type of their own, with parse() and str()")
    for text in subject.addresses:
        address = parse(text)
        if parse(str(address)) != address:
            raise Short(f"{text!r} is written as {str(address)!r}, which is another", "parse(str(x)) == x")
    for text in subject.wrong_addresses:
        try:
            tag.model_validate({**sample, "address": text})
        except ValidationError as error:
            if not any("address" in part["loc"] for part in error.errors()):
                raise Short(f"{text!r} is refused, but not for its address", "raise ValueError in parse()") from error
            continue
        raise Short(f"{text!r} is taken for an address", "refuse it when the configuration is loaded")
    return f"{len(subject.addresses)} forms, {len(subject.wrong_addresses)} that are none"


def cited_vectors(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """cited-vectors: messages as the standard says they are."""
    mend = "add a Vector with a clause or a capture for a request and a reply of each service"
    services: dict[str, int] = {}
    for vector in subject.vectors:
        made, expected = vector.made(), vector.expected
        if isinstance(made, bytes | bytearray) and isinstance(expected, str):
            expected = bytes.fromhex(expected)
        if made != expected:
            raise Short(f"{vector.service} ({vector.source}): {made!r} is not {expected!r}", "mend the codec")
        if len(vector.source.strip()) < 4:
            raise Short(f"{vector.service} cites nothing", mend)
        services[vector.service] = services.get(vector.service, 0) + 1
    lonely = [service for service, count in services.items() if count < 2]
    if not services or lonely:
        raise Short(f"{len(services)} services; only one message of {', '.join(lonely) or 'none'}", mend)
    return f"{len(subject.vectors)} messages of {', '.join(services)}"


def readme(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """readme: quick start, today's settings, what is and is not supported."""
    path = manifest.folder / "README.md"
    if not path.exists():
        raise Short("there is no README.md", "write one: quick start, settings, supported, not supported")
    text = path.read_text("utf-8")
    lower = text.lower()
    for words, pattern in (("quick start", "quick start"), ("supported, and not", "not supported|supported, and not")):
        if not re.search(pattern, lower):
            raise Short(f"README.md has no section {words!r}", f"add a section {words!r}")
    if not re.search(r"```ya?ml\n.*?connections:.*?```", text, re.DOTALL):
        raise Short("the quick start shows no configuration", "show one in a yaml block")
    models = manifest.load().models
    pairs = ((models.connection, ConnectionConfig), (models.device, DeviceConfig), (models.tag, TagConfig))
    for model, base in pairs:
        for name, field in model.model_fields.items():
            rows = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
            if name in base.model_fields or any((field.description or "").strip() in row for row in rows):
                continue
            what = "is described otherwise in" if rows else "is missing in"
            raise Short(f"{model.__name__}.{name} {what} README.md", "write the settings table anew")
    return f"{len(text.splitlines())} lines"


def troubleshooting(manifest: Manifest, subject: Subject) -> str:  # noqa: ARG001
    """troubleshooting: symptom, cause, command."""
    text = (manifest.folder / "README.md").read_text("utf-8")
    section = re.search(r"^#+ [^\n]*(?:roubleshooting|goes wrong)[^\n]*$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\|.*\|$", section[1] if section else "", re.MULTILINE)
    if len(rows) < 5 or "xingsha " not in "".join(rows):
        raise Short(f"{max(0, len(rows) - 2)} symptoms", "add a table: symptom, likely cause, command to run")
    return f"{len(rows) - 2} symptoms"
