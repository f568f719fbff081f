"""YAML → dicts and lists, fast and strict: the YAML 1.2 core schema, no duplicate keys, every size bounded.

Reads the events of libyaml, so that 100,000 tags take a second or two. Differences from a general YAML loader:
``on``, ``off``, ``yes``, ``no`` stay text; keys are text whatever they look like; equal scalars are one object; and no
position is kept (see `positions` for finding one afterwards). The merge key ``<<`` is understood.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from gateway.config.errors import Path, show

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 32
MAX_ALIASED: Final = 1_000_000
"""Values that aliases may stand for, all together: some more than any plant needs, far less than a bomb unfolds to."""
Event = Any
"""One of yaml.events; its attributes depend on its class, which the published types do not tell."""

_CONSTANTS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    **{sign + text: float(sign + "inf") for sign in ("", "+", "-") for text in (".inf", ".Inf", ".INF")},
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INT: Final = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,3000}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_TAG: Final = "tag:yaml.org,2002:"
_KNOWN_TAGS: Final = frozenset(
    {None, "!", *(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
)

_SYNTAX: Final[dict[str, tuple[str, str, bool]]] = {
    "could not find expected ':'": ("'key: value', with a colon behind the key", "no colon", True),
    "mapping values are not allowed in this context": (
        "one 'key: value' on a line, indented like its neighbours (text that holds ': ' goes in quotes)",
        "a colon where no key can be",
        False,
    ),
    "did not find expected key": ("a key, indented like its neighbours", "something else", False),
    "did not find expected '-' indicator": ("'- ' before the next item, or a smaller indentation", "neither", False),
    "did not find expected ',' or ']'": ("a list '[…]' to go on with ',' or end with ']'", "neither", False),
    "did not find expected ',' or '}'": ("a mapping '{…}' to go on with ',' or end with '}'", "neither", False),
    "did not find expected node content": ("a value", "none", False),
    "did not find expected <document start>": ("keys indented like the first one", "another indentation", False),
    "found unexpected end of stream": ("a closing quote", "the end of the file", True),
    "found a tab character that violates indentation": ("spaces for indentation", "a tab", False),
    "found a tab character where an indentation space is expected": ("spaces for indentation", "a tab", False),
    "block sequence entries are not allowed in this context": ("'- ' to begin a line", "it behind a key", False),
}  # fmt: skip
"""What libyaml says → what was expected, what is there, and whether the error is where the construct began."""


@dataclass(slots=True)
class Problem:
    """What is wrong with the YAML itself. ``path`` is known for a duplicate key and the like, not for broken syntax."""

    line: int
    column: int
    expected: str
    got: str
    code: str = "yaml_invalid"
    path: Path = ()


class Unreadable(Exception):
    """The document cannot be read to its end."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.expected)
        self.problem = problem


def open_events(data: bytes) -> Any:
    """Return a parser over ``data``; its ``get_event()`` gives one event after another."""
    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)(data)


def read(data: bytes) -> tuple[Any, list[Problem]]:
    """Read one YAML document of UTF-8 bytes: (dicts, lists and scalars; what is wrong with it)."""
    try:
        check_text(data)
        reader = _Reader(data)
        return reader.document(), reader.problems
    except Unreadable as broken:
        return None, [broken.problem]
    except yaml.MarkedYAMLError as error:
        return None, [syntax_problem(error, data)]
    except yaml.YAMLError as error:
        return None, [Problem(0, 0, "text without control characters", str(error).splitlines()[0])]


def check_text(data: bytes) -> None:
    """Raise Unreadable for what is too large, or not UTF-8: then with the line and column of the first odd byte."""
    if len(data) > MAX_BYTES:
        raise Unreadable(Problem(0, 0, f"at most {MAX_BYTES // 1024**2} MiB", f"{len(data)} bytes", "file_too_large"))
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[line_start : error.start].decode("utf-8", "replace")) + 1
        odd = data[error.start]
        raise Unreadable(Problem(line, column, "text in UTF-8", f"byte 0x{odd:02x}")) from None


def syntax_problem(error: yaml.MarkedYAMLError, data: bytes) -> Problem:
    """Put an error of libyaml into the words of somebody who writes configurations."""
    said = (error.problem or "").strip()
    mark = error.problem_mark
    expected, got, at_start = _SYNTAX.get(said, ("valid YAML", said, False))
    if at_start and error.context_mark:
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if said == "found character that cannot start any token":
        odd = _line(data, line)[column - 1 : column]
        if odd == "\t":
            expected, got = "spaces for indentation", "a tab"
        else:
            expected, got = f"quotes around text that begins with {odd}", "none"
    elif said == "mapping values are not allowed in this context":
        above = _line(data, line - 1)
        if above.strip() and ":" not in above and above.strip()[0] not in "#-":
            expected, got, _ = _SYNTAX["could not find expected ':'"]
            line, column = line - 1, len(above) - len(above.lstrip()) + 1
    return Problem(line, column, expected, got)


