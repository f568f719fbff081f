"""What a server recorded while nobody could be told (Part 11): raw values, page by page, into a feed."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np

from adapters.opcua import services, status
from adapters.opcua.columns import Column
from adapters.opcua.plan import OpcUaPlan
from adapters.opcua.resolve import Server
from adapters.opcua.spread import Places, kinds_of, part_of, spread
from gateway.sdk import Feed, Quality, TagFault

PAGE: Final = 1000
"""Values of a node in one answer."""
PAGES: Final = 100_000
"""Answers for one interruption: a server that never comes to an end is given up."""
NO_DATA: Final = 0x809B0000
"""BadNoData: a history without values in this time."""


async def read_history(server: Server, feed: Feed, since: int, until: int) -> None:
    """Replay what was recorded from ``since`` to before ``until``, of each tag the oldest first.

    Raises TagFault ``no_history`` when that is not known of every tag; what is known has been replayed then.
    """
    plan = cast("OpcUaPlan", feed.plan)
    found = await server.find(tag.address for tag in plan.points)
    nodes = [(place, found[tag.address]) for place, tag in enumerate(plan.points) if not tag.index]
    known = [(place, node) for place, node in nodes if not isinstance(node, Quality)]
    untold = [tag.name for tag in plan.points if tag.index or isinstance(found[tag.address], Quality)]
    pages = 0
    for first in range(0, len(known), server.bounds.history):
        pending = [(place, node, b"") for place, node in known[first : first + server.bounds.history]]
        while pending:
            pages += 1
            if pages > PAGES:
                raise TagFault(f"{feed.name}: the history has no end", code="no_history")
            await feed.room()
            body = services.history_body([(node, more) for _, node, more in pending], since, until, PAGE)
            reader = await server.channel.ask(services.HISTORY_READ, body)
            left, told = [], []
            for (place, node, _), past in zip(pending, services.parse_history(reader, len(pending)), strict=True):
                if status.is_bad(past.status) and past.status & status.CODE != NO_DATA:
                    untold.append(plan.points[place].name)
                    continue
                told.append((place, past.columns))
                if past.more:
                    left.append((place, node, past.more))
            _replay(feed, told, since, until)
            pending = left
    if untold:
        some = ", ".join(untold[:3]) + (" …" if len(untold) > 3 else "")
        raise TagFault(f"{feed.name}: the server has no history of {some}", code="no_history")


def _replay(feed: Feed, told: list[tuple[int, list[Column]]], since: int, until: int) -> None:
    """Put a page into the feed: the values of all its nodes together, so that those of one moment share a frame."""
    kinds = kinds_of(feed.tags)
    parts: dict[tuple[int, bool], list[tuple[int, Column]]] = {}
    for place, columns in told:
        for column in columns:
            if column.times is not None:
                inside = np.flatnonzero((column.times >= since) & (column.times < until))
                if len(inside):
                    alike = (column.kind, isinstance(column.values, list))
                    parts.setdefault(alike, []).append((place, part_of(column, inside)))

    def take(tags: Places, values: Any, *, quality: Any = None, times: Any = None) -> None:
        feed.put(tags, values, quality=quality, times=times, replayed=True)

    for found in parts.values():
        joined = _joined([column for _, column in found])
        tags = np.repeat([place for place, _ in found], [len(column.keys) for _, column in found])
        order = np.argsort(cast("Places", joined.times), kind="stable")
        spread(part_of(joined, order), tags[order], kinds, take)


def _joined(columns: list[Column]) -> Column:
    """Columns of one built-in type as one."""
    if len(columns) == 1:
        return columns[0]
    statuses = [np.zeros(len(one.keys), np.uint32) if one.statuses is None else one.statuses for one in columns]
    values: Any = [one.values for one in columns]
    return Column(
        np.concatenate([one.keys for one in columns]),
        columns[0].kind,
        [value for some in values for value in some] if isinstance(values[0], list) else np.concatenate(values),
        np.concatenate(statuses) if any(code.any() for code in statuses) else None,
        np.concatenate([cast("Places", one.times) for one in columns]),
    )
