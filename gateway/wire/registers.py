"""Register table: turns the bytes of a poll into packed columns, all tags at once, whatever their type and order.

Most field protocols answer with a run of bytes in which values lie at fixed places, in one byte order or another. An
adapter says once where each value's bytes are (least significant first); the table compiles that into one gather. So
1,000 registers in any mix of word orders cost about 1 µs, and no Python object is made for a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.model.schema import Layout
from gateway.model.types import DTYPES, DataType

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Field:
    """Where one value lies in the image.

    ``at``: image offsets of its bytes, least significant first (numbers), or in reading order (string, bytes). Fewer
    bytes than the type is wide are padded with zeros above. ``bit``: for bool, which bit of ``at[0]`` (0 = least
    significant). ``bcd``: the bytes hold two decimal digits each.
    """

    type: DataType
    at: tuple[int, ...]
    bit: int = 0
    bcd: bool = False
    encoding: str = "utf-8"


class RegisterTable:
    """Compiled decoder of one poll. The image is ``size`` bytes; the adapter fills it, request by request."""

    __slots__ = ("_bcd", "_bits", "_gather", "_lists", "layout", "packed_size", "size")

    def __init__(self, size: int, fields: Sequence[Field]) -> None:
        self.size = size
        self.layout = Layout([field.type for field in fields])
        gather: list[int] = []
        bits: list[tuple[int, int]] = []
        bcd: list[tuple[DataType, int, int]] = []
        self._lists: list[tuple[int, tuple[int, ...], str | None]] = []
        zero = size  # one zero byte is kept behind the image, for padding
        for position, tag in enumerate(self.layout.order):
            field = fields[tag]
            if any(not 0 <= place < size for place in field.at):
                raise ValueError(f"field {tag} reaches outside the image of {size} bytes")
            if not field.type.packed:
                encoding = field.encoding if field.type is DataType.STRING else None
                self._lists.append((position, field.at, encoding))
                continue
            if len(field.at) > field.type.width:
                raise ValueError(f"field {tag} has {len(field.at)} bytes, {field.type} holds {field.type.width}")
            if field.type is DataType.BOOL:
                bits.append((len(gather), field.bit))
            if field.bcd:
                bcd.append((field.type, len(gather), position))
            gather.extend(field.at)
            gather.extend([zero] * (field.type.width - len(field.at)))
        self.packed_size = len(gather)
        self._gather = np.array(gather, dtype=np.intp)
        self._bits = _bit_masks(bits)
        self._bcd = bcd

    def image(self) -> bytearray:
        """Return a fresh image: ``size`` bytes to fill, and the padding byte that must stay 0."""
        return bytearray(self.size + 1)

    def packed(self, image: bytes | bytearray, bad: list[int]) -> Bytes:
        """All packed columns, one behind the other, little-endian. Appends positions of undecodable values to bad."""
        out: Bytes = np.frombuffer(image, np.uint8).take(self._gather)
        if self._bits is not None:
            places, masks = self._bits
            out[places] = (out[places] & masks) != 0
        for kind, start, position in self._bcd:
            _from_bcd(out[start : start + kind.width], kind, position, bad)
        return out

    def texts(self, image: bytes | bytearray, bad: list[int]) -> list[tuple[int, str | bytes | None]]:
        """(position, value) of all string and bytes tags. Text ends at the first NUL; padding blanks are cut off."""
        found: list[tuple[int, str | bytes | None]] = []
        for position, places, encoding in self._lists:
            data = bytes(image[place] for place in places)
            if encoding is None:
                found.append((position, data))
                continue
            try:
                found.append((position, data.split(b"\0", 1)[0].decode(encoding).rstrip(" ")))
            except UnicodeDecodeError:
                bad.append(position)
                found.append((position, None))
        return found


def _bit_masks(bits: list[tuple[int, int]]) -> tuple[npt.NDArray[np.intp], Bytes] | None:
    if not bits:
        return None
    return (
        np.array([place for place, _ in bits], dtype=np.intp),
        np.array([1 << bit for _, bit in bits], dtype=np.uint8),
    )


def _from_bcd(place: Bytes, kind: DataType, position: int, bad: list[int]) -> None:
    digits = place[::-1].tobytes().hex()
    if digits.isdecimal():
        place[:] = np.frombuffer(np.array([int(digits)], DTYPES[kind]).tobytes(), np.uint8)
    else:
        place[:] = 0
        bad.append(position)


Order: Final[dict[str, Callable[[int], tuple[int, ...]]]] = {
    "big": lambda size: tuple(range(size - 1, -1, -1)),
    "little": lambda size: tuple(range(size)),
    "big_swapped": lambda size: tuple(place ^ 1 for place in range(size - 1, -1, -1)),
    "little_swapped": lambda size: tuple(place ^ 1 for place in range(size)),
}
"""Byte places of a value of ``size`` bytes, least significant first, for each order on the wire:
ABCD (big), DCBA (little), BADC (big, bytes swapped within words), CDAB (little, bytes swapped within words)."""
