"""Modbus on the wire: requests as bytes, checksums, exception codes. Sans-io: no socket, no clock, no logging.

Clauses: AP = MODBUS Application Protocol V1.1b3, SL = MODBUS over Serial Line V1.02, TCP = Messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from struct import pack
from typing import Final

import numpy as np
import numpy.typing as npt

from adapters.modbus.address import Area
from gateway.model.faults import Busy, Fault, ProtocolFault, TagFault, Timeout
from gateway.model.quality import Quality
from gateway.sdk.refusal import Refusal

READ_FUNCTIONS: Final[dict[Area, int]] = {Area.COIL: 1, Area.DISCRETE: 2, Area.HOLDING: 3, Area.INPUT: 4}
"""AP 6.1 to 6.4."""
WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16
MASK_WRITE: Final = 22
READ_WRITE: Final = 23
IDENTIFY: Final = 43

MAX_READ_REGISTERS: Final = 125
MAX_READ_BITS: Final = 2000
MAX_WRITE_REGISTERS: Final = 123
MAX_WRITE_BITS: Final = 1968
MAX_PDU: Final = 253
"""AP 4.1: what an RS-485 frame of 256 bytes leaves."""

# checksum (SL 2.5.1.2 and 6.2.2): polynomial A001, reflected, start FFFF


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE: Final = _crc_table()
_SHORT: Final = 40
_LONGEST: Final = 264


@cache
def _crc_by_place() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.intp], list[int]]:
    """What each byte value adds to the checksum by its place from the end, where places begin, and what the start adds.

    The checksum is linear: it is the exclusive or of what each byte would give alone. So a long frame is one gather
    and one reduction instead of a loop: 2 µs for 256 bytes instead of 10. Made when a line first needs it: 0.5 MB.
    """
    one = np.array(_TABLE, np.uint16)
    added = [one]
    start = [0xFFFF]
    for _ in range(_LONGEST - 1):
        added.append((added[-1] >> 8) ^ one[added[-1] & 0xFF])
        start.append(start[-1] >> 8 ^ _TABLE[start[-1] & 0xFF])
    return np.concatenate(added[::-1]), np.arange(_LONGEST, dtype=np.intp) * 256, start


def crc16(data: bytes) -> int:
    """Checksum of an RTU frame; it goes out low byte first."""
    size = len(data)
    if _SHORT < size < _LONGEST:
        added, places, start = _crc_by_place()
        at = places[_LONGEST - size :] + np.frombuffer(data, np.uint8)
        return int(np.bitwise_xor.reduce(added.take(at))) ^ start[size]
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Address, PDU, checksum (SL 2.5.1)."""
    frame = bytes((unit,)) + pdu
    return frame + crc16(frame).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """MBAP header and PDU (TCP 3.1.3)."""
    return pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and how a good answer to it must look."""

    unit: int
    pdu: bytes
    head: bytes
    """The answer's PDU up to its data: function, and what must be echoed."""
    size: int = 0
    """Bytes of data behind the head; -1: as many as come (they go to the exchange's ``body``)."""
    start: int = 0
    """Where in the image the data goes."""
    bit: int = 0
    """First bit of the image byte ``start`` that is meant …"""
    bits: int = 0
    """… and how many: 0 means whole bytes."""


