"""What the conformance suite must be told about MTConnect: `xingsha conformance` runs it."""

from __future__ import annotations

from typing import Any

from gateway.testing.conformance import Subject, Vector
from gateway.wire.framing import Frames

from .codec import ERRORS, LINES, Answer, ask_read, ask_subscribe, parse_answer


def _tag(name: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": name, "type": kind, **more}


subject = Subject(
    tags=[_tag(f"t{number}") for number in range(4)],
    matrix=[
        (_tag("bool", "bool"), [True, False]),
        (_tag("int16", "int16"), [-32768, 32767, -1]),
        (_tag("uint16", "uint16"), [0, 65535]),
        (_tag("int64", "int64"), [-(2**63), 2**63 - 1]),
        (_tag("uint64", "uint64"), [0, 2**64 - 1]),
        (_tag("float32", "float32"), [-1.5, 3.4e38, float("nan")]),
        (_tag("float64", "float64"), [-1.5, 5e-324, float("nan"), float("inf")]),
        (_tag("text", "string"), ["", "press 7", "星沙"]),
        (_tag("raw", "bytes"), [b"", b"\x00\xff"]),
        (_tag("scaled", "int16", scale=0.1), [-3276.8, 3276.7]),
    ],
    addresses=["speed", "oven.temperature", "_x1"],
    wrong_addresses=["", "1speed", "a b", "a=b", "x" * 65],
    vectors=[
        Vector("READ", "line protocol, 2.2, request", lambda: ask_read("speed"), b"READ speed\r\n"),
        Vector("READ", "line protocol, 2.2, answer", lambda: parse_answer(b"speed=1450"), Answer("speed", "1450")),
        Vector("SUB", "line protocol, 2.3, request", lambda: ask_subscribe("speed"), b"SUB speed\r\n"),
        Vector("SUB", "line protocol, 2.3, answer", lambda: parse_answer(b"ERR 2 speed"), Answer("speed", "", 2)),
    ],
    receivers=[lambda: Frames(LINES, parse_answer)],
    corpus=[_tag(f"c{number}") for number in range(50)],
    requests_most=50,
    codes=range(1, 6),
    mapped=lambda code: ERRORS[code]("tag"),
)
