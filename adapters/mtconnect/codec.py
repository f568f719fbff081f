"""The protocol of MTConnect: bytes to values and back. Pure: no clock, no socket, the same answer for the same bytes.

Frames are lines that end with CR LF (line protocol, edition 1):

    READ speed       the device answers  speed=1450  or  ERR 2 speed
    SUB speed        the same, and again whenever the value changes; a line with a single dot says that nothing did
    WHO              WHO vendor model version
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.sdk import AuthFault, Busy, DataType, Fault, ProtocolFault, Quality, TagConfig, TagFault, Value
from gateway.wire.framing import delimited

LONGEST: Final = 1024
"""Bytes of the longest line (line protocol, 2.1)."""
LINES: Final = delimited(b"\r\n", LONGEST)
ASK_IDENTITY: Final = b"WHO\r\n"
ALIVE: Final = b"."

ERRORS: Final[dict[int, Callable[[str], Fault]]] = {
    1: lambda where: ProtocolFault(f"{where}: the device does not know this question"),
    2: lambda where: TagFault(f"{where}: there is no such name"),
    3: lambda where: TagFault(f"{where}: the sensor is broken", quality=Quality.SENSOR_FAILURE),
    4: lambda where: Busy(f"{where}: the device asks for patience", wait=1.0),
    5: lambda where: AuthFault(f"{where}: the device refuses us"),
}
"""Error number (line protocol, 3.2) → what it means here."""


_ERROR: Final = re.compile(r"ERR ([1-9][0-9]?) (\S+)")
_VALUE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]{0,63})=(.*)", re.DOTALL)


class Answer(NamedTuple):
    """One line from a device."""

    name: str
    text: str
    error: int = 0


def ask_read(name: str) -> bytes:
    """The line that asks for one value (line protocol, 2.2)."""
    return f"READ {name}\r\n".encode("ascii")


def ask_subscribe(name: str) -> bytes:
    """The line that has one value sent whenever it changes (line protocol, 2.3)."""
    return f"SUB {name}\r\n".encode("ascii")


def parse_answer(line: bytes, asked: str = "") -> Answer:
    """Take a line apart; a sign of life is about no name. Raises ProtocolFault for what is no answer, or not about the
    name that was ``asked`` for."""
    if line == ALIVE and not asked:
        return Answer("", "")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolFault("a line that is not UTF-8", data=line) from error
    if match := _ERROR.fullmatch(text):
        answer = Answer(match[2], "", int(match[1]))
    elif match := _VALUE.fullmatch(text):
        answer = Answer(match[1], match[2])
    else:
        raise ProtocolFault("a line that is no answer", data=line)
    if answer.error not in {0, *ERRORS} or (asked and answer.name != asked):
        raise ProtocolFault(f"asked for {asked or 'a value'}, and was told {text[:80]!r}", data=line)
    return answer


def parse_identity(line: bytes) -> tuple[tuple[str, str], ...]:
    """What a device says of itself (line protocol, 2.4). Raises ProtocolFault."""
    words = line.decode("utf-8", "replace").split(" ", 3)
    if len(words) != 4 or words[0] != "WHO":
        raise ProtocolFault("a line that is no identity", data=line)
    return tuple(zip(("vendor", "model", "version"), words[1:], strict=True))


def value_of(answer: Answer, tag: TagConfig) -> Value:
    """The raw value in an answer. Raises what its error number means, and TagFault for a text that is no such value."""
    where = f"tag {tag.name} at {answer.name}"
    if answer.error:
        raise ERRORS[answer.error](where)
    try:
        return _PARSERS.get(tag.type, int)(answer.text)
    except ValueError as error:
        raise TagFault(f"{where}: {answer.text[:64]!r} is no {tag.type}", quality=Quality.UNDECODABLE) from error


def format_value(kind: DataType, value: Value) -> str:
    """Write a raw value as the device does. Raises ValueError for what does not fit a line."""
    if isinstance(value, bytes):
        text = value.hex()
    elif kind is DataType.BOOL:
        text = str(int(bool(value)))
    else:
        text = value if isinstance(value, str) else repr(value)
    if "\r" in text or "\n" in text or len(text.encode("utf-8")) > LONGEST - 80:
        raise ValueError("a value stands in one line, and is not longer than that")
    return text


def _bool(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _real(text: str) -> float:
    number = float(text)
    if "_" in text or (math.isinf(number) and "inf" not in text.lower()):
        raise ValueError(text)
    return number


_PARSERS: Final[dict[DataType, Callable[[str], Value]]] = {
    DataType.BOOL: _bool,
    DataType.FLOAT32: _real,
    DataType.FLOAT64: _real,
    DataType.STRING: str,
    DataType.BYTES: bytes.fromhex,
}
"""How a text is read, by type; all others are whole numbers."""
