"""An adapter with every mistake that an adapter can make: values that fit no type, times of no clock, vast texts.

It is installed like one of somebody else's, by an entry point, and no part of the gateway. The tag ``count`` of each
device counts its polls, so that a poll which is held up or lost is found by its number.
"""

from __future__ import annotations

import base64
import decimal
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from gateway.sdk import (
    AdapterModels,
    ConnectionConfig,
    DeviceConfig,
    Limits,
    Plan,
    Quality,
    Readings,
    Request,
    TagConfig,
)

POISONS: Final[dict[str, Any]] = {
    "nan": math.nan,
    "infinite": math.inf,
    "negative infinite": -math.inf,
    "minus zero": -0.0,
    "denormal": 5e-324,
    "googol": 10**100,
    "ten thousand digits": 10**10_000,
    "largest": 2**64 - 1,
    "too large": 2**64,
    "negative": -1,
    "half": 0.5,
    "too large for 32 bits": 1e300,
    "two": 2,
    "none": None,
    "text": "42",
    "bytes": b"\xff\x00",
    "decimal": decimal.Decimal("1.5"),
    "complex": 1j,
    "list": [1],
    "object": object(),
    "numpy": np.int64(7),
    "numpy nan": np.float32("nan"),
    "half a surrogate pair": "\ud800",
    "pair the wrong way round": "a\udc00\ud800b",
    "zero byte": "a\0b",
    "empty": "",
    "other scripts": "压力 \N{GRINNING FACE} \u202e\ufeff\uffff",
}
"""What a tag brings, by the name in its ``poison``."""
TIMES: Final = {"far future": 1 << 80, "far past": -(1 << 80), "year 2262": (1 << 63) - 1, "before the epoch": -1}
"""The same for source times."""


class PoisonousConnection(ConnectionConfig):
    """Nothing is connected."""

    line: str
    """Any name; each line has one owner."""

    @property
    def endpoint(self) -> str:
        """Identity."""
        return f"poisonous:{self.line}"


class PoisonousTag(TagConfig):
    """One mistake."""

    poison: str
    """``count``, a name of POISONS or TIMES, ``random N`` (characters that do not compress), ``quality``, ``crash``."""


models = AdapterModels(PoisonousConnection, DeviceConfig, PoisonousTag)


@dataclass(frozen=True, slots=True)
class PoisonousPlan(Plan):
    """The tags themselves."""

    tags: tuple[PoisonousTag, ...] = ()
    key: str = ""


class PoisonousAdapter:
    """One connection; also its only session."""

    limits = Limits()

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._dice = random.Random(1)

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> PoisonousPlan:
        """One request for everything."""
        request = Request(tuple(range(len(tags))))
        return PoisonousPlan([request], tags=tuple(cast("Sequence[PoisonousTag]", tags)), key=device.description)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PoisonousAdapter]:
        """Open nothing."""
        yield self

    async def read(self, plan: Plan, out: Readings) -> None:
        """Bring the poison of each tag."""
        plan = cast("PoisonousPlan", plan)
        count = self._counts[plan.key] = self._counts.get(plan.key, 0) + 1
        for place, tag in enumerate(plan.tags):
            kind, _, size = tag.poison.partition(" ")
            if tag.poison == "count":
                out.set(place, count)
            elif tag.poison in TIMES:
                out.set(place, count, time=TIMES[tag.poison])
            elif kind == "random" and size.isdecimal():
                out.set(place, base64.b64encode(self._dice.randbytes(int(size) * 3 // 4)).decode())
            elif kind in _CRASHES:
                _CRASHES[kind](place, out)
            else:
                out.set(place, POISONS[tag.poison])


def _quality(place: int, out: Readings) -> None:
    out.set(place, 1, quality=cast("Quality", 999))


def _crash(_place: int, _out: Readings) -> None:
    raise RuntimeError("an adapter with a bug")


_CRASHES: Final[dict[str, Callable[[int, Readings], None]]] = {"quality": _quality, "crash": _crash}


def adapter(connection: PoisonousConnection) -> PoisonousAdapter:  # noqa: ARG001 - every line is the same
    """Make the adapter of one connection."""
    return PoisonousAdapter()
