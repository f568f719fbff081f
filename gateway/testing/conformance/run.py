"""Run the suite: find an adapter by its id or folder, judge every rule, one result for each."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Final

import structlog

from gateway.model.faults import ConfigFault, Fault
from gateway.sdk.manifest import Manifest, manifests
from gateway.testing.conformance import folder, reads, shift
from gateway.testing.conformance.result import Result, Short, Verdict
from gateway.testing.conformance.subject import Subject

RULE_SECONDS: Final = 300.0
"""No rule takes longer."""
_FOLDER: Final[dict[str, Callable[[Manifest, Subject], str]]] = {
    "manifest": folder.manifest_whole,
    "one-folder": folder.one_folder,
    "no-policy": folder.no_policy,
    "typed-config": folder.typed_config,
    "address-syntax": folder.address_syntax,
    "sans-io-codec": folder.sans_io,
    "cited-vectors": folder.cited_vectors,
    "readme": folder.readme,
    "troubleshooting": folder.troubleshooting,
}
_DYNAMIC: Final = {**reads.RULES, **shift.RULES}


def find(name: str) -> Manifest:
    """Manifest of an adapter that is installed, or of a folder. Raises ConfigFault for what is neither."""
    known = manifests()
    if name in known:
        return known[name]
    place = Path(name).resolve()
    for manifest in known.values():
        if manifest.folder.resolve() == place:
            return manifest
    if not (place / "adapter.toml").exists():
        message = f"{name} is no folder with an adapter.toml, and no adapter; installed: {', '.join(sorted(known))}"
        raise ConfigFault(message, code="adapter_unknown", known=known)
    if str(place.parent) not in sys.path:
        sys.path.insert(0, str(place.parent))
    return Manifest.read(place / "adapter.toml", place.name)


def subject_of(manifest: Manifest) -> Subject:
    """What the adapter's folder tells the suite. Raises ConfigFault when it tells nothing."""
    manifest.load()
    try:
        module = importlib.import_module(f"{manifest.package}.conformance")
    except ModuleNotFoundError as error:
        message = f"{manifest.folder}: there is no conformance.py with a Subject; see docs/adapters.md"
        raise ConfigFault(message, code="file_missing") from error
    subject: Subject = module.subject
    return subject


def run(manifest: Manifest, *, only: str = "", fast: bool = False, coverage: Path | None = None) -> Iterator[Result]:
    """Judge every rule of an adapter, or one. A rule that quality.yaml exempts is not run, one to be done is short."""
    subject = subject_of(manifest)
    structlog.configure(
        logger_factory=structlog.ReturnLoggerFactory(), processors=[structlog.processors.KeyValueRenderer()]
    )
    try:
        scale = folder.scale_of(manifest)
    except Short as short:
        yield Result(manifest.id, "bronze", "manifest", Verdict.FAILED, str(short), short.mend)
        return
    for tier, rules in folder.RULES.items():
        for rule in rules:
            if not only or only == rule:
                yield _judge(manifest, subject, tier, rule, scale[tier][rule], fast=fast, coverage=coverage)


def _judge(
    manifest: Manifest, subject: Subject, tier: str, rule: str, state: str, *, fast: bool, coverage: Path | None
) -> Result:
    if state.startswith("exempt"):
        return Result(manifest.id, tier, rule, Verdict.EXEMPT, state.partition(": ")[2])
    if state == "todo":
        return Result(manifest.id, tier, rule, Verdict.TODO, "to be done, says quality.yaml", "do it")
    began = perf_counter()
    try:
        if rule == "coverage":
            seen = shift.coverage(manifest, coverage)
            if seen is None:
                return Result(manifest.id, tier, rule, Verdict.UNMEASURED, "no --coverage FILE was given")
        elif rule in _FOLDER:
            seen = _FOLDER[rule](manifest, subject)
        else:
            seen = asyncio.run(asyncio.wait_for(_DYNAMIC[rule](manifest, subject, fast), RULE_SECONDS))
    except Short as short:
        return Result(manifest.id, tier, rule, Verdict.FAILED, str(short), short.mend, perf_counter() - began)
    except Fault as fault:
        words = f"{type(fault).__name__}: {fault}"
        return Result(manifest.id, tier, rule, Verdict.FAILED, words, "see the rule", perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - whatever a faulty adapter raises is a verdict, not the end of the suite
        words = f"raised {error!r}"
        return Result(manifest.id, tier, rule, Verdict.FAILED, words, "raise faults only", perf_counter() - began)
    return Result(manifest.id, tier, rule, Verdict.PASSED, seen, "", perf_counter() - began)
