"""Quality of a value: one byte. 0 is good; 0x40–0x7F is uncertain (use with care); from 0x80 on there is no value.

The numbers and names are a public contract: they travel in frames and appear in JSON. Never renumber; only add.
The three classes are those of OPC UA (Part 8, status code severity), so that any platform can map them.
"""

from __future__ import annotations

from enum import IntEnum


class Quality(IntEnum):
    """Why a value can, or cannot, be trusted."""

    GOOD = 0x00
    OUT_OF_RANGE = 0x40
    CLAMPED = 0x41
    SUBSTITUTED = 0x42
    SENSOR_UNCERTAIN = 0x43
    NOT_CONNECTED = 0x80
    TIMEOUT = 0x81
    CONFIG = 0x82
    AUTH = 0x83
    BUSY = 0x84
    ADDRESS_REFUSED = 0x85
    FUNCTION_REFUSED = 0x86
    DEVICE_FAILURE = 0x87
    PROTOCOL = 0x88
    UNDECODABLE = 0x89
    NOT_AVAILABLE = 0x8A
    SENSOR_FAILURE = 0x8B
    INTERNAL = 0x8C

    @property
    def label(self) -> str:
        """The stable name used in JSON, metrics and documents, such as ``not_connected``."""
        return self.name.lower()


def is_good(code: int) -> bool:
    """Return True for exactly 0: the value was read and nothing speaks against it."""
    return code == 0


def is_bad(code: int) -> bool:
    """Return True when there is no value behind this code, only the reason for its absence."""
    return code >= 0x80


def quality_label(code: int) -> str:
    """Name of a code; ``uncertain_0x5a`` or ``bad_0x9c`` for one that this version does not know."""
    try:
        return Quality(code).label
    except ValueError:
        return f"{'bad' if is_bad(code) else 'uncertain'}_{code:#04x}"
