"""Where a value lies in a message: a path in its JSON, ``$.motor.temp[0]``, or the name of a Sparkplug metric.

Pure; the same text always means the same, and ``parse(format(x)) == x``. What begins with ``$`` is a path; ``$`` alone
is the whole of the message. Everything else is the name of a metric.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import core_schema

Step = str | int

_STEP: Final = re.compile(
    r"""
    \.(?P<plain>[^\W\d][\w-]*)
    | \[(?P<index>0|[1-9][0-9]{0,5})\]
    | \[(?P<quote>["'])(?P<name>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)\]
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN: Final = re.compile(r"[^\W\d][\w-]*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
LONGEST: Final = 1024
DEEPEST: Final = 32
EXPECTED: Final = """\
a path such as $.motor.temp, $.phases[0].u or $['odd name'] ($: the whole message), or the name of a Sparkplug metric"""


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a message."""

    steps: tuple[Step, ...] = ()
    """Member names and array indices from the top of the document; for a path."""
    metric: str = ""
    """Name of a Sparkplug metric; empty: this is a path."""

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address. Raises ValueError that says what is expected, and at which column."""
        if isinstance(value, Address):
            return value
        if not isinstance(value, str) or not value or len(value) > LONGEST:
            raise ValueError(EXPECTED)
        if not value.startswith("$"):
            return cls(metric=value)
        steps: list[Step] = []
        at = 1
        while at < len(value):
            match = _STEP.match(value, at)
            if match is None:
                raise ValueError(f"{value}: column {at + 1} is not understood; expected {EXPECTED}")
            if match["index"] is not None:
                steps.append(int(match["index"]))
            else:
                steps.append(match["plain"] or _ESCAPED.sub(r"\1", match["name"] or ""))
            at = match.end()
        if len(steps) > DEEPEST:
            raise ValueError(f"{value[:60]} …: a path has at most {DEEPEST} steps")
        return cls(tuple(steps))

    def __str__(self) -> str:
        return self.metric or "$" + "".join(map(_written, self.steps))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["$.motor.temp", "$.phases[0].u", "Outputs/Speed"]}


WHOLE: Final = Address()
"""The whole of a message."""


def _written(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
