"""S7 on the wire: connection, setup, reads, writes and status lists as bytes. Sans-io: no socket, no clock, no logging.

A telegram is a TPKT (RFC 1006, clause 6: ``03 00`` and the length), in it a transport unit of ISO 8073 class 0
(CR, CC, DR, DT), and in a DT the S7 telegram, which begins with 0x32. All numbers are big-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack, unpack_from
from typing import Final

from gateway.model.faults import ProtocolFault

DATA: Final = 7
"""Bytes before an S7 telegram: TPKT 4, DT 3."""
JOB_HEADER: Final = 10
ANSWER_HEADER: Final = 12
REFERENCE_AT: Final = DATA + 4
"""Where in a frame the PDU reference stands."""

CONNECT: Final = 0xE0
CONFIRM: Final = 0xD0
DISCONNECT: Final = 0x80
TRANSPORT_ERROR: Final = 0x70
DT: Final = 0xF0

JOB: Final = 1
ACK: Final = 2
ANSWER: Final = 3
USER_DATA: Final = 7

SETUP: Final = 0xF0
READ: Final = 4
WRITE: Final = 5
STATUS: Final = 0
"""Our name for the user data service that reads system status lists; it has no function code."""

READ_ITEM: Final = 12
"""Bytes of an item in a request."""
ITEM_HEADER: Final = 4
"""Bytes before an item's data in an answer, and in a write."""
READ_OVERHEAD: Final = (JOB_HEADER + 2, ANSWER_HEADER + 2)
"""Bytes of a read and of its answer around the items."""

BIT: Final = 1
BYTE: Final = 2
DATA_BIT: Final = 3
DATA_BYTE: Final = 4
DATA_OCTETS: Final = 9
GOOD: Final = 0xFF
LENGTH_UNITS: Final[dict[int, int]] = {3: 1, 4: 8, 5: 8, 6: 1, 7: 1, 9: 1}
"""Transport size of data → what its length is divided by to give bytes (3: a length in bits, each in a byte)."""
COUNTED: Final = (0x1C, 0x1D)
"""Areas counted in words: counters and timers. Their code is their transport size too."""

Place = tuple[int, int]
"""Area code and data block."""
Item = tuple[Place, int, int]
"""Place, first byte, bytes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and how a good answer to it must look."""

    frame: bytes
    """From the TPKT on, its reference 0."""
    function: int
    parts: tuple[tuple[int, int], ...] = ()
    """Of a read, per item: where in the image its data goes, and how many bytes they are."""


def frame(telegram: bytes) -> bytes:
    """TPKT, DT with end-of-telegram, S7 telegram."""
    return pack(">BBHBBB", 3, 0, len(telegram) + DATA, 2, DT, 0x80) + telegram


def _job(parameter: bytes, data: bytes = b"", kind: int = JOB) -> bytes:
    return frame(pack(">BBHHHH", 0x32, kind, 0, 0, len(parameter), len(data)) + parameter + data)


def connect_request(local: bytes, remote: bytes) -> bytes:
    """CR: TPDU size 1024, our TSAP, theirs (ISO 8073, 13.3)."""
    options = b"\xc0\x01\x0a" + bytes((0xC1, len(local))) + local + bytes((0xC2, len(remote))) + remote
    unit = pack(">BBHHB", 6 + len(options), CONNECT, 0, 1, 0) + options
    return pack(">BBH", 3, 0, len(unit) + 4) + unit


def ask_setup(jobs: int, pdu: int) -> Ask:
    """Agree on how many jobs may be under way, in both directions, and on the size of a PDU."""
    return Ask(_job(pack(">BBHHH", SETUP, 0, jobs, jobs, pdu)), SETUP)


def parse_setup(parameter: bytes) -> tuple[int, int]:
    """Jobs and PDU size that the CPU grants. Raises ProtocolFault."""
    if len(parameter) != 8:
        raise ProtocolFault("the answer to setup communication has the wrong length", data=parameter)
    _, jobs, pdu = unpack_from(">HHH", parameter, 2)
    if jobs < 1 or pdu < 64:
        raise ProtocolFault(f"the CPU grants {jobs} jobs and a PDU of {pdu} bytes", data=parameter)
    return jobs, pdu


