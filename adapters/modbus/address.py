"""Modbus addresses as people write them: ``hr:100``, ``coil:5``, ``40001``, and a bit of a register, ``hr:100.3``.

Pure; the same text always means the same, and ``parse(format(x)) == x``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic_core import core_schema


class Area(StrEnum):
    """The four tables of the data model (Application Protocol V1.1b3, clause 4.3)."""

    COIL = "co"
    DISCRETE = "di"
    INPUT = "ir"
    HOLDING = "hr"

    @property
    def bits(self) -> bool:
        """True for the two tables of single bits, False for those of 16-bit registers."""
        return self in _BITS

    @property
    def writable(self) -> bool:
        """True for the tables that a client may write."""
        return self in (Area.COIL, Area.HOLDING)


_BITS: Final = (Area.COIL, Area.DISCRETE)
_PREFIXES: Final[dict[str, Area]] = {
    "co": Area.COIL, "coil": Area.COIL,
    "di": Area.DISCRETE, "discrete": Area.DISCRETE,
    "ir": Area.INPUT, "input": Area.INPUT,
    "hr": Area.HOLDING, "holding": Area.HOLDING,
}  # fmt: skip
_DIGITS: Final[dict[str, Area]] = {"0": Area.COIL, "1": Area.DISCRETE, "3": Area.INPUT, "4": Area.HOLDING}
_LEADS: Final[dict[Area, str]] = {area: digit for digit, area in _DIGITS.items()}
_PREFIXED: Final = re.compile(r"([a-z]+):(\d{1,5})(?:\.(\w{1,2}))?")
_REFERENCE: Final = re.compile(r"([0134])(\d{4,5})(?:\.(\w{1,2}))?")
_PARTS: Final = frozenset([str(bit) for bit in range(16)] + ["hi", "lo"])
LAST: Final = 65_535
EXPECTED: Final = (
    "an address such as hr:100 (holding register), ir:30 (input register), co:5 (coil), di:7 (discrete input), "
    "hr:100.3 (bit 3 of a register), hr:100.hi (its upper byte), or 40001 / 400001 (counted from 1)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One place in a device."""

    area: Area
    number: int
    """As written: counted from the device's ``base``, or from 1 when it is a reference."""
    part: str = ""
    """``0`` to ``15``: one bit of a register; ``hi`` or ``lo``: one byte of it; empty: all of it."""
    reference: bool = False
    """True when written as ``40001``, which always counts from 1."""

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address. Raises ValueError that says what is expected."""
        if isinstance(value, Address):
            return value
        if isinstance(value, float):
            text = f"{value} was read as a decimal number: write an address with a bit in quotes, '40001.10'"
            raise ValueError(text)  # noqa: TRY004, pydantic reports ValueError only
        text = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if match := _PREFIXED.fullmatch(text):
            area, number, reference = _PREFIXES.get(match[1]), int(match[2]), False
            if area is None:
                raise ValueError(f"{match[1]!r} is no area; expected {EXPECTED}")
        elif match := _REFERENCE.fullmatch(text):
            area, number, reference = _DIGITS[match[1]], int(match[2]), True
        else:
            raise ValueError(EXPECTED)
        if number > LAST + reference or number < reference:
            raise ValueError(f"address {text} is outside {int(reference)} to {LAST + reference}")
        return cls(area, number, cls._part(area, match[3], text), reference)

    @staticmethod
    def _part(area: Area, part: str | None, text: str) -> str:
        if part is None:
            return ""
        if area.bits:
            raise ValueError(
                f"{text}: a {'coil' if area is Area.COIL else 'discrete input'} is one bit and has no parts"
            )
        if part not in _PARTS:
            raise ValueError(f"{text}: a register has the bits 0 to 15 (0: least significant) and the bytes hi and lo")
        return part

    def __str__(self) -> str:
        part = f".{self.part}" if self.part else ""
        if not self.reference:
            return f"{self.area}:{self.number}{part}"
        return f"{_LEADS[self.area]}{self.number:0{4 if self.number <= 9999 else 5}d}{part}"

    @property
    def bit(self) -> int | None:
        """The bit of a register, 0 = least significant; None when the address has none."""
        return int(self.part) if self.part.isdecimal() else None

    def offset(self, base: int) -> int:
        """Protocol address, 0 to 65535, for a device whose documents count from ``base``. Raises ValueError."""
        offset = self.number - (1 if self.reference else base)
        if not 0 <= offset <= LAST:
            raise ValueError(f"address {self} does not exist in a device that counts from {base}")
        return offset

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": ["hr:100", "ir:30.3", "40001"]}, {"type": "integer"}]}
