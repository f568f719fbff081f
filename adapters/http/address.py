"""Where a value lies in a document: a path in JSON such as ``$.motor.temp[0]``, or in XML such as ``/m/axis[2]/@pos``.

Pure; ``parse(str(x)) == x``. What begins with ``$`` is for JSON, what begins with ``/`` is for XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

from gateway.config.fields import Written

Step = str | int

LONGEST: Final = 1024
DEEPEST: Final = 32
EXPECTED: Final = "a path such as $.motor.temp, $.phases[0].u or $['odd name'] (JSON), or /m/axis[2]/@pos (XML)"
_STEP: Final = re.compile(
    r"\.(?P<plain>[^\W\d][\w-]*)|\[(?P<index>0|[1-9]\d{0,5})\]|\['(?P<name>(?:\\.|[^'\\])*)'\]", re.DOTALL | re.ASCII
)
_PLAIN: Final = re.compile(r"[^\W\d][\w-]*", re.ASCII)
_ELEMENT: Final = re.compile(r"/(?P<name>[^\W\d][\w.-]*)(?:\[(?P<index>[1-9]\d{0,5})\])?")
_ATTRIBUTE: Final = re.compile(r"/(?P<name>@[^\W\d][\w.-]*)")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address(Written):
    """A place in a document. For XML the steps are element names, each with its number among those of its name
    (from 1), and perhaps ``@attribute``."""

    steps: tuple[Step, ...] = ()
    xml: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises ValueError that says what is expected, and at which column."""
        if not text or text[0] not in "$/" or len(text) > LONGEST:
            raise ValueError(f"{EXPECTED}; got {text[:80]!r}")
        xml = text.startswith("/")
        steps = _xml_steps(text) if xml else _json_steps(text)
        if len(steps) > DEEPEST * (1 + xml):
            raise ValueError(f"{text[:60]} …: a path has at most {DEEPEST} steps")
        return cls(steps, xml)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"x-what": "address", "examples": ["$.motor.temp"], "anyOf": [{"type": "string"}, {"type": "integer"}]}

    def __str__(self) -> str:
        if not self.xml:
            return "$" + "".join(map(_written, self.steps))
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


def _written(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