def item_bytes(place: Place, first: int, size: int) -> bytes:
    """Address of ``size`` bytes (S7ANY): as bytes; of timers and counters as words with their numbers."""
    code, block = place
    if code in COUNTED:
        return pack(">BBBBHHBBH", 0x12, 10, 0x10, code, size // 2, block, code, 0, first // 2)
    return pack(">BBBBHHI", 0x12, 10, 0x10, BYTE, size, block, code << 24 | first * 8)


def ask_read(items: Sequence[Item], starts: Sequence[int]) -> Ask:
    """Read up to 20 items; their data goes to ``starts`` in the image."""
    parameter = bytes((READ, len(items))) + b"".join(item_bytes(*item) for item in items)
    return Ask(_job(parameter), READ, tuple((start, item[2]) for start, item in zip(starts, items, strict=True)))


def ask_write(place: Place, first: int, data: bytes) -> Ask:
    """Write bytes in a row."""
    parameter = bytes((WRITE, 1)) + item_bytes(place, first, len(data))
    return Ask(_job(parameter, pack(">BBH", 0, DATA_BYTE, 8 * len(data)) + data), WRITE)


def ask_write_bit(place: Place, first: int, bit: int, on: bool) -> Ask:
    """Write one bit and leave its neighbours alone."""
    code, block = place
    address = pack(">BBBBHHI", 0x12, 10, 0x10, BIT, 1, block, code << 24 | first * 8 + bit)
    return Ask(_job(bytes((WRITE, 1)) + address, bytes((0, DATA_BIT, 0, 1, on))), WRITE)


def ask_status(identity: int, index: int, sequence: int = 0) -> Ask:
    """Read a system status list (SZL); ``sequence``: of the answer before, to get the next part of it."""
    parameter = bytes((0, 1, 0x12, 4, 0x11, 0x44, 1, sequence))
    if sequence:
        parameter = bytes((0, 1, 0x12, 8, 0x12, 0x44, 1, sequence, 0, 0, 0, 0))
        return Ask(_job(parameter, bytes((0x0A, 0, 0, 0)), USER_DATA), STATUS)
    data = pack(">BBHHH", GOOD, DATA_OCTETS, 4, identity, index)
    return Ask(_job(parameter, data, USER_DATA), STATUS)


@dataclass(frozen=True, slots=True)
class StatusPart:
    """One part of a system status list."""

    sequence: int
    last: bool
    error: int
    """0, the error code of the telegram, or the return code of its data."""
    data: bytes


def parse_status(parameter: bytes, data: bytes) -> StatusPart:
    """Take an answer to `ask_status` apart. Raises ProtocolFault."""
    if len(parameter) != 12 or parameter[:3] != b"\0\1\x12" or parameter[5] != 0x84:
        raise ProtocolFault("the answer is to another question than the status list", data=parameter + data)
    error = int.from_bytes(parameter[10:12], "big")
    if not error and (len(data) < 4 or data[0] != GOOD):
        error = data[0] if data else 0x0A
    size = int.from_bytes(data[2:4], "big")
    if not error and size != len(data) - 4:
        raise ProtocolFault("a part of the status list breaks off", data=data)
    return StatusPart(parameter[7], parameter[9] == 0, error, data[4:])


IDENTITY_NAMES: Final[dict[int, str]] = {
    1: "station", 2: "module", 3: "plant", 5: "serial_number", 7: "model", 8: "memory_card",
}  # fmt: skip
"""SZL 0x001C, component identification: index → name."""


def parse_records(content: bytes) -> list[tuple[int, bytes]]:
    """Records of a status list (index, rest), out of its content from the SZL id on. Raises ProtocolFault."""
    if len(content) < 8:
        raise ProtocolFault("the status list breaks off", data=content)
    size, count = unpack_from(">HH", content, 4)
    if size < 3 or len(content) < 8 + size * count:
        raise ProtocolFault("the status list breaks off", data=content)
    return [
        (int.from_bytes(content[at : at + 2], "big"), content[at + 2 : at + size])
        for at in range(8, 8 + size * count, size)
    ]


def parse_identity(components: bytes, modules: bytes) -> tuple[tuple[str, str], ...]:
    """What a CPU says of itself: contents of the lists 0x001C and 0x0011; either may be empty. Raises ProtocolFault."""
    found = [("vendor", "Siemens")] if components or modules else []
    for index, rest in parse_records(modules) if modules else ():
        if index == 1:
            found.append(("order_number", _text(rest[:20])))
        if index == 7 and len(rest) >= 26 and rest[22:23] == b"V":
            found.append(("firmware", f"V{rest[23]}.{rest[24]}.{rest[25]}"))
    for index, rest in parse_records(components) if components else ():
        name = IDENTITY_NAMES.get(index)
        if name and _text(rest[:32]):
            found.append((name, _text(rest[:32])))
    return tuple(found)


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1").strip()
