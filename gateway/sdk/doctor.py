"""What an address doctor tells: the raw words at an address, and every way to read them, the most plausible first.

An adapter that can do this offers ``doctor`` in its package, beside ``models`` and ``adapter``.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.model.types import Value


@dataclass(frozen=True, slots=True)
class Word:
    """One raw unit as it came from the device."""

    address: str
    hex: str
    number: int
    bits: str
    """Most significant first."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """One way to read what lies at an address."""

    address: str
    settings: str
    """What a tag says to get it, such as ``type: float32, order: CDAB``."""
    value: Value
    score: float
    """Plausibility, 0 to 1: a guess, from how measured values usually look."""
    why: str
    """The guess in a few words."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found from one address on."""

    words: tuple[Word, ...]
    decodings: tuple[Decoding, ...]
    """By address, the most plausible first."""


class Doctor(Protocol):
    """The optional function of an adapter's package."""

    def __call__(self, connection: Any, device: Any, address: str, count: int) -> Awaitable[Examination]:
        """Read ``count`` words from ``address`` on, once, changing nothing. Raises a Fault."""
