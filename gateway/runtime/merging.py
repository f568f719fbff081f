"""Lanes and buses of several workers, as if there were one: what counts is added, what is wrong anywhere is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from gateway.observe.status import BusStatistics, LaneStatus

_Record = TypeVar("_Record", LaneStatus, BusStatistics)


def _first(values: list[Any]) -> Any:
    """Return the first that says something."""
    return next(filter(None, values), values[0])


def _least(values: list[Any]) -> Any:
    """Return the least of those that are known: 0 and None say nothing."""
    return min(filter(None, values), default=values[0])


_LANE: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "name": _first,
    "connected": all,
    "reason": _first,
    "message": _first,
    "since": max,
    "last_delivery": max,
}
_BUS: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "kind": _first,
    "hours_left": _least,
    "oldest_time": _least,
    "disk_free": _least,
    "full": any,
}
"""How a field is put together; whatever is not named is added up."""


def merge_lanes(workers: Sequence[Sequence[LaneStatus]]) -> list[LaneStatus]:
    """Return one record per lane, in the order of the first worker that has them."""
    by_name: dict[str, list[LaneStatus]] = {}
    for lanes in workers:
        for lane in lanes:
            by_name.setdefault(lane.name, []).append(lane)
    return [_merge(LaneStatus, same, _LANE) for same in by_name.values()]


def merge_buses(buses: Sequence[BusStatistics]) -> BusStatistics:
    """Return one record for all buses that are open."""
    there = [bus for bus in buses if bus.kind]
    return _merge(BusStatistics, there, _BUS) if there else BusStatistics()


def _merge(kind: type[_Record], records: Sequence[_Record], ways: Mapping[str, Callable[[list[Any]], Any]]) -> _Record:
    names = [field.name for field in fields(kind)]
    return kind(**{name: ways.get(name, sum)([getattr(record, name) for record in records]) for name in names})
