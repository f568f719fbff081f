"""MELSEC devices as people write them: ``D100``, ``M7``, ``X1F``, ``ZR32768``, and a bit of a word, ``D100.F``.

Numbers are written as the programming tool shows them. X and Y are octal on iQ-F and hexadecimal on all others, and no
byte on the wire tells which: the digits are kept as written until the series is known. Pure; ``parse(format(x)) == x``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gateway.config.fields import Written


class Kind(StrEnum):
    """What one point of an area holds."""

    BIT = "bit"
    WORD = "word"
    LONG = "long"
    """Two words in one point: long timers, long counters, long index registers."""


@dataclass(frozen=True, slots=True)
class Area:
    """One kind of device (SH(NA)-080956ENG-M, clause 5.2, table of devices; SH(NA)-080008-AB, 8.1)."""

    name: str
    """As written in an address."""
    code: int
    """Device code in binary."""
    short: str
    """Its two characters in ASCII, without padding; empty: only reachable with the long specification of iQ-R."""
    long: str
    """Its up to four characters in ASCII with the long specification."""
    kind: Kind = Kind.WORD
    base: int = 10
    """Base in which numbers are written; 16 for X and Y, unless the series is iQ-F."""
    ascii_base: int = 10
    """Base of the number in an ASCII message. File registers ZR are decimal in the tool, hexadecimal in messages."""
    random: bool = True
    """May be read with 0403. Contacts and coils may not: CPUs answer 4032, or with whatever they like."""
    batch: bool = True
    """May be read with 0401 and 0406."""
    writable: bool = True
    octal: bool = False
    """True for X and Y: octal on iQ-F."""

    @property
    def step(self) -> int:
        """Points in one cell of a read: 16 for bits, which travel in words, else 1."""
        return 16 if self.kind is Kind.BIT else 1

    @property
    def size(self) -> int:
        """Bytes of one cell."""
        return 4 if self.kind is Kind.LONG else 2


def _bits(name: str, code: int, short: str = "", *, base: int = 10, **more: bool) -> Area:
    return Area(name, code, short or name, name, Kind.BIT, base, base, **more)


def _words(name: str, code: int, short: str = "", *, base: int = 10) -> Area:
    return Area(name, code, short or name, name, Kind.WORD, base, base)


def _long(name: str, code: int, kind: Kind, *, batch: bool = False, random: bool = True) -> Area:
    return Area(name, code, "", name, kind, batch=batch, random=random)


_TABLE: Final = (
    _bits("SM", 0x91), _words("SD", 0xA9),
    _bits("X", 0x9C, base=16, octal=True), _bits("Y", 0x9D, base=16, octal=True),
    _bits("M", 0x90), _bits("L", 0x92), _bits("F", 0x93), _bits("V", 0x94), _bits("B", 0xA0, base=16),
    _words("D", 0xA8), _words("W", 0xB4, base=16),
    _bits("TS", 0xC1, random=False), _bits("TC", 0xC0, random=False), _words("TN", 0xC2),
    _bits("STS", 0xC7, "SS", random=False), _bits("STC", 0xC6, "SC", random=False), _words("STN", 0xC8, "SN"),
    _bits("CS", 0xC4, random=False), _bits("CC", 0xC3, random=False), _words("CN", 0xC5),
    _bits("SB", 0xA1, base=16), _words("SW", 0xB5, base=16),
    _bits("S", 0x98, writable=False),
    _bits("DX", 0xA2, base=16), _bits("DY", 0xA3, base=16),
    _words("Z", 0xCC), _words("R", 0xAF),
    Area("ZR", 0xB0, "ZR", "ZR", Kind.WORD, 10, 16),
    _long("LTN", 0x52, Kind.LONG), _long("LSTN", 0x5A, Kind.LONG), _long("LCN", 0x56, Kind.LONG),
    _long("LCS", 0x55, Kind.BIT, batch=True, random=False), _long("LCC", 0x54, Kind.BIT, batch=True, random=False),
    _long("LZ", 0x62, Kind.LONG), _long("RD", 0x2C, Kind.WORD, batch=True),
)  # fmt: skip
AREAS: Final[dict[str, Area]] = {area.name: area for area in _TABLE}
RANK: Final[dict[str, int]] = {area.name: place for place, area in enumerate(_TABLE)}
"""Order of areas wherever they are sorted."""
_ALIASES: Final = {"SS": "STS", "SC": "STC", "SN": "STN"}
"""As they are called in ASCII messages."""
_NAMES: Final = sorted({*AREAS, *_ALIASES}, key=lambda name: (-len(name), name))
_SHAPE: Final = {10: re.compile(r"([0-9]{1,10})"), 16: re.compile(r"([0-9A-F]{1,8})")}
_BIT: Final = re.compile(r"(.*)\.([0-9A-F])")
_PARTS: Final = {
    "T": "TS (contact), TC (coil) or TN (current value)",
    "ST": "STS (contact), STC (coil) or STN (current value)",
    "C": "CS (contact), CC (coil) or CN (current value)",
    "LT": "LTN (current value)",
    "LST": "LSTN (current value)",
    "LC": "LCS (contact), LCC (coil) or LCN (current value)",
}
_PART: Final = re.compile(r"(LST|LT|LC|ST|T|C)[0-9]+")
LAST: Final = 0xFFFFFF
"""Largest number that a message can carry; with the long specification it is larger than any device."""
EXPECTED: Final = (
    "a device such as D100, M7, X1F, W1A, TN5 (current value of a timer), ZR32768, or D100.F (bit 15 of a word)"
)


@dataclass(frozen=True, slots=True)
class Address(Written):
    """One place in a CPU."""

    area: Area
    digits: str
    """The number as written, without leading zeros."""
    bit: int | None = None
    """A bit of a word, 0 the least significant."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address. Raises ValueError that says what is expected."""
        text = text.strip().upper()
        match = _BIT.fullmatch(text)
        whole, bit = (match[1], int(match[2], 16)) if match else (text, None)
        if part := _PART.fullmatch(whole):
            raise ValueError(f"{text}: write {_PARTS[part[1]]}")
        for name in _NAMES:
            area = AREAS[_ALIASES.get(name, name)]
            if whole.startswith(name) and (number := _SHAPE[area.base].fullmatch(whole, len(name))):
                return cls._made(area, number[1].lstrip("0") or "0", bit, text)
        raise ValueError(f"{text!r} is no device; expected {EXPECTED}")

    @classmethod
    def _made(cls, area: Area, digits: str, bit: int | None, text: str) -> Address:
        if bit is not None and area.kind is not Kind.WORD:
            what = "is one bit" if area.kind is Kind.BIT else "is two words"
            raise ValueError(f"{text}: only words have bits 0 to F, {area.name} {what}")
        if int(digits, area.base) > LAST:
            raise ValueError(f"{text}: no device has a number as large")
        return cls(area, digits, bit)

    def __str__(self) -> str:
        lead = "0" if self.digits[0].isalpha() else ""
        return f"{self.area.name}{lead}{self.digits}" + ("" if self.bit is None else f".{self.bit:X}")

    def number(self, *, octal: bool) -> int:
        """Number on the wire; ``octal``: X and Y are (iQ-F). Raises ValueError for digits 8 to F there."""
        if not (octal and self.area.octal):
            return int(self.digits, self.area.base)
        try:
            return int(self.digits, 8)
        except ValueError:
            raise ValueError(f"{self}: X and Y are octal on iQ-F, and have no digits 8 to F") from None

    def beside(self, distance: int, *, octal: bool) -> Address:
        """The address so many points further on."""
        base = 8 if octal and self.area.octal else self.area.base
        number = self.number(octal=octal) + distance
        digits = {8: f"{number:o}", 10: f"{number}", 16: f"{number:X}"}[base]
        return Address(self.area, digits)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"x-what": "address", "type": "string", "examples": ["D100", "X1F", "D100.F"]}

    @property
    def counting_matters(self) -> bool:
        """True when the number is another one in octal than in hexadecimal."""
        return self.area.octal and (len(self.digits) > 1 or self.digits > "7")
