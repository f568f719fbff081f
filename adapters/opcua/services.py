"""The messages of the services that carry many values or many nodes (Part 4, 5; encodings: Part 6, 5.2). Sans-io.

Requests are built, responses are taken apart; the rare services are left to asyncua.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from adapters.opcua.codec import EPOCH, HAS_VALUE, Reader, array, node_id, string
from adapters.opcua.columns import Column, columns
from gateway.model.faults import ProtocolFault

READ, WRITE, CREATE_ITEMS, PUBLISH, REPUBLISH, HISTORY_READ = 631, 673, 751, 826, 832, 664
"""Ids of the binary encodings of requests (Part 6, annex A.3); that of a response is three more."""
FAULT: Final = 397
DATA_CHANGE, STATUS_CHANGE, HISTORY_DATA = "i=811", "i=820", "i=658"
"""Encodings of what notifications and histories carry."""
VALUE: Final = 13
"""Id of the attribute Value (Part 6, annex A.1)."""
SOURCE_TIME, BOTH_TIMES = 0, 2
"""Timestamps to return (Part 4, 7.40)."""
_REPORTING: Final = 2


def request(kind: int, token: bytes, handle: int, timeout: float, body: bytes) -> bytes:
    """Message of a request; ``token``: encoded node id of the session; ``timeout``: seconds, 0: none (Part 4, 7.33)."""
    return b"".join(
        (
            node_id(0, kind),
            token,
            struct.pack("<qII", 0, handle, 0),
            string(None),
            struct.pack("<I", min(int(timeout * 1000), 0xFFFFFFFF)),
            b"\0\0\0",
            body,
        )
    )


class Response(NamedTuple):
    """A response whose header was read."""

    kind: int
    status: int
    """Result of the service."""
    reader: Reader
    """Stands at the first byte behind the header."""


def response(data: bytes) -> Response:
    """Read the header of a response (Part 4, 7.34). Raises ProtocolFault."""
    reader = Reader(data)
    form, kind = reader.byte(), 0
    if form == 1 and reader.byte() == 0:
        kind = reader.u16()
    if not kind:
        raise ProtocolFault("the response has no known type", data=data)
    reader.skip(12)
    status = reader.u32()
    reader.diagnostics()
    for _ in range(reader.count(4)):
        reader.blob()
    reader.extension()
    return Response(kind, status, reader)


# reading


def value_id(node: bytes, index_range: str = "", attribute: int = VALUE) -> bytes:
    """ReadValueId of an encoded node id."""
    return node + struct.pack("<I", attribute) + string(index_range or None) + struct.pack("<H", 0) + string(None)


def read_body(values: Sequence[bytes]) -> bytes:
    """Body of a ReadRequest: values as they are now, with both times (Part 4, 5.10.2)."""
    return struct.pack("<di", 0.0, BOTH_TIMES) + array(values)


def parse_read(reader: Reader, expected: int) -> list[Column]:
    """Values of a ReadResponse, by their places in the request. Raises ProtocolFault."""
    found = columns(reader, keyed=False)
    if sum(len(column.keys) for column in found) != expected:
        raise ProtocolFault(f"values of another number of nodes than the {expected} asked for", data=reader.data)
    return found


def write_body(node: bytes, index_range: str, value: bytes) -> bytes:
    """Body of a WriteRequest for one encoded Variant; few servers take status and times as well (Part 4, 5.10.4)."""
    return array([node + struct.pack("<I", VALUE) + string(index_range or None) + bytes((HAS_VALUE,)) + value])


def parse_statuses(reader: Reader, expected: int) -> list[int]:
    """Statuses of a WriteResponse. Raises ProtocolFault."""
    found = [reader.u32() for _ in range(reader.count(4))]
    if len(found) != expected:
        raise ProtocolFault(f"{len(found)} statuses, {expected} were expected", data=reader.data)
    return found


# subscribing


class Item(NamedTuple):
    """What is to be watched."""

    node: bytes
    """Encoded node id."""
    handle: int
    sampling: float
    """Ms; -1: as the subscription publishes; 0: as fast as the server can."""
    queue: int
    discard_oldest: bool
    deadband: float
    percent: bool
    index_range: str = ""


class Created(NamedTuple):
    """What the server made of it."""

    status: int
    id: int
    sampling: float
    queue: int


def _item(item: Item) -> bytes:
    if item.deadband:  # status or value, absolute 1 or percent 2 (Part 4, 7.22.2)
        change = string(struct.pack("<iId", 1, 2 if item.percent else 1, item.deadband))
        change = node_id(0, 724) + b"\1" + change
    else:
        change = b"\0\0\0"
    return b"".join(
        (
            value_id(item.node, item.index_range),
            struct.pack("<iId", _REPORTING, item.handle, item.sampling),
            change,
            struct.pack("<IB", item.queue, item.discard_oldest),
        )
    )


def create_items_body(subscription: int, items: Iterable[Item]) -> bytes:
    """Body of a CreateMonitoredItemsRequest (Part 4, 5.12.2)."""
    return struct.pack("<Ii", subscription, BOTH_TIMES) + array([_item(item) for item in items])


def parse_created(reader: Reader, expected: int) -> list[Created]:
    """Results of a CreateMonitoredItemsResponse. Raises ProtocolFault."""
    found = []
    for _ in range(reader.count(23)):
        at = reader.skip(20)
        found.append(Created(*struct.unpack_from("<IIdI", reader.data, at)))
        reader.extension()
    if len(found) != expected:
        raise ProtocolFault(f"results of {len(found)} items, {expected} were created", data=reader.data)
    return found


class Published(NamedTuple):
    """A notification message."""

    subscription: int
    available: tuple[int, ...]
    """Sequence numbers of messages that can be sent again."""
    more: bool
    sequence: int
    """Its own, or, in a keep-alive, that of the next."""
    alive: bool
    """True for a keep-alive, which carries nothing."""
    columns: list[Column]
    status: int
    """Why the subscription has ended; 0: it has not."""


def publish_body(acknowledged: Sequence[tuple[int, int]]) -> bytes:
    """Body of a PublishRequest: (subscription, sequence number) of messages that are safe (Part 4, 5.13.5)."""
    return array([struct.pack("<II", *pair) for pair in acknowledged])


def parse_publish(reader: Reader) -> Published:
    """Content of a PublishResponse. Raises ProtocolFault."""
    subscription = reader.u32()
    available = tuple(reader.u32() for _ in range(reader.count(4)))
    more = reader.byte() != 0
    return _message(reader, subscription, available, more)


def republish_body(subscription: int, sequence: int) -> bytes:
    """Body of a RepublishRequest (Part 4, 5.13.6)."""
    return struct.pack("<II", subscription, sequence)


def parse_republish(reader: Reader, subscription: int) -> Published:
    """Content of a RepublishResponse. Raises ProtocolFault."""
    return _message(reader, subscription, (), False)


def _message(reader: Reader, subscription: int, available: tuple[int, ...], more: bool) -> Published:
    """NotificationMessage (Part 4, 7.26)."""
    sequence = reader.u32()
    reader.skip(8)
    parts = reader.count(3)
    found: list[Column] = []
    status = 0
    for _ in range(parts):
        kind, body = reader.extension()
        if kind == DATA_CHANGE:
            found += columns(Reader(body), keyed=True)
        elif kind == STATUS_CHANGE:
            status = Reader(body).u32()
    return Published(subscription, available, more, sequence, not parts, found, status)


# history


class Past(NamedTuple):
    """What a node recorded."""

    status: int
    more: bytes
    """Where to read on; empty: that was all."""
    columns: list[Column]


def history_body(nodes: Sequence[tuple[bytes, bytes]], since: int, until: int, most: int) -> bytes:
    """Body of a HistoryReadRequest: raw values of (encoded node id, where to read on) from ``since`` to ``until``.

    Times in ns since 1970, at most ``most`` values of each node at a time (Part 4, 5.10.3; Part 11, 6.4.3).
    """
    details = struct.pack("<BqqIB", 0, EPOCH + since // 100, EPOCH + -(-until // 100), most, 0)
    asked = [node + string(None) + struct.pack("<H", 0) + string(None) + string(more or None) for node, more in nodes]
    return node_id(0, 649) + b"\1" + string(details) + struct.pack("<iB", SOURCE_TIME, 0) + array(asked)


def parse_history(reader: Reader, expected: int) -> list[Past]:
    """Content of a HistoryReadResponse. Raises ProtocolFault."""
    found = []
    for _ in range(reader.count(11)):
        status, more = reader.u32(), reader.blob() or b""
        kind, body = reader.extension()
        found.append(Past(status, more, columns(Reader(body), keyed=False) if kind == HISTORY_DATA and body else []))
    if len(found) != expected:
        raise ProtocolFault(f"the past of {len(found)} nodes, {expected} were asked for", data=reader.data)
    return found
