"""Values at the limits of every data type, for the rule value-matrix: what is lost first when a codec is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.model.types import Value

LIMITS: Final[Mapping[str, Sequence[Value]]] = {
    "bool": [True, False],
    "int8": [-128, 127, -1, 0],
    "uint8": [0, 255, 1],
    "int16": [-32768, 32767, -1, 0],
    "uint16": [0, 65535, 1],
    "int32": [-(2**31), 2**31 - 1, -1],
    "uint32": [0, 2**32 - 1, 0x01020304],
    "int64": [-(2**63), 2**63 - 1, -1],
    "uint64": [0, 2**64 - 1, 0x0102030405060708],
    "float32": [-1.5, 0.0, 3.4e38, 1e-38, math.nan, math.inf],
    "float64": [-1.5, 0.1, 1.7e308, 5e-324, math.nan, math.inf, -math.inf],
    "string": ["", "PLC 7", "星沙", 'quote " and \\'],
    "bytes": [b"", b"\x00\xff"],
}
"""Type → values. Protocols take what they have: `chosen`."""


def chosen(*kinds: str, finite: bool = False) -> dict[str, list[Value]]:
    """Limits of some types (none named: all); ``finite``: for protocols whose texts have no NaN and no infinity."""
    fits = math.isfinite if finite else lambda _value: True
    return {
        kind: [value for value in LIMITS[kind] if not isinstance(value, float) or fits(value)]
        for kind in kinds or LIMITS
    }
