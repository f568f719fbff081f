"""What the conformance suite must be told about HTTP: `xingsha conformance` runs it."""

from __future__ import annotations

from typing import Any

from gateway.testing.conformance import Receiver, Subject, Vector
from gateway.wire.framing import Frames

from .codec import Exchange, status_fault
from .posts import parse, request_framing


def _tag(name: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": f"$.{name}", "type": kind, **more}


def _asked() -> Receiver:
    exchange = Exchange("a server", 100_000)
    exchange.get("/", "a")
    return exchange


def _taken(answer: bytes) -> tuple[int, bytes]:
    exchange = Exchange("a server", 100_000)
    exchange.get("/", "a")
    assert exchange.feed(answer)  # a vector that is not taken fails
    return exchange.answer.status, exchange.answer.body


def _clock(device: Any, moment: int) -> None:
    device.time = moment


_CELLS = ("temp", "a b[0]", "t[-2]", "t[m=p 1]")
_NO_CELLS = ("", "a[", "a[x]", "a]", "=b", "a[00]", "a[b=[]")
_LIMITS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int8": [-128, 127, -1],
    "uint8": [0, 255],
    "int16": [-32768, 32767, -1],
    "uint16": [0, 65535],
    "int32": [-(2**31), 2**31 - 1, -1],
    "uint32": [0, 2**32 - 1],
    "int64": [-(2**63), 2**63 - 1, -1],
    "uint64": [0, 2**64 - 1],
    "float32": [-1.5, 3.4e38, 1e-38],
    "float64": [-1.5, 1.7e308, 5e-324, 0.1],
    "string": ["", "PLC 7", "星沙", 'quote " and \\'],
}

subject = Subject(
    device={"path": "/d0", "time": {"path": "$.at", "format": "ns"}},
    others=({"path": "/d1", "time": {"path": "$.at", "format": "ns"}},),
    tags=[_tag(f"t{number}") for number in range(4)],
    matrix=[(_tag(f"v_{kind}", kind), values) for kind, values in _LIMITS.items()]
    + [(_tag("scaled", "int16", scale=0.1), [-3276.8, 3276.7])],
    addresses=["$", "$.a", "$.a.b[0].c", "$[3]", "$['a b']", "/m", "/m/axis[2]", "/m/axis[2]/@pos", *_CELLS],
    wrong_addresses=[*_NO_CELLS, "$.", "$[", "$[x]", "$..a", "$.a[-1]", "/", "/@a", "/m/@a/b", "/m[0]"],
    vectors=[
        Vector(
            "GET", "RFC 9112, 3.2.1, request (with the fields that this client always sends)",
            lambda: Exchange("a", 100).get("/where?q=now", "www.example.org"),
            b"GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: xingsha-gateway\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
        ),
        Vector(
            "GET", "RFC 9112, 7.1, a chunked answer with an extension and a trailer",
            lambda: _taken(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
            ),
            (200, b"hello!"),
        ),
        Vector(
            "POST", "RFC 9112, 6.2, a body of told length",
            lambda: parse(b"POST /m?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 100)[::2][:2],
            ("POST", {"host": "a", "content-length": "2"}),
        ),
        Vector("POST", "RFC 9112, 6.3, answered", lambda: parse(b"POST / HTTP/1.0\r\n\r\n", 9).keeps, False),
    ],
    receivers=[_asked, lambda: Frames(request_framing(10_000), lambda _frame: None)],
    connection={"bearer": "s3cret"},
    auth={"bearer": "another"},
    corpus=[_tag(f"c{number}") for number in range(200)],
    requests_most=1,
    codes=range(201, 600),
    mapped=lambda status: status_fault("a server", status, {}),
    source_time=_clock,
)  # fmt: skip
