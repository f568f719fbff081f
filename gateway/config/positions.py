"""Finds line and column of places in a YAML file that has already been read: a second pass, only when there are errors.

It goes through the events again and keeps nothing but the positions asked for, so that one error among 100,000 tags
costs time, not memory. Where the way leads through an alias or ``<<``, it is followed to where the text stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from gateway.config.errors import Path
from gateway.config.yaml_reader import Event, open_events

_FOLLOW: Final = 8
"""Aliases followed one behind the other."""


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, from 1, of a value and of its key."""

    value: tuple[int, int]
    key: tuple[int, int] | None
    plain: bool
    """True for a scalar that is not empty: an error then points at it, otherwise at its key."""

    @property
    def best(self) -> tuple[int, int]:
        """Where somebody would look first."""
        return self.value if self.plain or self.key is None else self.key


def locate(data: bytes, paths: Iterable[Path]) -> dict[Path, Position]:
    """Positions of paths in a document that `read` found well formed.

    For a path that does not exist: the position of its deepest ancestor that does.
    """
    wanted = set(paths)
    found: dict[Path, Position] = {}
    behind: dict[Path, Path] = {}
    search = set(wanted)
    for _ in range(_FOLLOW):
        finder = _Finder(data, search)
        found |= finder.found
        behind |= finder.redirects
        search = {target for source, target in finder.redirects.items() if source not in found and target not in found}
        if not search:
            break
    return {path: position for path in wanted if (position := _deepest(path, found, behind))}


def _deepest(path: Path, found: dict[Path, Position], behind: dict[Path, Path]) -> Position | None:
    for _ in range(_FOLLOW):
        if path in found or path not in behind:
            break
        path = behind[path]
    while path and path not in found:
        path = path[:-1]
    return found.get(path)


def _mark(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


class _Finder:
    """One pass. ``found``: positions of the wanted paths and of their ancestors; ``redirects``: where aliases lead."""

    def __init__(self, data: bytes, wanted: set[Path]) -> None:
        self.found: dict[Path, Position] = {}
        self.redirects: dict[Path, Path] = {}
        self._next = open_events(data).get_event
        self._anchors: dict[str, Path] = {}
        self._tree: dict[str | int, Any] = {}
        for path in wanted:
            branch = self._tree
            for key in path:
                branch = branch.setdefault(key, {})
        self._next()  # the stream starts
        if isinstance(self._next(), DocumentStartEvent):
            self._node(self._next(), (), None, self._tree)

    def _node(self, event: Event, path: Path, key: tuple[int, int] | None, tree: dict[str | int, Any] | None) -> None:
        kind = type(event)
        if kind is AliasEvent:
            if tree:
                self._redirect(path, self._anchors[event.anchor], tree)
            if tree is not None:
                self.found[path] = Position(_mark(event), key, plain=True)
            return
        if event.anchor is not None:
            self._anchors[event.anchor] = path
        if tree is not None:
            self.found[path] = Position(_mark(event), key, plain=kind is ScalarEvent and event.value != "")
        if kind is MappingStartEvent:
            self._mapping(path, tree)
        elif kind is not ScalarEvent:
            position = 0
            while type(item := self._next()) is not SequenceEndEvent:
                self._node(item, (*path, position), None, tree.get(position) if tree else None)
                position += 1

    def _mapping(self, path: Path, tree: dict[str | int, Any] | None) -> None:
        missing = dict(tree) if tree else {}
        merged: Path | None = None
        while type(key := self._next()) is not MappingEndEvent:
            value: Event = self._next()
            if key.value != "<<":
                missing.pop(key.value, None)
                self._node(value, (*path, key.value), _mark(key), tree.get(key.value) if tree else None)
            elif isinstance(value, AliasEvent):
                merged = self._anchors[str(value.anchor)]
            else:
                self._node(value, (*path, "<<"), None, None)
        if merged is not None:
            self._redirect(path, merged, missing)

    def _redirect(self, path: Path, anchor: Path, tree: dict[str | int, Any]) -> None:
        """Note that what ``tree`` names below ``path`` stands below ``anchor``."""
        for key, branch in tree.items():
            self.redirects[(*path, key)] = (*anchor, key)
            self._redirect((*path, key), (*anchor, key), branch)
