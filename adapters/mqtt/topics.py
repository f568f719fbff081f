"""Topic names and filters of MQTT: what is valid, what matches, and which share of a shared subscription is meant.

Pure. MQTT 3.1.1 and 5.0, clause 4.7 (topic names and filters), 4.8.2 (shared subscriptions).
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

T = TypeVar("T")
LONGEST: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SHARED: Final = re.compile(r"\$share/([^/+#]+)/(.+)")


def check_filter(text: str) -> str:
    """Return a topic filter. Raises ValueError for one that MQTT does not allow."""
    if not text or len(text.encode()) > LONGEST or _CONTROL.search(text):
        raise ValueError(f"a topic filter of 1 to {LONGEST} bytes without control characters")
    inner = text
    if text.startswith("$share/"):
        match = _SHARED.fullmatch(text)
        if match is None:
            raise ValueError(f"{text}: a shared subscription is $share/GROUP/FILTER")
        inner = match[2]
    levels = inner.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise ValueError(f"{text}: # stands alone, in the last level")
        if "+" in level and level != "+":
            raise ValueError(f"{text}: + stands alone in its level")
    return text


def unshared(text: str) -> str:
    """Return the filter that topics are compared with: without ``$share/GROUP/``."""
    match = _SHARED.fullmatch(text)
    return match[2] if match else text


def below(text: str, levels: str) -> str:
    """Return a filter for some levels below another: ``a/b`` or ``a/b/#``, and ``c``, give ``a/b/c``."""
    base = text.removesuffix("#").removesuffix("/")
    return f"{base}/{levels}" if base else levels


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every topic that matches ``narrow`` also matches ``wide``; both unshared filters."""
    wides, narrows = wide.split("/"), narrow.split("/")
    for place, level in enumerate(wides):
        if level == "#":
            return True
        if place >= len(narrows) or narrows[place] == "#" or (level not in ("+", narrows[place])):
            return False
    return len(wides) == len(narrows)


class _Level(Generic[T]):
    """One level of the tree."""

    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Level[T]] = {}
        self.here: list[T] = []


class FilterTree(Generic[T]):
    """Values by topic filter; finds all whose filter matches a topic, in time that grows with the levels only."""

    def __init__(self) -> None:
        self._top: _Level[T] = _Level()

    def add(self, topic_filter: str, value: T) -> None:
        """Add a value under an unshared filter."""
        node = self._top
        for level in topic_filter.split("/"):
            node = node.below.setdefault(level, _Level())
        node.here.append(value)

    def match(self, topic: str) -> list[T]:
        """Return the values of all filters that match a topic name, each as often as it was added."""
        found: list[T] = []
        levels = topic.split("/")
        # a filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1]
        nodes, wild = [self._top], not topic.startswith("$")
        for level in levels:
            following: list[_Level[T]] = []
            for node in nodes:
                if wild and "#" in node.below:
                    found += node.below["#"].here
                if wild and "+" in node.below:
                    following.append(node.below["+"])
                if level in node.below and level not in ("+", "#"):
                    following.append(node.below[level])
            nodes, wild = following, True
        for node in nodes:
            found += node.here
            if "#" in node.below:  # a/# matches a itself [4.7.1.2]
                found += node.below["#"].here
        return found
