"""What CPUs of each series can do: how much one request may ask for, which devices they lack, and where that stands.

Sources: SLMP = SH(NA)-080956ENG-M, clause 5.3; MC = SH(NA)-080008-AB, clauses 8.2 to 8.4; F = JY997D56001-K (iQ-F),
clause 4.2, its binary figures confirmed by measurement on an FX5U-32MT/DS, firmware 1.065 (package aslmp 0.2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Series(StrEnum):
    """Series of a CPU."""

    Q = "q"
    L = "l"
    IQ_R = "iq-r"
    IQ_F = "iq-f"

    @property
    def octal(self) -> bool:
        """True where X and Y are counted in octal."""
        return self is Series.IQ_F


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one request may ask for."""

    words: int
    """Most words with 0401, and in all blocks of 0406 together."""
    points: int
    """Most words and pairs of words with 0403."""
    blocks: int
    """Most blocks with 0406."""


_LARGE: Final = Capacity(960, 192, 120)
"""Words: SLMP 5.3 and MC 8.2, for each series in binary, for Q, L and iQ-R in ASCII as well; points: MC 8.3, F;
blocks: MC 8.4, F."""
_SMALL: Final = Capacity(480, 96, 60)
"""iQ-F in ASCII: F, where points are counted twice. Its limit of words in blocks is 960; 480 keeps to what a message of
one batch read may be."""
_WIDE: Final = Capacity(960, 96, 60)
"""Long device specification (subcommand 0002): MC 8.3 and 8.4."""


def capacity(series: Series | None, *, text: bool, wide: bool) -> Capacity:
    """Limits of one request; ``text``: in ASCII; ``wide``: long device specification. Unknown series: the smallest."""
    if wide:
        return _WIDE
    return _SMALL if text and series in (None, Series.IQ_F) else _LARGE


_NO_LONG: Final = frozenset({"LTN", "LSTN", "LCN", "LCS", "LCC", "LZ", "RD"})
LACKING: Final[dict[Series | None, frozenset[str]]] = {
    None: frozenset(),
    Series.Q: _NO_LONG,
    Series.L: _NO_LONG,
    Series.IQ_R: frozenset(),
    Series.IQ_F: _NO_LONG | {"V", "ZR", "DX", "DY"},
}
"""Devices that a series does not have, or cannot tell: iQ-F refuses the long specification with C059 (measured, as is
the lack of V, ZR and DX, which it answers with C05C)."""
