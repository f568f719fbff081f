"""MC protocol on the wire: 3E and 4E frames in binary and ASCII, requests as bytes, data of answers. Sans-io.

Clauses: SLMP = SLMP Reference Manual SH(NA)-080956ENG-M; MC = MELSEC Communication Protocol Reference Manual
SH(NA)-080008-AB. In binary everything is little-endian, and **the number of a device precedes its code**; in ASCII
every field is upper-case hexadecimal, most significant digit first, and the code precedes the number.
"""

from __future__ import annotations

from binascii import Error, unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapters.mc.address import Area
from gateway.model.faults import ProtocolFault


class Frame(StrEnum):
    """Which frame: 4E carries a serial number that the answer repeats, 3E does not (SLMP 4.2; MC 4.2, 4.3)."""

    E3 = "3e"
    E4 = "4e"


class Code(StrEnum):
    """How the fields of a message are written: "communication data code" in the programming tool."""

    BINARY = "binary"
    ASCII = "ascii"
    ASCII_OCTAL = "ascii_octal"
    """As ascii, with X and Y in octal: "ASCII (X, Y OCT)" of iQ-F."""

    @property
    def text(self) -> bool:
        """True when fields are hexadecimal text, twice as long."""
        return self is not Code.BINARY


READ: Final = 0x0401
READ_RANDOM: Final = 0x0403
READ_BLOCK: Final = 0x0406
READ_MODEL: Final = 0x0101
WRITE: Final = 0x1401
WRITE_RANDOM: Final = 0x1402
WORDS: Final = 0
BITS: Final = 1
LONG: Final = 2
"""Added to a subcommand: four bytes of number and two of code for each device (iQ-R)."""

INFORMATION: Final = 9
"""Bytes behind the end code of a refusal: who answers (5), command, subcommand (SLMP 4.2)."""
LONGEST: Final = 4096
"""Largest value of the length field, in bytes of binary: no answer to what is asked here has half as many."""
MODEL: Final = 18
"""Bytes of an answer to READ_MODEL: 16 characters of name, and a code."""


def number(code: Code, value: int, size: int) -> bytes:
    """A field of ``size`` bytes."""
    return f"{value:0{2 * size}X}".encode() if code.text else value.to_bytes(size, "little")


def parse_number(code: Code, data: bytes | bytearray) -> int:
    """The inverse of `number`. Raises ProtocolFault for text that is not hexadecimal."""
    if not code.text:
        return int.from_bytes(data, "little")
    return int.from_bytes(from_hex(data), "big")


def from_hex(data: bytes | bytearray) -> bytes:
    """Bytes of hexadecimal text. Raises ProtocolFault for anything else."""
    try:
        return unhexlify(data)
    except (Error, ValueError) as error:
        raise ProtocolFault("an ASCII answer holds what is no hexadecimal digit", data=bytes(data)) from error


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a CPU (SLMP 4.2, request destination); the default is the one that is connected."""

    network: int = 0
    pc: int = 0xFF
    io: int = 0x03FF
    station: int = 0

    def encode(self, code: Code) -> bytes:
        """Five bytes, or ten characters."""
        parts = ((self.network, 1), (self.pc, 1), (self.io, 2), (self.station, 1))
        return b"".join(number(code, value, size) for value, size in parts)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and how much data a good answer to it carries."""

    command: int
    subcommand: int
    data: bytes
    """Command data, in the code of the connection."""
    size: int = 0
    """Bytes of data in a good answer, in binary."""
    longs: int = 0
    """How many of them, at the end, belong to fields of four bytes: in ASCII those are written as one number."""
    texts: int = 0
    """How many, at the beginning, are characters in either code."""


def device(code: Code, area: Area, head: int, *, wide: bool) -> bytes:
    """A device in a request (SLMP 5.2); ``wide``: in the long specification of iQ-R."""
    if not code.text:
        place, kind = (4, 2) if wide else (3, 1)
        return head.to_bytes(place, "little") + area.code.to_bytes(kind, "little")
    base = 8 if area.octal and code is Code.ASCII_OCTAL else area.ascii_base
    digits = {8: f"{head:o}", 10: f"{head}", 16: f"{head:X}"}[base]
    name = area.long.ljust(4, "*") if wide else area.short.ljust(2, "*")
    return f"{name}{digits.zfill(8 if wide else 6)}".encode()


def fits(code: Code, area: Area, head: int, *, wide: bool) -> bool:
    """False for a number that has more digits than a message has room for."""
    return len(device(code, area, head, wide=wide)) == ((12 if wide else 8) if code.text else 6 if wide else 4)


Place = tuple[Area, int, int]
"""Area, number of the first point, and how many cells (words, or points of two words)."""


def ask_read(code: Code, area: Area, head: int, words: int, *, wide: bool = False) -> Ask:
    """Read ``words`` words in a row, or 16 bits each (SLMP 5.3 Read; MC 8.2)."""
    data = device(code, area, head, wide=wide) + number(code, words, 2)
    return Ask(READ, WORDS + LONG * wide, data, 2 * words)


