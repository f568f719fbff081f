"""The XML documents of an agent (MTConnect Standard, Parts 1 to 3): bytes to data items, observations and errors. Pure.

Parsed by expat, with document types and entities refused: no document can grow beyond its own bytes. Elements are told
by their local names, so that every edition of the schemas is the same here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.parsers import expat

from gateway.sdk import AuthFault, Busy, Fault, ProtocolFault

DEEPEST: Final = 64
"""Elements within elements."""
CONDITIONS: Final = {"Normal": 0, "Warning": 1, "Fault": 2}
"""Level of a condition, as a number; Unavailable has none."""


class OutOfRange(ProtocolFault):
    """The buffer of the agent does not hold, or no longer, what was asked for."""


ERRORS: Final[dict[str, type[Fault] | Callable[[str], Fault]]] = {
    "ASSET_NOT_FOUND": ProtocolFault,
    "INTERNAL_ERROR": lambda words: Busy(words, wait=5.0),
    "INVALID_REQUEST": ProtocolFault,
    "INVALID_URI": ProtocolFault,
    "INVALID_XPATH": ProtocolFault,
    "NO_DEVICE": ProtocolFault,
    "OUT_OF_RANGE": OutOfRange,
    "QUERY_ERROR": ProtocolFault,
    "TOO_MANY": lambda words: Busy(words, wait=5.0),
    "UNAUTHORIZED": AuthFault,
    "UNSUPPORTED": ProtocolFault,
}
"""errorCode (Part 1, Error information model) → what it means here; one that is not known: ProtocolFault."""


class Header(NamedTuple):
    """Header of a document; numbers that it does not have are 0."""

    instance: int
    first: int
    next: int
    buffer: int
    sender: str
    version: str


NO_HEADER: Final = Header(0, 0, 0, 0, "", "")


class DataItem(NamedTuple):
    """What can be observed, as /probe tells it."""

    device: str
    uuid: str
    path: str
    id: str
    name: str
    category: str
    type: str
    units: str
    representation: str


class Observation(NamedTuple):
    """One value, as /current and /sample tell it."""

    id: str
    sequence: int
    timestamp: str
    text: str | None
    """None: it has members of its own (a data set, a table)."""
    level: str = ""
    """Of a condition: Normal, Warning, Fault or Unavailable."""
    native: str = ""
    """Of a condition: which of its several faults this is about."""


@dataclass(slots=True)
class Document:
    """What a document told."""

    kind: str = ""
    """MTConnectDevices, MTConnectStreams or MTConnectError."""
    header: Header = NO_HEADER
    items: list[DataItem] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, where: str) -> Fault | None:
        """What an error document means; None for any other."""
        if self.kind != "MTConnectError":
            return None
        code, words = self.errors[0] if self.errors else ("", "")
        if "<MTConnectError" in words:  # in a stream, cppagent 1 wraps up the document that it would have answered with
            with suppress(ProtocolFault):
                code, words = parse(words.encode()).errors[0]
        return error_fault(where, code, words)


def error_fault(where: str, code: str, words: str = "") -> Fault:
    """What an errorCode means."""
    return ERRORS.get(code, ProtocolFault)(f"{where}: the agent says {code or 'nothing'}: {words[:200]}")


def parse(data: bytes) -> Document:
    """Read a document. Raises ProtocolFault for what is none."""
    return _Reader().read(data)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise ProtocolFault(f"a header or observation with {text[:32]!r} for a number")
    return int(text)


class _Reader:
    def __init__(self) -> None:
        self.document = Document()
        self.open: list[str] = []
        self.place: list[str] = []
        """Names of the device and its components down to here; empty for elements that are neither."""
        self.device = ("", "")
        self.text: list[str] = []
        self.attributes: dict[str, str] = {}
        self.nested = False
        parser = self.parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse
        parser.EntityDeclHandler = self.refuse

    def read(self, data: bytes) -> Document:
        try:
            self.parser.Parse(data, True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise ProtocolFault(f"a document that is no XML: {error}", data=data) from error
        if self.document.kind not in {"MTConnectDevices", "MTConnectStreams", "MTConnectError"}:
            raise ProtocolFault(f"a document that is no MTConnect but {self.document.kind[:64]!r}", data=data)
        return self.document

    def refuse(self, *_: object) -> None:
        raise ProtocolFault("a document with a document type, which MTConnect has not")

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        parent = self.open[-1] if self.open else ""
        self.open.append(name)
        self.place.append("")
        if len(self.open) > DEEPEST:
            raise ProtocolFault(f"a document of more than {DEEPEST} levels")
        if len(self.open) == 1:
            self.document.kind = name
        elif name == "Header" and len(self.open) == 2:
            self._header(attributes)
        elif name == "DataItem":
            self._item(attributes)
        elif parent in {"Devices", "Components"}:
            self.place[-1] = attributes.get("name") or attributes.get("id", "")
            if parent == "Devices":
                self.device = attributes.get("name", ""), attributes.get("uuid", "")
        if parent in {"Samples", "Events", "Condition", "Errors"} or name == "Error":
            self.attributes, self.nested = attributes, False
        else:
            self.nested = True
        self.text.clear()

    def end(self, qualified: str) -> None:
        name = self.open.pop()
        self.place.pop()
        parent = self.open[-1] if self.open else ""
        if parent in {"Samples", "Events", "Condition"}:
            self._observation(name, parent, "".join(self.text))
        elif name == "Error" and "errorCode" in self.attributes:
            self.document.errors.append((self.attributes["errorCode"], "".join(self.text).strip()))
        del qualified

    def _header(self, attributes: dict[str, str]) -> None:
        names = ("instanceId", "firstSequence", "nextSequence", "bufferSize")
        instance, first, following, buffer = (_number(attributes.get(name) or "0") for name in names)
        told = attributes.get("sender", ""), attributes.get("version", "")
        self.document.header = Header(instance, first, following, buffer, *told)

    def _item(self, attributes: dict[str, str]) -> None:
        name, identity = attributes.get("name", ""), attributes.get("id", "")
        path = "/".join([*filter(None, self.place), name or identity])
        rest = (attributes.get(key, "") for key in ("category", "type", "units", "representation"))
        self.document.items.append(DataItem(*self.device, path, identity, name, *rest))

    def _observation(self, name: str, parent: str, text: str) -> None:
        told = self.attributes
        condition = parent == "Condition"
        self.document.observations.append(
            Observation(
                told.get("dataItemId", ""),
                _number(told.get("sequence", "")),
                told.get("timestamp", ""),
                None if self.nested else text,
                name if condition else "",
                told.get("conditionId") or told.get("nativeCode", "") if condition else "",
            )
        )
