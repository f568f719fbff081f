"""Errors of a configuration: where, what was expected, what was found, what was probably meant. Told all at once.

While a file is read and checked, errors are kept as findings, with the path of keys that leads to the place. Only
when there is at least one is the file gone through again, to find line and column (see `positions`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.model.faults import ConfigFault

Path = tuple[str | int, ...]
"""Keys and list positions that lead to a value, from the top of its file."""

GOT_LENGTH: Final = 60
_PLAIN_KEY: Final = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One error. ``str`` gives it in one line; the fields are for programs."""

    file: str
    line: int
    """From 1; 0: it concerns the file as a whole."""
    column: int
    """In characters, from 1."""
    path: str
    """Keys that lead to the place, such as ``devices.press-1.tags[3].type``."""
    expected: str
    """What would be right. When ``got`` is empty: the whole error, as a sentence."""
    got: str
    """What is there, shortened; never the value of a secret."""
    suggestion: str
    """The nearest valid name; empty: none is near."""
    code: str
    """Stable reason code."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f"{place}: {self.path}" if self.path else place
        what = f"expected {self.expected}; got {self.got}" if self.got else self.expected
        return f"{where}: {what}" + (f" (nearest: {self.suggestion})" if self.suggestion else "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What passed every check of the configuration, and an adapter cannot work with all the same."""

    section: str
    """``connections`` or ``devices``."""
    name: str
    tag: int | None
    """Position among the device's tags; None: the entry as a whole."""
    message: str
    code: str


class ConfigErrors(ConfigFault):
    """A configuration that cannot be used. ``str`` is one line for each error, in the order of the file."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = list(errors)


class Source:
    """One file: its name as people know it, its bytes, and whether any ``${…}`` is in it."""

    __slots__ = ("data", "name", "templated")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.templated = b"${" in data


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file, by the path of keys. ``place / key`` is one level deeper."""

    source: Source
    path: Path = ()

    def __truediv__(self, key: str | int) -> Place:
        return Place(self.source, (*self.path, key))

    def at(self, path: Path) -> Place:
        """Return the place ``path`` below this one."""
        return Place(self.source, self.path + path)


@dataclass(frozen=True, slots=True)
class Finding:
    """An error whose line and column are not known yet."""

    place: Place
    expected: str
    got: str = ""
    suggestion: str = ""
    code: str = "value_invalid"
    on_key: bool = False
    """The error is the key itself, not its value."""


class Findings:
    """All that was found wrong so far. A place that is settled gets no further errors: they would be consequences."""

    def __init__(self) -> None:
        self.found: dict[Finding, None] = {}
        self._settled: set[tuple[str, Path]] = set()
        self._secrets: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(
        self,
        place: Place,
        expected: str,
        got: str = "",
        *,
        suggestion: str = "",
        code: str = "value_invalid",
        on_key: bool = False,
        settle: bool = False,
    ) -> None:
        """Note an error; the same one twice is one. ``settle``: nothing more is to be said of this place."""
        self.note(Finding(place, expected, got, suggestion, code, on_key))
        if settle:
            self._settled.add((place.source.name, place.path))

    def note(self, finding: Finding) -> None:
        """Note a finding, unless its place is settled."""
        if (finding.place.source.name, finding.place.path) not in self._settled:
            self.found[finding] = None

    def keep_secret(self, value: str) -> None:
        """Blot out ``value`` should it turn up in a message, whoever wrote that message."""
        if len(value) >= 4:
            self._secrets.add(value)

    def discreet(self) -> Iterable[Finding]:
        """All findings, without the values of secrets."""
        for finding in self.found:
            expected, got = finding.expected, finding.got
            for secret in self._secrets:
                expected, got = expected.replace(secret, "***"), got.replace(secret, "***")
            yield replace(finding, expected=expected, got=got)


def nearest(got: object, known: Iterable[str]) -> str:
    """Return the name in ``known`` that was probably meant; empty when none is near."""
    names = {name.casefold(): name for name in known}
    if not names:
        return ""
    word = str(got).casefold()
    import difflib  # only a file with a mistake needs it

    close = difflib.get_close_matches(word, names, n=5, cutoff=0.6)
    swapped = [name for name in close if sorted(name) == sorted(word)]  # int61: rather int16 than int64
    return names[(swapped or close)[0]] if close else ""


def show(value: object) -> str:
    """Text of a value for an error: shortened, and never what is inside a list or a mapping."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= GOT_LENGTH else f"{text[: GOT_LENGTH - 2]}…{text[-1]}"


def show_path(path: Path) -> str:
    """Write a path as people do: ``devices.press-1.tags[3].type``; odd keys in brackets and quotes."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{show(key)}]"
    return text


def listed(names: Iterable[str], most: int = 24) -> str:
    """Write names one behind the other: ``bool, int8, …``."""
    every = list(names)
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")