def ask_random(code: Code, words: Sequence[Place], longs: Sequence[Place], *, wide: bool = False) -> Ask:
    """Read single words and pairs of words from anywhere (SLMP 5.3 Read Random; MC 8.3)."""
    data = number(code, len(words), 1) + number(code, len(longs), 1)
    data += b"".join(device(code, area, head, wide=wide) for area, head, _ in (*words, *longs))
    return Ask(READ_RANDOM, WORDS + LONG * wide, data, 2 * len(words) + 4 * len(longs), 4 * len(longs))


def ask_block(code: Code, words: Sequence[Place], bits: Sequence[Place], *, wide: bool = False) -> Ask:
    """Read several rows of words, and of bits in words (SLMP 5.3 Read Block; MC 8.4)."""
    data = number(code, len(words), 1) + number(code, len(bits), 1)
    size = 0
    for area, head, count in (*words, *bits):
        data += device(code, area, head, wide=wide) + number(code, count, 2)
        size += 2 * count
    return Ask(READ_BLOCK, WORDS + LONG * wide, data, size)


def ask_write(code: Code, area: Area, head: int, data: bytes, *, wide: bool = False) -> Ask:
    """Write words in a row, given little-endian (SLMP 5.3 Write; MC 8.2)."""
    body = device(code, area, head, wide=wide) + number(code, len(data) // 2, 2)
    return Ask(WRITE, WORDS + LONG * wide, body + (data if not code.text else hexadecimal(data, 2)))


def ask_write_bit(code: Code, area: Area, head: int, on: bool, *, wide: bool = False) -> Ask:
    """Switch one bit (SLMP 5.3 Write): in binary the upper half of a byte, in ASCII one character."""
    state = (b"1" if on else b"0") if code.text else (b"\x10" if on else b"\x00")
    return Ask(WRITE, BITS + LONG * wide, device(code, area, head, wide=wide) + number(code, 1, 2) + state)


def ask_write_long(code: Code, area: Area, head: int, data: bytes) -> Ask:
    """Write one point of two words, given little-endian (SLMP 5.3 Write Random)."""
    body = number(code, 0, 1) + number(code, 1, 1) + device(code, area, head, wide=True)
    return Ask(WRITE_RANDOM, WORDS + LONG, body + (data if not code.text else hexadecimal(data, 4)))


def ask_model() -> Ask:
    """Ask for the name of the CPU and its code (SLMP 5.11 Read Type Name)."""
    return Ask(READ_MODEL, 0, b"", MODEL, 0, 16)


def parse_model(data: bytes) -> tuple[tuple[str, str], ...]:
    """Name and code in an answer to `ask_model`."""
    name = data[:16].split(b"\0", 1)[0].decode("ascii", "replace").strip()
    return (("vendor", "Mitsubishi Electric"), ("model", name), ("model_code", f"{data[17]:02X}{data[16]:02X}"))


def hexadecimal(data: bytes, width: int) -> bytes:
    """Little-endian numbers of ``width`` bytes as hexadecimal text."""
    return b"".join(data[at : at + width][::-1].hex().upper().encode() for at in range(0, len(data), width))


def words_of(data: bytes | bytearray, longs: int = 0) -> bytes:
    """Little-endian numbers of hexadecimal text: words, at the end ``longs`` bytes in numbers of four."""
    raw = from_hex(data)
    out = bytearray(len(raw))
    words = len(raw) - longs
    out[0:words:2] = raw[1:words:2]
    out[1:words:2] = raw[0:words:2]
    for byte in range(4) if longs else ():
        out[words + byte :: 4] = raw[words + 3 - byte :: 4]
    return bytes(out)


SUBHEADERS: Final[dict[tuple[Frame, bool], tuple[bytes, bytes]]] = {
    (Frame.E3, False): (b"\x50\x00", b"\xd0\x00"),
    (Frame.E4, False): (b"\x54\x00", b"\xd4\x00"),
    (Frame.E3, True): (b"5000", b"D000"),
    (Frame.E4, True): (b"5400", b"D400"),
}
"""How a request begins, and how an answer does (SLMP 4.2)."""


def frame(code: Code, kind: Frame, route: Route, timer: int, ask: Ask, serial: int = 0) -> bytes:
    """A whole request; ``timer``: how long the CPU may take, in steps of 250 ms, 0 for as long as it likes."""
    body = number(code, timer, 2) + number(code, ask.command, 2) + number(code, ask.subcommand, 2) + ask.data
    head = SUBHEADERS[kind, code.text][0]
    if kind is Frame.E4:
        head += number(code, serial, 2) + number(code, 0, 2)
    return head + route.encode(code) + number(code, len(body), 2) + body


def answer(code: Code, kind: Frame, route: Route, end: int, data: bytes, serial: int = 0) -> bytes:
    """A whole answer, its data in the code of the connection: what a CPU sends."""
    body = number(code, end, 2) + data
    head = SUBHEADERS[kind, code.text][1]
    if kind is Frame.E4:
        head += number(code, serial, 2) + number(code, 0, 2)
    return head + route.encode(code) + number(code, len(body), 2) + body
