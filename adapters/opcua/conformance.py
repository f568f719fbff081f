"""What the conformance suite must be told about OPC UA."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.opcua import services, vectors
from adapters.opcua.client import Chunks
from adapters.opcua.codec import Reader, node_id, unix
from adapters.opcua.services import Item
from adapters.opcua.status import STATUS, fault, is_bad, quality
from gateway.testing.conformance import Receiver, Subject, Vector
from gateway.testing.conformance.limits import LIMITS


class _Stream:
    """Chunks, and the messages in them: complete with the first message that makes sense."""

    def __init__(self) -> None:
        self._chunks = Chunks()

    def feed(self, data: bytes) -> bool:
        """Take bytes. Raises ProtocolFault."""
        found = self._chunks.feed(data)
        for chunk in found:
            answer = services.response(chunk[8:])
            if answer.kind == services.PUBLISH + 3:
                services.parse_publish(answer.reader)
            elif answer.kind == services.READ + 3:
                services.parse_read(answer.reader, 3)
        return bool(found)


def _stream() -> Receiver:
    return _Stream()


def _read() -> list[tuple[int, object]]:
    answer = services.response(bytes.fromhex(vectors.READ.response))
    return sorted((column.kind, column.values[0]) for column in services.parse_read(answer.reader, 3))


def _published() -> list[tuple[int, object]]:
    answer = services.response(bytes.fromhex(vectors.PUBLISH.response))
    return [(column.kind, column.values[0]) for column in services.parse_publish(answer.reader).columns]


def _past() -> list[object]:
    answer = services.response(bytes.fromhex(vectors.HISTORY_READ.response))
    return [value for past in services.parse_history(answer.reader, 1) for value in past.columns[0].values]


def _asked_past() -> bytes:
    since, until = struct.unpack_from("<qq", bytes.fromhex(vectors.HISTORY_READ.request), 10)
    return services.history_body([(node_id(2, "h"), b"")], unix(since), unix(until), 1000)


def _created() -> list[tuple[int, float, int]]:
    answer = services.response(bytes.fromhex(vectors.CREATE_ITEMS.response))
    return [(one.status, one.sampling, one.queue) for one in services.parse_created(answer.reader, 2)]


def _written() -> list[int]:
    return services.parse_statuses(services.response(bytes.fromhex(vectors.WRITE.response)).reader, 1)


def _vectors() -> list[Vector]:
    capture = "captured with node-opcua 2.182"
    items = [Item(node_id(2, name), at, -1.0, 10, True, 0.0, False) for at, name in enumerate("as")]
    subscription = int.from_bytes(bytes.fromhex(vectors.CREATE_ITEMS.request)[:4], "little")
    values = [services.value_id(node_id(2, name)) for name in ("a", "s", "none")]
    return [
        Vector("types", "Part 6, 5.2.2.4", lambda: Reader(bytes.fromhex("06000000e6b0b4426f79")).text(), "水Boy"),
        Vector("types", "Part 6, 5.2.2.9", lambda: node_id(1, "Hot水"), "03 01 00 06 00 00 00 48 6F 74 E6 B0 B4"),
        Vector("Read", f"Part 4, 5.10.2; {capture}", lambda: services.read_body(values), vectors.READ.request),
        Vector("Read", f"Part 4, 5.10.2; {capture}", _read, [(0, None), (11, 1.5), (12, "水Boy")]),
        Vector(
            "Write", f"Part 4, 5.10.4; {capture}",
            lambda: services.write_body(node_id(2, "a"), "", b"\x0b" + struct.pack("<d", 2.5)), vectors.WRITE.request,
        ),
        Vector("Write", f"Part 4, 5.10.4; {capture}", _written, [0]),
        Vector(
            "CreateMonitoredItems", f"Part 4, 5.12.2; {capture}",
            lambda: services.create_items_body(subscription, items), vectors.CREATE_ITEMS.request,
        ),
        Vector("CreateMonitoredItems", f"Part 4, 5.12.2; {capture}", _created, [(0, 50.0, 10)] * 2),
        Vector("Publish", f"Part 4, 5.13.5; {capture}", lambda: services.publish_body([]), vectors.PUBLISH.request),
        Vector("Publish", f"Part 4, 5.13.5; {capture}", _published, [(11, 2.5), (12, "水Boy")]),
        Vector(
            "Republish", f"Part 4, 5.13.6; {capture}",
            lambda: services.republish_body(subscription, 1), vectors.REPUBLISH.request,
        ),
        Vector(
            "Republish", f"Part 4, 5.13.6; {capture}",
            lambda: services.response(bytes.fromhex(vectors.REPUBLISH.response))[:2], (services.FAULT, 0x807B0000),
        ),
        Vector("HistoryRead", f"Part 11, 6.4.3; {capture}", _asked_past, vectors.HISTORY_READ.request),
        Vector("HistoryRead", f"Part 11, 6.4.3; {capture}", _past, [7]),
    ]  # fmt: skip


def _tag(name: str, kind: str = "int32") -> dict[str, Any]:
    return {"name": name, "address": f"nsu=urn:suite;s={name}", "type": kind}


def _clock(device: Any, moment: int) -> None:
    device.clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment // 1000)


def _mapped(code: int) -> object:
    _ = STATUS[code]
    return fault(code, "here") if is_bad(code) else quality(code)


subject = Subject(
    connection={"policy": "none", "keepalive": "500ms"},
    at=lambda port: {"url": f"opc.tcp://127.0.0.1:{port}"},
    device={"scan": "50ms"},
    tags=[_tag(f"t{number}") for number in range(4)],
    matrix=[({**_tag(f"m_{kind}", kind)}, values) for kind, values in LIMITS.items()],
    addresses=[
        "i=2258", "ns=2;s=Oil.Temperature", "nsu=http://plant.example/press;i=7", "ns=1;b=AQID", "/Objects/2:Press/Oil",
        "g=72962b91-fa75-4ae6-8d28-b404dc7daf63", "/Objects/nsu=http://a/b;Press/2:m&/s",
    ],
    wrong_addresses=["Oil", "ns=2", "ns=70000;i=1", "i=x", "s=", "g=1", "/", "/a//b"],
    vectors=_vectors(),
    receivers=[_stream],
    codes=list(STATUS),
    mapped=_mapped,
    source_time=_clock,
    sans_io=("codec", "columns", "services", "values", "address", "status", "plan", "spread"),
)  # fmt: skip
