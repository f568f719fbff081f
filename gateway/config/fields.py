"""Field types that configuration models share: durations, sizes, secrets, deadbands. For adapter authors too."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetPydanticSchema, PlainSerializer, SecretStr
from pydantic_core import core_schema

_DURATION: Final = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*(us|ms|s|min|m|h|d)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*([kKMGT]?)(i?)B?")
_POWER: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}

_UNITS: Final = {"GB": 10**9, "MB": 10**6, "kB": 10**3, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}


def parse_duration(value: object) -> float:
    """Seconds of ``250ms``, ``1s``, ``5min``, ``72h``, ``7d``; a bare number is refused, except 0."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    if value == 0 and not isinstance(value, bool):
        return 0.0
    raise ValueError("a duration with its unit, such as 250ms, 1s, 5min, 72h or 7d")


def parse_size(value: object) -> int:
    """Bytes of ``512kB``, ``2GB``, ``1GiB``; a bare number is bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWER[match[2]])
    raise ValueError("a size in bytes, such as 512kB, 2GB or 1GiB")


def format_duration(seconds: float) -> str:
    """Shortest text that `parse_duration` reads back as the same duration."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if seconds >= _SECONDS[unit] and (seconds / _SECONDS[unit]).is_integer():
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.15g}s" if seconds else "0s"


def format_size(size: int) -> str:
    """Shortest text that `parse_size` reads back as the same number of bytes."""
    texts = [f"{size // power}{unit}" for unit, power in _UNITS.items() if size >= power and size % power == 0]
    return min((*texts, str(size)), key=len)


def _written(what: str, example: str, *ways: dict[str, Any]) -> GetPydanticSchema:
    """JSON Schema of a field by the ways in which it may be written; ``x-what`` is its kind, for the reference page."""
    schema: dict[str, Any] = {"x-what": what, "examples": [example], "anyOf": list(ways)}
    return GetPydanticSchema(get_pydantic_json_schema=lambda _schema, _handler: schema.copy())


def _text(pattern: re.Pattern[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern.pattern}$"}


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    _written("duration", "250ms", _text(_DURATION), {"const": 0}),
]
"""Seconds as a float; written with a unit in the file."""


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("a duration longer than 0s, such as 250ms, 1s or 5min")
    return seconds


Interval = Annotated[Duration, AfterValidator(_positive)]
"""A duration longer than 0s."""

Size = Annotated[
    int, BeforeValidator(parse_size), _written("size", "2GB", _text(_SIZE), {"type": "integer", "minimum": 0})
]
"""Bytes; written with a unit in the file."""

_NAME: Final = r"^[^\s/+#$\"'\\\x00-\x1f\x7f]+$"
_TAG_NAME: Final = r"^[^\x00-\x1f\x7f]+$"

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=_NAME)]
"""A device, connection or lane name: it becomes a topic level, so no space, quote, ``/``, ``+``, ``#`` or ``$``."""

TagName = Annotated[str, Field(min_length=1, max_length=1024, pattern=_TAG_NAME)]

PATTERNS: Final = {
    _NAME: "a name without space, quote, backslash, /, +, # or $",
    _TAG_NAME: "a name without line breaks and other control characters",
}
"""What a pattern means, in words, for errors. A pattern like ``^(a|b)$`` needs none."""

_WORDS: Final = re.compile(r"\^\(((?:[\w/-]+\|)+[\w/-]+)\)\$")
_LETTERS: Final = re.compile(r"\^\[(\w+)\]\$")


def choices(pattern: str) -> list[str]:
    """Return the words that a pattern such as ``^(full|off)$`` or ``^[NEO]$`` allows; empty for any other pattern."""
    if words := _WORDS.fullmatch(pattern):
        return words[1].split("|")
    letters = _LETTERS.fullmatch(pattern)
    return list(letters[1]) if letters else []


_LISTEN: Final = re.compile(r"(?:[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})")


def parse_listen(value: object) -> str:
    """Check ``off``, ``host:port`` or ``[ipv6]:port``; port 0 lets the system choose."""
    if isinstance(value, str):
        match = _LISTEN.fullmatch(value)
        if value == "off" or (match and int(match[1]) <= 65535):
            return str(value)
    raise ValueError("a host:port, such as 127.0.0.1:9180, with a port up to 65535; or off")


Listen = Annotated[str, BeforeValidator(parse_listen), _written("address", "127.0.0.1:9180", {"type": "string"})]
"""Where a server listens: ``host:port`` or ``off``."""

Port = Annotated[int, Field(ge=1, le=65535)]

Secret = SecretStr
"""Never shown by repr, log or export."""


class Deadband:
    """Least change worth a report: absolute, in engineering units, or a percentage of the last reported value."""

    __slots__ = ("absolute", "percent")

    def __init__(self, absolute: float = 0.0, percent: float = 0.0) -> None:
        self.absolute = absolute
        self.percent = percent

    @classmethod
    def parse(cls, value: object) -> Deadband:
        """Read ``0.5`` (absolute) or ``1%``."""
        if isinstance(value, Deadband):
            return value
        try:
            if isinstance(value, str) and value.strip().endswith("%"):
                percent = float(value.strip()[:-1])
                if 0 <= percent <= 100:
                    return cls(percent=percent)
            elif isinstance(value, str):
                return cls.parse(float(value))
            elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
                return cls(absolute=float(value))
        except ValueError:
            pass
        raise ValueError("a change in engineering units, such as 0.5, or a percentage, such as 1%")

    def __repr__(self) -> str:
        return f"{self.percent:g}%" if self.percent else f"{self.absolute:g}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deadband) and (self.absolute, self.percent) == (
            other.absolute,
            other.percent,
        )

    def __hash__(self) -> int:
        return hash((self.absolute, self.percent))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        ways = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%?\s*$"}]
        return {"x-what": "deadband", "examples": ["1%"], "anyOf": ways}


class Written:
    """Base of what stands in a file as one text and is an object in the program, such as an address.

    A subclass has a class method ``parse(text)``, which raises ValueError with what it expected, and a ``__str__`` that
    ``parse`` reads back as the same.
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text. Raises ValueError that says what is expected."""
        raise NotImplementedError

    @classmethod
    def _parse_any(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("a text, in quotes where YAML would take it for something else")  # noqa: TRY004 - pydantic
        return cls.parse(str(value).strip())

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        text = core_schema.to_string_ser_schema()
        return core_schema.no_info_plain_validator_function(cls._parse_any, serialization=text)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"x-what": "address", "examples": [], "anyOf": [{"type": "string"}, {"type": "integer"}]}