def ask_read(unit: int, area: Area, address: int, count: int, *, start: int = 0) -> Ask:
    """Read ``count`` bits or registers from protocol address ``address`` (AP 6.1 to 6.4)."""
    function = READ_FUNCTIONS[area]
    size = -(-count // 8) if area.bits else 2 * count
    return Ask(unit, pack(">BHH", function, address, count), bytes((function, size)), size, start)


def ask_write_coil(unit: int, address: int, on: bool) -> Ask:
    """Switch one coil (AP 6.5)."""
    pdu = pack(">BHH", WRITE_COIL, address, 0xFF00 if on else 0)
    return Ask(unit, pdu, pdu)


def ask_write_register(unit: int, address: int, data: bytes) -> Ask:
    """Write one register, two bytes (AP 6.6)."""
    pdu = pack(">BH2s", WRITE_REGISTER, address, data)
    return Ask(unit, pdu, pdu)


def ask_write_coils(unit: int, address: int, states: list[bool]) -> Ask:
    """Switch coils in a row (AP 6.11)."""
    size = -(-len(states) // 8)
    packed = sum(on << place for place, on in enumerate(states)).to_bytes(size, "little")
    pdu = pack(">BHHB", WRITE_COILS, address, len(states), size) + packed
    return Ask(unit, pdu, pdu[:5])


def ask_write_registers(unit: int, address: int, data: bytes) -> Ask:
    """Write registers in a row, two bytes each (AP 6.12)."""
    pdu = pack(">BHHB", WRITE_REGISTERS, address, len(data) // 2, len(data)) + data
    return Ask(unit, pdu, pdu[:5])


def ask_mask_write(unit: int, address: int, keep: int, put: int) -> Ask:
    """Change single bits of a register: ``new = (old & keep) | (put & ~keep)`` (AP 6.16)."""
    pdu = pack(">BHHH", MASK_WRITE, address, keep, put)
    return Ask(unit, pdu, pdu)


def ask_read_write(unit: int, address: int, count: int, to: int, data: bytes, *, start: int = 0) -> Ask:
    """Write registers at ``to``, then read ``count`` at ``address``, in one transaction (AP 6.17)."""
    pdu = pack(">BHHHHB", READ_WRITE, address, count, to, len(data) // 2, len(data)) + data
    return Ask(unit, pdu, bytes((READ_WRITE, 2 * count)), 2 * count, start)


def ask_identity(unit: int) -> Ask:
    """Ask for vendor, product and revision: read device identification, basic stream (AP 6.21)."""
    return Ask(unit, bytes((IDENTIFY, 0x0E, 1, 0)), bytes((IDENTIFY, 0x0E, 1)), -1)


IDENTITY_NAMES: Final = ("vendor", "product", "revision", "url", "product_name", "model", "application")
"""AP 6.21, object ids 0 to 6."""


def parse_identity(body: bytes) -> tuple[tuple[str, str], ...]:
    """Names and values in an answer to `ask_identity`, from the conformity level on. Raises ProtocolFault."""
    found: list[tuple[str, str]] = []
    at = 4
    for _ in range(body[3] if len(body) > 3 else 0):
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            raise ProtocolFault("the device identification breaks off", data=body)
        name = IDENTITY_NAMES[body[at]] if body[at] < len(IDENTITY_NAMES) else f"object_{body[at]}"
        stop = at + 2 + body[at + 1]
        found.append((name, body[at + 2 : stop].decode("utf-8", "replace").strip("\0 ")))
        at = stop
    return tuple(found)


def identity_length(frame: bytes, at: int) -> int | None:
    """Length of an RTU answer to `ask_identity` that begins at ``at``; None: more bytes are needed to tell."""
    if len(frame) < at + 8:
        return None
    end = at + 8
    for _ in range(frame[at + 7]):
        if len(frame) < end + 2:
            return None
        end += 2 + frame[end + 1]
    return end + 2 - at


EXCEPTIONS: Final[dict[int, Refusal]] = {
    1: Refusal("illegal function", TagFault, "function_refused", Quality.FUNCTION_REFUSED),
    2: Refusal("illegal data address", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
    3: Refusal("illegal data value", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
    4: Refusal("server device failure", TagFault, "device_failure", Quality.DEVICE_FAILURE, narrow=True),
    5: Refusal("acknowledge: it will take a while", Busy, "device_busy", Quality.BUSY),
    6: Refusal("server device busy", Busy, "device_busy", Quality.BUSY),
    7: Refusal("negative acknowledge", TagFault, "function_refused", Quality.FUNCTION_REFUSED),
    8: Refusal("memory parity error", TagFault, "device_failure", Quality.DEVICE_FAILURE),
    10: Refusal("gateway path unavailable", Timeout, "no_answer", Quality.NOT_CONNECTED),
    11: Refusal("gateway target device failed to respond", Timeout, "no_answer", Quality.TIMEOUT),
}
"""AP 7, table of exception codes; 7 is from the Modicon reference guide (PI-MBUS-300). There is no 9."""

UNKNOWN_EXCEPTION: Final = Refusal("unknown exception", TagFault, "device_failure", Quality.DEVICE_FAILURE)
"""Stands for every code that no edition defines."""


def refusal(code: int) -> Refusal:
    """Meaning of an exception code, known or not."""
    return EXCEPTIONS.get(code, UNKNOWN_EXCEPTION)


def refusal_fault(code: int, what: str) -> Fault:
    """Fault for exception ``code`` in answer to ``what``."""
    why = refusal(code)
    message = f"{what}: the device answers exception {code} ({why.title})"
    return why.as_fault(message)
