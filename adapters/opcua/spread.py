"""Hands columns to whom they belong: by poll group, and within it by the type of the tags. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from adapters.opcua.columns import Column
from adapters.opcua.values import fit
from gateway.model.types import TYPE_ORDER, DataType
from gateway.sdk import TagConfig

Places = npt.NDArray[np.intp]

_KINDS: Final = tuple(DataType)


class Takes(Protocol):
    """`Feed.put` or `Readings.put`."""

    def __call__(self, tags: Places, values: Any, *, quality: Any = None, times: Any = None) -> None:
        """Take a column."""


def kinds_of(tags: Sequence[TagConfig]) -> npt.NDArray[np.uint8]:
    """Type of each tag, as a number."""
    return np.array([TYPE_ORDER[tag.type] for tag in tags], np.uint8)


def spread(column: Column, tags: Places, kinds: npt.NDArray[np.uint8], take: Takes) -> None:
    """Give a column to tags of one poll group; ``kinds``: the type of each of the group's tags."""
    own = kinds[tags]
    if (own == own[0]).all():
        values, quality = fit(_KINDS[own[0]], column)
        take(tags, values, quality=quality, times=column.times)
        return
    for kind in np.unique(own).tolist():
        chosen = np.flatnonzero(own == kind)
        part = part_of(column, chosen)
        values, quality = fit(_KINDS[kind], part)
        take(tags[chosen], values, quality=quality, times=part.times)


def part_of(column: Column, chosen: Places) -> Column:
    """Some values of a column."""
    values = column.values
    return Column(
        column.keys[chosen],
        column.kind,
        [values[place] for place in chosen.tolist()] if isinstance(values, list) else values[chosen],
        None if column.statuses is None else column.statuses[chosen],
        None if column.times is None else column.times[chosen],
    )
