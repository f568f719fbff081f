"""Documents to values: JSON, XML and CSV, decoded once, then looked up by the paths of tags. Sans-io.

A value that is not what its tag is meant to hold is never bent until it fits: it is bad, and its neighbours arrive.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final
from xml.parsers import expat

import msgspec

from gateway.model.types import DataType
from gateway.sdk import ProtocolFault, Quality, Value

from .address import DEEPEST as STEPS_MOST
from .address import Address, DocumentFormat, Step

ABSENT: Final = object()
DEEPEST: Final = 100
"""Elements within each other."""
_REALS: Final = (DataType.FLOAT32, DataType.FLOAT64)
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_INTEGER: Final = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REAL: Final = re.compile(r"[+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)

Judged = tuple[Value | None, Quality]


def decode(form: DocumentFormat, body: bytes, delimiter: str = ",") -> Any:
    """Take a body apart. Raises ProtocolFault for what is no such document."""
    try:
        if form is DocumentFormat.CSV:
            return _decode_csv(body, delimiter)
        return _decode_xml(body) if form is DocumentFormat.XML else msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, expat.ExpatError, csv.Error, ValueError) as error:
        raise ProtocolFault(f"a document that is no {form.upper()}: {error}", data=body) from error


def find(document: Any, address: Address) -> Any:
    """What is at an address, or ABSENT."""
    steps = address.steps
    if address.form is DocumentFormat.CSV and len(steps) == 3:
        column, key, value = steps
        said = document.get(key, [])
        rows = [row for row, text in enumerate(said) if text == value]
        if not rows:
            return ABSENT
        steps = (column, rows[-1])
    for step in steps:
        if isinstance(document, dict) and isinstance(step, str):
            document = document.get(step, ABSENT)
        elif isinstance(document, list) and isinstance(step, int) and -len(document) <= step < len(document):
            document = document[step]
        else:
            return ABSENT
    return document


def judge(found: Any, kind: DataType, form: DocumentFormat) -> Judged:
    """Raw value of a tag of type ``kind`` out of what was found, and its quality: bad means that there is no value."""
    if found is ABSENT:
        return None, Quality.ADDRESS_REFUSED
    if found is None or (found == "" and form is DocumentFormat.CSV and kind is not DataType.STRING):
        return None, Quality.NOT_AVAILABLE
    value = _member(found, kind) if form is DocumentFormat.JSON else _text(found, kind)
    return (None, Quality.UNDECODABLE) if value is None else (value, Quality.GOOD)


def _member(found: Any, kind: DataType) -> Value | None:
    """JSON: a number is no text, a text no number; 1.0 is a whole number; only true and false (and 1, 0) are bool."""
    if kind is DataType.STRING:
        return found if isinstance(found, str) else None
    if kind is DataType.BOOL:
        return bool(found) if isinstance(found, bool | int) and found in (0, 1) else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    if kind in _REALS:
        return _real(found)
    return _fitting(int(found), kind) if found == found // 1 else None


def _text(found: Any, kind: DataType) -> Value | None:
    if not isinstance(found, str):
        found = found.get("", "")  # an element: its text
    if kind is DataType.STRING:
        return str(found)
    found = found.strip()
    if kind is DataType.BOOL:
        return _TRUTHS.get(found.lower())
    if kind in _REALS:
        return _real(float(found)) if _REAL.fullmatch(found) else None
    return _fitting(int(found), kind) if _INTEGER.fullmatch(found) else None


def _real(number: float) -> float | None:
    """A number, unless it is larger than a double; json writes no infinity on purpose."""
    try:
        real = float(number)
    except OverflowError:
        return None
    return real if abs(real) != float("inf") else None


def _fitting(number: int, kind: DataType) -> int | None:
    bits = 8 * kind.width
    lowest, highest = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return number if lowest <= number <= highest else None


def _decode_csv(body: bytes, delimiter: str) -> dict[str, list[str]]:
    """Columns by the name in the first line; of two of one name, the first. UTF-8; blank lines are left out."""
    rows = [row for row in csv.reader(StringIO(body.decode("utf-8-sig"), ""), delimiter=delimiter, strict=True) if row]
    if not rows:
        raise ValueError("there is no header line")
    header, *others = rows
    found: dict[str, list[str]] = {}
    for place, name in enumerate(header):
        found.setdefault(name.strip(), [row[place].strip() if place < len(row) else "" for row in others])
    return found


def _decode_xml(body: bytes) -> dict[str, Any]:
    """Elements as dicts: name → list of elements (its first entry is unused, since they count from 1), ``@name`` →
    attribute, ``""`` → text. Names without their prefix. A document type is refused: with it entities that grow."""
    root: dict[str, Any] = {}
    open_elements = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > DEEPEST:
            raise ValueError(f"elements more than {DEEPEST} deep")
        element: dict[str, Any] = {f"@{key.rpartition(':')[2]}": text for key, text in attributes.items()}
        open_elements[-1].setdefault(name.rpartition(":")[2], [None]).append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        element = open_elements.pop()
        element[""] = "".join(element.get("", ()))

    def text(data: str) -> None:
        open_elements[-1].setdefault("", []).append(data)

    def doctype(*_: object) -> None:
        raise ValueError("it has a document type, which is not taken")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    parser.Parse(body, True)
    return root


def members(document: Any, form: DocumentFormat) -> Iterator[tuple[Address, Value | None]]:
    """Values of a decoded document with their addresses, in its order; of XML: attributes, texts that are not blank."""
    xml = form is DocumentFormat.XML
    for steps, value in _walk(document, ()):
        if not xml:
            yield Address(steps, form), value
        elif value is not None and (steps[-1] or str(value).strip()):
            yield Address(steps if steps[-1] else steps[:-1], form), value


def _walk(document: Any, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    if isinstance(document, dict | list) and len(steps) < STEPS_MOST:
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from _walk(value, (*steps, key))
    elif not isinstance(document, dict | list):
        yield steps, document
