"""Addresses of MTConnect: the name that a value has in the device, such as ``speed`` or ``oven.temperature``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from gateway.config.fields import Written

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")


@dataclass(frozen=True, slots=True)
class Address(Written):
    """One value of a device. ``parse(str(address)) == address``."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises ValueError that says what is expected."""
        if not _NAME.fullmatch(text):
            expected = "a name such as speed or oven.temperature: at most 64 letters, digits, _ and ."
            raise ValueError(f"{expected} Got {text[:80]!r}")
        return cls(text)

    def __str__(self) -> str:
        return self.name
