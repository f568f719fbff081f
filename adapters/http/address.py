"""Where a value lies in a document: a path in JSON such as ``$.motor.temp[0]``, or in XML such as ``/m/axis[2]/@pos``,
or a cell of a CSV table such as ``temp[machine=press-1]``.

Pure; ``parse(str(x)) == x``. What begins with ``$`` is for JSON, with ``/`` for XML, everything else for CSV.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from gateway.config.fields import Written

Step = str | int


class DocumentFormat(StrEnum):
    """How a document is written."""

    JSON = "json"
    XML = "xml"
    CSV = "csv"


LONGEST: Final = 1024
DEEPEST: Final = 32
EXPECTED: Final = """\
a path such as $.motor.temp, $.phases[0].u or $['odd name'] (JSON), /m/axis[2]/@pos (XML), \
or a cell such as temp, temp[0] or temp[machine=press-1] (CSV)"""
_STEP: Final = re.compile(
    r"\.(?P<plain>[^\W\d][\w-]*)|\[(?P<index>0|[1-9]\d{0,5})\]|\['(?P<name>(?:\\.|[^'\\])*)'\]", re.DOTALL | re.ASCII
)
_PLAIN: Final = re.compile(r"[^\W\d][\w-]*", re.ASCII)
_ELEMENT: Final = re.compile(r"/(?P<name>[^\W\d][\w.-]*)(?:\[(?P<index>[1-9]\d{0,5})\])?")
_ATTRIBUTE: Final = re.compile(r"/(?P<name>@[^\W\d][\w.-]*)")
_CELL: Final = re.compile(
    r"(?P<column>[^\s$/\[\]=](?:[^\[\]=]*[^\s\[\]=])?)"
    r"(?:\[(?:(?P<row>0|-?[1-9]\d{0,5})|(?P<key>[^\s\[\]=](?:[^\[\]=]*[^\s\[\]=])?)=(?P<value>[^\[\]]*))\])?"
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address(Written):
    """A place in a document. For XML the steps are element names, each with its number among those of its name
    (from 1), and perhaps ``@attribute``. For CSV they are the column and the row (from 0, -1: the last), or the column,
    another column and what that one says in the row."""

    steps: tuple[Step, ...] = ()
    form: DocumentFormat = DocumentFormat.JSON

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises ValueError that says what is expected, and at which column."""
        if not text or len(text) > LONGEST:
            raise ValueError(f"{EXPECTED}; got {text[:80]!r}")
        form = _FORMS.get(text[0], DocumentFormat.CSV)
        steps = _STEPS[form](text)
        if len(steps) > DEEPEST * (1 + (form is DocumentFormat.XML)):
            raise ValueError(f"{text[:60]} …: a path has at most {DEEPEST} steps")
        return cls(steps, form)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"x-what": "address", "examples": ["$.motor.temp"], "anyOf": [{"type": "string"}, {"type": "integer"}]}

    def __str__(self) -> str:
        if self.form is DocumentFormat.JSON:
            return "$" + "".join(map(_written, self.steps))
        if self.form is DocumentFormat.CSV:
            column, row, *value = self.steps
            return f"{column}[{row}={value[0]}]" if value else f"{column}" if row == -1 else f"{column}[{row}]"
        return "".join(f"/{step}" if isinstance(step, str) else f"[{step}]" if step > 1 else "" for step in self.steps)


def _json_steps(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{text}: column {at + 1} is not understood; expected {EXPECTED}")
        if match["index"] is not None:
            steps.append(int(match["index"]))
        else:
            steps.append(match["plain"] or _ESCAPED.sub(r"\1", match["name"] or ""))
        at = match.end()
    return tuple(steps)


def _xml_steps(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if match := _ELEMENT.match(text, at):
            steps += [match["name"], int(match["index"] or 1)]
        elif steps and (match := _ATTRIBUTE.fullmatch(text, at)):
            steps.append(match["name"])
        else:
            raise ValueError(f"{text}: column {at + 1} is not understood; expected {EXPECTED}")
        at = match.end()
    return tuple(steps)


def _cell_steps(text: str) -> tuple[Step, ...]:
    match = _CELL.fullmatch(text)
    if match is None:
        raise ValueError(f"{EXPECTED}; got {text[:80]!r}")
    if match["key"] is not None:
        return match["column"], match["key"], match["value"]
    return match["column"], int(match["row"] or -1)


_FORMS: Final = {"$": DocumentFormat.JSON, "/": DocumentFormat.XML}
_STEPS: Final = {DocumentFormat.JSON: _json_steps, DocumentFormat.XML: _xml_steps, DocumentFormat.CSV: _cell_steps}


def _written(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
