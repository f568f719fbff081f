"""Compiling once for many devices: what depends only on their tags is shared by all devices of one profile."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

T = TypeVar("T")

KEPT: Final = 64
"""Compiled forms to remember: those of the profiles in use. More than this are compiled again, never wrong."""


class Same(Generic[T]):
    """Key of a cache that equals only a key of the very same object, which it keeps alive.

    A profile's tags are one tuple, whatever the number of its devices; comparing a thousand models to find that out
    would cost more than compiling them.
    """

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value
