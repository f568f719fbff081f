"""Plans: which tags of a group are subscribed to or read, and what servers bear. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from adapters.opcua.config import Delivery, Limit, OpcUaConnection, OpcUaDevice, OpcUaTag
from gateway.sdk import ConfigFault, Plan, Push, Request

SILENCE: Final = 3
"""Keep-alives that may fail to come before a subscription counts as stale."""
_BYTES: Final = (40, 30)
"""Bytes of a node in a read request and of its value in the answer: for the load forecast only."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a server bears in one request."""

    read: int = 100
    items: int = 100
    """Monitored items created with one request."""
    paths: int = 100
    browse: int = 50
    write: int = 100
    history: int = 10
    publish: int = 4
    """Publish requests that wait at the server."""
    source: str = ""

    def lowered(self, most: int) -> Bounds:
        """The same, with at most ``most`` nodes in each request."""
        return replace(
            self,
            read=min(self.read, most),
            items=min(self.items, most),
            paths=min(self.paths, most),
            browse=min(self.browse, most),
            write=min(self.write, most),
            history=min(self.history, most),
        )


PROFILES: Final[dict[Limit, Bounds]] = {
    Limit.AUTO: Bounds(source="careful: a hundred nodes is the least that the standard server profile asks for"),
    Limit.S7_1500: Bounds(
        read=1000,
        items=1000,
        paths=1000,
        browse=1000,
        write=1000,
        source="SIMATIC S7-1500 CPUs tell 1,000 as MaxNodesPerRead and MaxMonitoredItemsPerCall (OperationLimits)",
    ),
    Limit.SMALL: Bounds(
        read=10,
        items=10,
        paths=5,
        browse=5,
        write=10,
        history=1,
        publish=2,
        source="embedded servers of the nano and micro profiles: one or two sessions and subscriptions (Part 7)",
    ),
}
"""Limits by name, each with where it comes from. What a server tells of itself goes before."""


@dataclass(frozen=True, slots=True)
class ReadNodes(Request):
    """Nodes of one read request."""


@dataclass(frozen=True, slots=True)
class OpcUaPlan(Plan):
    """Tags of one poll group of a device."""

    device: OpcUaDevice | None = None
    points: tuple[OpcUaTag, ...] = field(default=())
    interval: float = 0.0
    """Seconds between two messages of a subscription, as asked for."""
    keepalive: int = 1
    """Publishing intervals without change after which the server shows a sign of life."""
    stale: float = 0.0
    """Seconds without one after which the subscription is made anew; a time-out later, the device counts as down."""


def make_plan(connection: OpcUaConnection, device: OpcUaDevice, tags: Sequence[OpcUaTag]) -> OpcUaPlan:
    """Plan one poll group. Raises ConfigFault."""
    points = tuple(tags)
    scan = points[0].scan if points and points[0].scan is not None else device.scan
    for tag in points:
        if (tag.sampling or device.sampling or 0.0) > 0 and connection.delivery is Delivery.POLL:
            raise ConfigFault(f"tag {tag.name}: sampling belongs to delivery: subscribe")
    if connection.delivery is Delivery.POLL:
        most = connection.max_nodes or PROFILES[connection.limits].read
        spans = [tuple(range(first, min(first + most, len(points)))) for first in range(0, len(points), most)]
        return OpcUaPlan(
            requests=tuple(ReadNodes(span) for span in spans),
            wire_bytes=sum(_BYTES) * len(points),
            turnarounds=len(spans),
            device=device,
            points=points,
        )
    keepalive = max(1, math.ceil(connection.keepalive / scan)) if scan > 0 else 100
    period = max(keepalive * scan, connection.keepalive)
    return OpcUaPlan(
        requests=(),
        push=Push(silence=SILENCE * period + 2 * connection.timeout, on_change=True),
        device=device,
        points=points,
        interval=scan,
        keepalive=keepalive,
        stale=SILENCE * period,
    )


def sampling(device: OpcUaDevice, tag: OpcUaTag) -> float:
    """Ms between two looks of the server at a value; -1: as often as the subscription publishes."""
    chosen = tag.sampling if tag.sampling is not None else device.sampling
    return -1.0 if chosen is None else chosen * 1000


def queue(device: OpcUaDevice, tag: OpcUaTag) -> int:
    """Values of a tag that the server is to keep."""
    return tag.queue or device.queue