def _line(data: bytes, number: int) -> str:
    """Text of a line, numbered from 1."""
    lines = data.decode("utf-8").split("\n")
    return lines[number - 1] if 0 < number <= len(lines) else ""


class _Reader:
    """Builds the values of one document from its events."""

    def __init__(self, data: bytes) -> None:
        self.problems: list[Problem] = []
        self._next = open_events(data).get_event
        self._scalars: dict[str, Any] = dict(_CONSTANTS)
        self._texts: dict[str, str] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._built = 0
        self._aliased = 0
        self._depth = 0

    def document(self) -> Any:
        self._next()  # stream start
        if isinstance(self._next(), StreamEndEvent):
            return None
        value = self._node(self._next())
        for event in iter(self._next, None):
            if isinstance(event, DocumentStartEvent):
                self._unreadable(event, "one document in a file", "another behind '---'")
            if not isinstance(event, DocumentEndEvent):
                break
        return value

    def _node(self, event: Event) -> Any:
        kind = type(event)
        if kind is ScalarEvent:
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            return value
        if kind is AliasEvent:
            return self._alias(event)
        if event.tag not in _KNOWN_TAGS:
            self._problem(event, "no YAML tag here", show(event.tag))
        if self._depth == MAX_DEPTH:
            self._unreadable(event, f"at most {MAX_DEPTH} levels of lists and mappings", "more")
        self._depth += 1
        before = self._built
        value = self._mapping() if kind is MappingStartEvent else self._sequence()
        self._depth -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._built - before)
        return value

    def _sequence(self) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()) is not SequenceEndEvent:
            known = len(self.problems)
            items.append(self._node(event))
            if len(self.problems) > known:
                self._lead(known, len(items) - 1)
        self._built += len(items)
        return items

    def _mapping(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[Any] = []
        while type(event := self._next()) is not MappingEndEvent:
            known = len(self.problems)
            key = self._key(event)
            value = self._node(self._next())
            if len(self.problems) > known:
                self._lead(known, key)
            if key == "<<" and event.implicit[0]:
                merged.extend(value if isinstance(value, list) else [value])
                if not all(isinstance(part, dict) for part in merged):
                    self._problem(event, "'<<' to name a mapping, or a list of them", show(value))
                    merged.clear()
            elif key in values:
                self._problem(event, "each key once", f"{show(key)} again", (key,))
            else:
                values[key] = value
        for part in merged:
            values = {**part, **values}
        self._built += len(values)
        return values

    def _key(self, event: Event) -> str:
        if type(event) is not ScalarEvent:
            self._unreadable(event, "a key that is text", "a list, a mapping or an alias")
        return sys.intern(event.value)

    def _scalar(self, event: Event) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is None:
            if not event.implicit[0]:
                return self._texts.setdefault(text, text)
            try:
                return self._scalars[text]
            except KeyError:
                value = self._scalars[text] = self._plain(text)
                return value
        if tag not in _KNOWN_TAGS:
            self._problem(event, "no YAML tag here", show(tag))
        value = text if tag in {"!", _TAG + "str"} else self._plain(text)
        if tag == _TAG + "float" and isinstance(value, int):
            value = float(value)
        return value

    def _plain(self, text: str) -> Any:
        """Value of a scalar without quotes, by the YAML 1.2 core schema (chapter 10.3.2)."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            return int(text, 10 if text[:2] not in {"0o", "0x"} else 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        return self._texts.setdefault(text, text)

    def _alias(self, event: Event) -> Any:
        if event.anchor not in self._anchors:
            self._unreadable(event, f"an anchor &{event.anchor} further up", "none")
        value, size = self._anchors[event.anchor]
        self._built += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._unreadable(event, f"aliases that stand for at most {MAX_ALIASED} values", "more")
        return value

    def _problem(self, event: Event, expected: str, got: str, path: Path = ()) -> None:
        mark = event.start_mark
        self.problems.append(Problem(mark.line + 1, mark.column + 1, expected, got, path=path))

    def _unreadable(self, event: Event, expected: str, got: str) -> None:
        mark = event.start_mark
        raise Unreadable(Problem(mark.line + 1, mark.column + 1, expected, got))

    def _lead(self, known: int, key: str | int) -> None:
        """Put ``key`` before the paths of the problems found since there were ``known``."""
        for problem in self.problems[known:]:
            problem.path = (key, *problem.path)
