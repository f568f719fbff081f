"""OPC UA addresses as people write them: node ids, with the namespace by URI or index, and browse paths.

Pure; the same text always means the same, and ``parse(format(x)) == x``. Syntax: Part 6, 5.3.1.10 (node ids) and
Part 4, A.2 (relative paths; ``&`` before a ``/`` or ``&`` that belongs to a name).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic_core import core_schema

Namespace = int | str
"""Index in the server's namespace array, or its URI, which stays the same when the server is configured anew."""
Identifier = int | str | UUID | bytes
Step = tuple[Namespace, str]

LONGEST: Final = 4096
"""Characters of an address (Part 3, 8.2: an identifier has at most 4096)."""
DEEPEST: Final = 64
"""Steps of a browse path."""
EXPECTED: Final = (
    "a node id such as nsu=http://plant.example/press;s=Oil.Temperature or ns=2;i=1001, "
    "or a browse path such as /Objects/2:Press/2:Oil"
)
_NODE: Final = re.compile(r"(?:ns=(\d{1,5});|nsu=([^;]+);)?([isgb])=(.*)", re.DOTALL)
_STEP: Final = re.compile(r"/(?:(\d{1,5}):|nsu=([^;]+);)?((?:[^/&]|&.)+)", re.DOTALL)
_LETTERS: Final[dict[type, str]] = {int: "i", str: "s", UUID: "g", bytes: "b"}


class Address:
    """Where a node is: a `NodeAddress` or a `PathAddress`."""

    __slots__ = ()

    @staticmethod
    def parse(value: object) -> Address:
        """Read an address. Raises ValueError that says what is expected."""
        if isinstance(value, Address):
            return value
        if not isinstance(value, str) or not value or len(value) > LONGEST:
            raise ValueError(EXPECTED)
        return _path(value) if value.startswith("/") else _node(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"x-what": "address", "examples": ["ns=2;s=Oil.Temperature"], "type": "string"}


@dataclass(frozen=True, slots=True)
class NodeAddress(Address):
    """One node, by its id."""

    namespace: Namespace
    identifier: Identifier

    def __str__(self) -> str:
        letter = _LETTERS[type(self.identifier)]
        text = b64encode(self.identifier).decode() if isinstance(self.identifier, bytes) else str(self.identifier)
        return f"{_prefix(self.namespace)}{letter}={text}"


@dataclass(frozen=True, slots=True)
class PathAddress(Address):
    """One node, by the browse names that lead to it from the root folder."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "".join(f"/{_step_prefix(namespace)}{_escaped(name)}" for namespace, name in self.steps)


def _node(text: str) -> NodeAddress:
    match = _NODE.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    index, uri, letter, written = match.groups()
    return NodeAddress(_namespace(index, uri), _IDENTIFIERS[letter](written))


def _path(text: str) -> PathAddress:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or len(steps) == DEEPEST:
            raise ValueError(EXPECTED)
        index, uri, name = match.groups()
        steps.append((_namespace(index, uri), re.sub(r"&(.)", r"\1", name, flags=re.DOTALL)))
        at = match.end()
    return PathAddress(tuple(steps))


def _namespace(index: str | None, uri: str | None) -> Namespace:
    if uri is not None:
        return uri.replace("%3B", ";").replace("%25", "%")
    number = int(index or 0)
    if number > 0xFFFF:
        raise ValueError(f"namespace {number} is above 65535")
    return number


def _prefix(namespace: Namespace) -> str:
    if isinstance(namespace, str):
        return f"nsu={namespace.replace('%', '%25').replace(';', '%3B')};"
    return f"ns={namespace};" if namespace else ""


def _step_prefix(namespace: Namespace) -> str:
    return _prefix(namespace) if isinstance(namespace, str) else f"{namespace}:"


def _escaped(name: str) -> str:
    return re.sub(r"[&/]", r"&\g<0>", name)


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text) or int(text) > 0xFFFFFFFF:
        raise ValueError(f"i={text}: expected a number up to 4294967295")
    return int(text)


def _text(text: str) -> str:
    if not text:
        raise ValueError("s= needs a name behind it")
    return text


def _guid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"g={text}: expected a GUID such as 72962b91-fa75-4ae6-8d28-b404dc7daf63") from None


def _opaque(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(f"b={text}: expected bytes in base64") from None


_IDENTIFIERS: Final[dict[str, Callable[[str], Identifier]]] = {"i": _number, "s": _text, "g": _guid, "b": _opaque}
