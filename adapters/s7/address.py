"""S7 addresses as people write them: ``DB1.DBX0.3``, ``DB1.DBD8``, ``MW20``, ``I0.0``, ``VW100``, ``T5``, ``C3``.

Pure; the same text always means the same, and ``parse(format(x)) == x``. German letters (E, A, Z) and the percent sign
of TIA Portal are understood as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic_core import core_schema


class Area(StrEnum):
    """The areas of a CPU that can be named."""

    PERIPHERY = "PI"
    INPUT = "I"
    OUTPUT = "Q"
    MERKER = "M"
    DATA_BLOCK = "DB"
    VARIABLE = "V"
    COUNTER = "C"
    TIMER = "T"

    @property
    def code(self) -> int:
        """Area code in a request."""
        return _CODES[self]

    @property
    def counted(self) -> bool:
        """True where places are counted in words and not in bytes: timers and counters."""
        return self in (Area.COUNTER, Area.TIMER)

    @property
    def writable(self) -> bool:
        """True where a value that is written stays: not in inputs, which the next cycle overwrites, nor in timers."""
        return self in (Area.OUTPUT, Area.MERKER, Area.DATA_BLOCK, Area.VARIABLE)


_CODES: Final[dict[Area, int]] = {
    Area.COUNTER: 0x1C, Area.TIMER: 0x1D, Area.PERIPHERY: 0x80, Area.INPUT: 0x81, Area.OUTPUT: 0x82, Area.MERKER: 0x83,
    Area.DATA_BLOCK: 0x84, Area.VARIABLE: 0x84,
}  # fmt: skip
_LETTERS: Final[dict[str, Area]] = {
    "I": Area.INPUT, "E": Area.INPUT, "Q": Area.OUTPUT, "A": Area.OUTPUT, "M": Area.MERKER, "V": Area.VARIABLE,
    "PI": Area.PERIPHERY, "PE": Area.PERIPHERY, "T": Area.TIMER, "C": Area.COUNTER, "Z": Area.COUNTER,
}  # fmt: skip
SIZES: Final[dict[str, int]] = {"X": 0, "B": 1, "W": 2, "D": 4, "L": 8}
"""Letter of an address → bytes; X: a bit."""
LAST: Final = 65_535
VARIABLE_BLOCK: Final = 1
"""The V memory of an S7-200 SMART is data block 1 to the world outside."""
_BLOCK: Final = re.compile(r"DB(\d{1,5})[.,](?:DB)?([XBWDL])(\d{1,5})(?:\.(\d))?")
_FLAT: Final = re.compile(r"(PI|PE|[IEQAMV])([XBWDL]?)(\d{1,5})(?:\.(\d))?")
_COUNTED: Final = re.compile(r"([TCZ])(\d{1,5})")
EXPECTED: Final = (
    "an address such as DB1.DBX0.3 (bit), DB1.DBB4 (byte, or where a text begins), DB1.DBW6, DB1.DBD8, DB1.DBL16, "
    "M10.2, MW20, I0.0, IW64, QB1, PIW256, VW100, T5 or C3"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One place in a CPU."""

    area: Area
    byte: int
    """First byte; for timers and counters their number."""
    size: str = "B"
    """X, B, W, D or L, as written; empty for timers and counters."""
    bit: int = 0
    """0 to 7, of an address of size X."""
    block: int = 0
    """Number of the data block."""

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address. Raises ValueError that says what is expected."""
        if isinstance(value, Address):
            return value
        if not isinstance(value, str):
            raise ValueError(EXPECTED)  # noqa: TRY004, pydantic reports ValueError only
        text = value.strip().upper().removeprefix("%").replace(" ", "")
        if match := _COUNTED.fullmatch(text):
            return cls._checked(text, cls(_LETTERS[match[1]], int(match[2]), ""))
        if match := _BLOCK.fullmatch(text):
            area, block, rest = Area.DATA_BLOCK, int(match[1]), match.groups()[1:]
        elif match := _FLAT.fullmatch(text):
            area, block, rest = _LETTERS[match[1]], 0, match.groups()[1:]
        else:
            raise ValueError(f"{value[:40]!r} is no address; expected {EXPECTED}")
        size, byte, bit = rest
        size = size or "X"
        if (size == "X") != (bit is not None):
            need = f"a bit needs its number, such as {text}.0" if size == "X" else f"{size} is no bit and has no .{bit}"
            raise ValueError(f"{text}: {need}")
        if area is Area.PERIPHERY and size == "X":
            raise ValueError(f"{text}: the periphery is read in bytes and words, such as PIW256")
        return cls._checked(text, cls(area, int(byte), size, int(bit or 0), block))

    @classmethod
    def _checked(cls, text: str, found: Address) -> Address:
        if found.byte > LAST:
            raise ValueError(f"{text}: the last place is {LAST}")
        if found.bit > 7:
            raise ValueError(f"{text}: a byte has the bits 0 to 7")
        if found.area is Area.DATA_BLOCK and not 1 <= found.block <= LAST:
            raise ValueError(f"{text}: data blocks have the numbers 1 to {LAST}")
        return found

    def __str__(self) -> str:
        bit = f".{self.bit}" if self.size == "X" else ""
        if self.area is Area.DATA_BLOCK:
            return f"DB{self.block}.DB{self.size}{self.byte}{bit}"
        return f"{self.area}{self.size if self.size != 'X' else ''}{self.byte}{bit}"

    @property
    def place(self) -> tuple[int, int]:
        """Area code and data block of a request; the same for all that can be read together."""
        return self.area.code, VARIABLE_BLOCK if self.area is Area.VARIABLE else self.block

    @property
    def offset(self) -> int:
        """First byte within its area, timers and counters counted as two bytes each."""
        return 2 * self.byte if self.area.counted else self.byte

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["DB1.DBX0.3", "DB1.DBD8", "MW20", "VW100", "T5"]}
