"""What the conformance suite must be told about OPC UA."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.opcua import status
from adapters.opcua.client import Chunks
from adapters.opcua.codec import Reader, node_id, string
from gateway.testing.conformance import Subject, Vector

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_URI = "http://suite.example/"
_PKI = str(Path(tempfile.gettempdir()) / "xingsha-suite-pki")


def _tag(name: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": f"nsu={_URI};s={name}", "type": kind, **more}


def _matrix() -> list[tuple[dict[str, Any], list[Any]]]:
    limits: dict[str, list[Any]] = {
        "bool": [True, False],
        "int8": [-128, 127, -1],
        "uint8": [0, 255],
        "int16": [-32768, 32767, -1],
        "uint16": [0, 65535],
        "int32": [-(2**31), 2**31 - 1, -1],
        "uint32": [0, 2**32 - 1],
        "int64": [-(2**63), 2**63 - 1, -1],
        "uint64": [0, 2**64 - 1],
        "float32": [-1.5, 3.4e38, float("nan"), float("inf")],
        "float64": [-1.5, 1.7e308, 5e-324, float("nan"), float("-inf")],
        "string": ["", "PLC 7", "星沙"],
        "bytes": [b"", b"\x00\xff"],
    }
    return [(_tag(f"v_{kind}", kind), values) for kind, values in limits.items()]


class _Stream:
    """The cutting of a stream into chunks, as a receiver."""

    def __init__(self) -> None:
        self.chunks = Chunks()

    def feed(self, data: bytes) -> bool:
        return bool(self.chunks.feed(data))


def _clock(device: Any, moment: int) -> None:
    """From now on values were measured at this moment."""
    measured = _EPOCH + timedelta(microseconds=moment // 1000)
    simulator = device._sim  # noqa: SLF001 - both are one simulator
    simulator.put = lambda tag, value, _time, status: type(simulator).put(simulator, tag, value, measured, status)


def _reader(text: str) -> Reader:
    return Reader(bytes.fromhex(text))


_TEXT, _NODE, _GUID = "06000000e6b0b4426f79", "03010006000000486f74e6b0b4", "0e912b967275fae64a8d28b404dc7daf63"

subject = Subject(
    connection={"policy": "none", "pki": _PKI, "keepalive": "500ms"},
    at=lambda port: {"url": f"opc.tcp://127.0.0.1:{port}"},
    tags=[_tag(f"t{number}") for number in range(4)],
    matrix=_matrix(),
    addresses=["ns=2;s=Oil", "i=2258", "nsu=http://plant.example/press;s=Oil", "/Objects/2:Press/2:Oil", "ns=1;b=AAEC"],
    wrong_addresses=["", "Oil", "ns=2", "ns=x;s=a", "ns=70000;i=1", "//", "i=-1"],
    vectors=[
        Vector("String", "Part 6, 5.2.2.4", lambda: _reader(_TEXT).text(), "水Boy"),
        Vector("String", "Part 6, 5.2.2.4, written", lambda: string("水Boy"), _TEXT),
        Vector("NodeId", "Part 6, 5.2.2.9, table 8", lambda: node_id(0, 72), "0048"),
        Vector("NodeId", "Part 6, 5.2.2.9, figure 15", lambda: _reader(_NODE).node(), "ns=1;s=Hot水"),
        Vector("Variant", "Part 6, 5.2.2.3, figure 13", lambda: _reader("0a0000d0c0").variant(), (10, -6.5)),
        Vector(
            "Variant", "Part 6, 5.2.2.6",
            lambda: _reader(_GUID).variant(), (14, "72962b91-fa75-4ae6-8d28-b404dc7daf63"),
        ),
    ],
    receivers=[_Stream],
    codes=status.STATUS,
    mapped=status.quality,
    source_time=_clock,
)  # fmt: skip
