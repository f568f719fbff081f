"""Reads the files of a configuration: the one that was named, and those it includes. Knows what sections there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.config.errors import ConfigError, ConfigErrors, Findings, Place, Source, listed, nearest, show, show_path
from gateway.config.positions import locate
from gateway.config.yaml_reader import MAX_BYTES, Problem, read

NAMED: Final[dict[str, str]] = {
    "connections": "ways to reach devices, by name",
    "profiles": "device models, by name",
    "devices": "machines, by name",
    "lanes": "ways to platforms, by name",
}
"""Sections that hold named entries. They may stand in included files as well."""

SINGLE: Final[dict[str, str]] = {
    "gateway": "who this gateway is",
    "bus": "how data is kept until it is delivered",
    "observe": "logs, metrics and health",
}
"""Sections that stand once, in the main file."""

INCLUDE: Final = "include"


@dataclass(slots=True)
class Sections:
    """What stands in all files together, not yet checked."""

    single: dict[str, tuple[Any, Place]] = field(default_factory=dict)
    named: dict[str, dict[str, tuple[Any, Place]]] = field(default_factory=lambda: {name: {} for name in NAMED})
    meant: set[str] = field(default_factory=set)
    """Sections that are not there because they are misspelt, which has been told."""
    main: Place = field(default_factory=lambda: Place(Source("", b"")))


def read_sections(path: Path, findings: Findings) -> Sections:
    """Read the main file and those it includes. Raises ConfigErrors when one of them cannot be read to its end."""
    broken: list[ConfigError] = []
    sections = Sections()
    root, sections.main = _read(path, str(path), broken, None)
    _take(root, sections.main, sections, findings, main=True)
    room = MAX_BYTES - len(sections.main.source.data)
    for file, name, origin in _included(root, path, sections.main, findings):
        data, place = _read(file, name, broken, origin)
        room -= len(place.source.data)
        if room < 0:
            findings.add(origin, f"files of {MAX_BYTES // 1024**2} MiB together", "more", code="file_too_large")
            break
        _take(data, place, sections, findings, main=False)
    if broken:
        raise ConfigErrors(broken + errors_of(findings, sections.main))
    return sections


def errors_of(findings: Findings, main: Place) -> list[ConfigError]:
    """All findings with their lines and columns, in the order of lines; the main file first."""
    by_source: dict[str, list[Any]] = {}
    for finding in findings.discreet():
        by_source.setdefault(finding.place.source.name, []).append(finding)
    errors: list[ConfigError] = []
    for name, found in sorted(by_source.items(), key=lambda item: item[0] != main.source.name):
        positions = locate(found[0].place.source.data, [finding.place.path for finding in found])
        here = []
        for finding in found:
            position = positions.get(finding.place.path)
            line, column = (0, 0) if position is None else position.best
            if position and finding.on_key and position.key:
                line, column = position.key
            path = show_path(finding.place.path)
            here.append(
                ConfigError(name, line, column, path, finding.expected, finding.got, finding.suggestion, finding.code)
            )
        errors += sorted(here, key=lambda error: (error.line, error.column))
    return errors


def _read(path: Path, name: str, broken: list[ConfigError], origin: Place | None) -> tuple[Any, Place]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        got = error.strerror or str(error)
        at, keys, line, column = name, "", 0, 0
        if origin:
            at, keys, got = origin.source.name, show_path(origin.path), f"{name}: {got}"
            line, column = locate(origin.source.data, [origin.path])[origin.path].best
        expected = "a file that can be read"
        broken.append(ConfigError(at, line, column, keys, expected, got, "", "file_unreadable"))
        return None, Place(Source(name, b""))
    root, problems = read(data)
    broken += [_error(name, problem) for problem in problems]
    return root, Place(Source(name, data if len(data) <= MAX_BYTES else b""))


def _error(name: str, problem: Problem) -> ConfigError:
    path = show_path(problem.path)
    return ConfigError(name, problem.line, problem.column, path, problem.expected, problem.got, "", problem.code)


def _take(root: Any, place: Place, sections: Sections, findings: Findings, *, main: bool) -> None:
    """Distribute one file's content over the sections."""
    if root is None:
        return
    if not isinstance(root, dict):
        findings.add(place, "a mapping of sections", show(root))
        return
    known = (*SINGLE, INCLUDE, *NAMED) if main else tuple(NAMED)
    for section, content in root.items():
        here = place / section
        if section in SINGLE and main:
            sections.single[section] = (content, here)
        elif section in NAMED:
            _entries(section, content, here, sections.named[section], findings)
        elif section != INCLUDE or not main:
            near = nearest(section, [name for name in known if name not in root])
            sections.meant.add(near)
            only = (
                "a section that may stand in an included file" if section in {*SINGLE, INCLUDE} else "a known section"
            )
            expected = only if near else f"{only} ({listed(known)})"
            findings.add(here, expected, show(section), suggestion=near, code="key_unknown", on_key=True)


def _entries(section: str, content: Any, place: Place, into: dict[str, tuple[Any, Place]], findings: Findings) -> None:
    if content is None:
        return
    if not isinstance(content, dict):
        findings.add(place, f"{section} by name ('name:' and below it, indented, its keys)", show(content))
        return
    for name, entry in content.items():
        if name in into:
            other = into[name][1]
            findings.add(place / name, f"a name that {other.source.name} does not use", show(name), code="name_twice")
        else:
            into[name] = (entry, place / name)


def _included(root: Any, path: Path, main: Place, findings: Findings) -> Iterable[tuple[Path, str, Place]]:
    """Files to include, in the order given, each once: (path, name for people, where it is named)."""
    wanted = root.get(INCLUDE) if isinstance(root, dict) else None
    if wanted is None:
        return
    place = main / INCLUDE
    if not isinstance(wanted, list):
        findings.add(place, "a list of files, such as [devices/*.yaml]", show(wanted))
        return
    seen = {path.resolve()}
    for position, pattern in enumerate(wanted):
        here = place / position
        if not isinstance(pattern, str) or not pattern or Path(pattern).is_absolute():
            findings.add(here, "a file name or pattern, relative to this file's folder", show(pattern))
            continue
        files = sorted(path.parent.glob(pattern)) if any(sign in pattern for sign in "*?[") else [path.parent / pattern]
        if not files:
            findings.add(here, "a pattern that matches a file", show(pattern), code="file_unreadable")
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, str(file), here
