"""Addresses of MTConnect: the ``id`` or ``name`` of a data item, such as ``x_pos`` or ``Xabs``, as /probe tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

from gateway.config.fields import Written

_NAME: Final = re.compile(r"[\w][\w.:-]{0,254}")


@dataclass(frozen=True, slots=True)
class Address(Written):
    """One data item. ``parse(str(address)) == address``."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises ValueError that says what is expected."""
        if not _NAME.fullmatch(text):
            expected = "the id or name of a data item, such as x_pos: letters, digits, and _ . : - after the first one."
            raise ValueError(f"{expected} Got {text[:80]!r}")
        return cls(text)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["x_pos", "Xabs"]}
