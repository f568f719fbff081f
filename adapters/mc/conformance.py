"""What the conformance suite must be told about the MC protocol."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from adapters.mc import codec
from adapters.mc.address import AREAS
from adapters.mc.codec import Ask, Code, Frame, Route
from adapters.mc.endcodes import END_CODES, RANGES, refusal
from adapters.mc.exchange import Exchange
from gateway.testing.conformance import Receiver, Subject, Vector

B, A = Code.BINARY, Code.ASCII
D, M, W, TN, X, Y = (AREAS[name] for name in ("D", "M", "W", "TN", "X", "Y"))
Q, MC, SLMP = "capture of a Q03UDE", "SH(NA)-080008-AB", "SH(NA)-080956ENG-M"
_RANDOM = [(D, 0, 1), (TN, 0, 1), (M, 100, 1), (X, 0x20, 1)], [(D, 1500, 2), (Y, 0x160, 2), (M, 1111, 2)]
_BLOCKS = [(D, 0, 4), (W, 0x100, 8)], [(M, 0, 2), (M, 128, 2), (AREAS["B"], 0x100, 3)]
_BLOCK = "0800 3020 4515 0028 0970 3131 3200 0000 0102 0304 0506 0708 3020 4849 0000 0100 0102 0304 0506"
SERVICES: tuple[tuple[str, str, Code, Frame, Ask, bytes | str, bytes | str, str], ...] = (
    (
        "0401", Q, B, Frame.E3, codec.ask_read(B, D, 100, 3),
        "5000 00 FF FF03 00 0C00 1000 0104 0000 640000 A8 0300",
        "D000 00 FF FF03 00 0800 0000 9519 0212 3011", "9519 0212 3011",
    ),
    (
        "0401", f"{MC}, 8.2", A, Frame.E3, codec.ask_read(A, D, 100, 3),
        b"500000FF03FF000018001004010000D*0001000003",
        b"D00000FF03FF0000100000199512021130", "9519 0212 3011",
    ),
    (
        "0403", f"{MC}, 8.3", B, Frame.E3, codec.ask_random(B, *_RANDOM),
        ("5000 00 FF FF03 00 2400 1000 0304 0000 04 03"
        "000000A8 000000C2 64000090 2000009C DC0500A8 6001009D 57040090"),
        "D000 00 FF FF03 00 1600 0000 9519 0212 3020 4948 4E4F544C AFB9DEC3 B7BCDDBA",
        "9519 0212 3020 4948 4E4F544C AFB9DEC3 B7BCDDBA",
    ),
    (
        "0403", f"{MC}, 8.3", A, Frame.E3, codec.ask_random(A, *_RANDOM),
        b"500000FF03FF0000480010040300000403D*000000TN000000M*000100X*000020D*001500Y*000160M*001111",
        b"D00000FF03FF00002C000019951202203048494C544F4EC3DEB9AFBADDBCB7",
        "9519 0212 3020 4948 4E4F544C AFB9DEC3 B7BCDDBA",
    ),
    (
        "0406", f"{MC}, 8.4", B, Frame.E3, codec.ask_block(B, *_BLOCKS),
        ("5000 00 FF FF03 00 2600 1000 0604 0000 02 03"
        "000000A80400 000100B40800 000000900200 800000900200 000100A00300"),
        f"D000 00 FF FF03 00 2800 0000 {_BLOCK}", _BLOCK,
    ),
    (
        "1401", f"{SLMP}, 4.2 and {MC}, 8.2", B, Frame.E4, codec.ask_write_bit(B, M, 100, True),
        "5400 3412 0000 00 FF FF03 00 0D00 1000 0114 0100 640000 90 0100 10",
        "D400 3412 0000 00 FF FF03 00 0200 0000", "",
    ),
    (
        "1401", f"{MC}, 8.2", A, Frame.E3, codec.ask_write(A, D, 100, bytes.fromhex("496510469513")),
        b"500000FF03FF000024001014010000D*0001000003654946101395",
        b"D00000FF03FF0000040000", "",
    ),
    (
        "0101", f"{SLMP}, 5.11", B, Frame.E3, codec.ask_model(),
        "5000 00 FF FF03 00 0600 1000 0101 0000",
        "D000 00 FF FF03 00 1400 0000 51303255435055 202020202020202020 6302", "51303255435055 202020202020202020 6302",
    ),
)  # fmt: skip
"""Command, source, code, frame, what we ask, request, answer, data in the answer (in binary)."""


def _plain(message: bytes | str) -> bytes:
    return bytes.fromhex(message) if isinstance(message, str) else message


def _taken(code: Code, kind: Frame, ask: Ask, answer: bytes) -> Callable[[], bytes]:
    def take() -> bytes:
        exchange = Exchange(code, kind)
        exchange.set_serial(0x1233)
        exchange.begin(exchange.chunk(Route(), 0x10, ask), bytearray())
        assert exchange.feed(answer)  # a vector that is not taken fails
        return exchange.body

    return take


def _asked(code: Code, kind: Frame, ask: Ask) -> Callable[[], bytes]:
    return lambda: codec.frame(code, kind, Route(), 0x10, ask, 0x1234)


def _vectors() -> list[Vector]:
    found = []
    for service, source, code, kind, ask, request, answer, data in SERVICES:
        found.append(Vector(service, f"{source}, request", _asked(code, kind, ask), _plain(request)))
        found.append(Vector(service, f"{source}, answer", _taken(code, kind, ask, _plain(answer)), data))
    return found


def _begun(code: Code, kind: Frame) -> Callable[[], Receiver]:
    def fresh() -> Receiver:
        exchange = Exchange(code, kind)
        exchange.begin(exchange.chunk(Route(), 4, codec.ask_read(code, D, 0, 4), ((0, 0, 8),)), bytearray(8))
        return exchange

    return fresh


def _tag(name: str, address: str, kind: str = "uint16", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": address, "type": kind, **more}


def _matrix() -> list[tuple[dict[str, Any], list[Any]]]:
    limits: dict[str, list[Any]] = {
        "int16": [-32768, 32767, -1, 0],
        "uint16": [0, 65535, 1],
        "int32": [-(2**31), 2**31 - 1, -1],
        "uint32": [0, 2**32 - 1, 0x01020304],
        "int64": [-(2**63), 2**63 - 1, -1],
        "uint64": [0, 2**64 - 1, 0x0102030405060708],
        "float32": [-1.5, 3.4e38, 1e-38, float("nan"), float("inf")],
        "float64": [-1.5, 1.7e308, 5e-324, float("nan"), float("-inf")],
    }
    found = [
        (_tag(f"{kind}-{area}", f"{area}{800 * place}", kind), values)
        for area in ("D", "W", "ZR", "M")
        for place, (kind, values) in enumerate(limits.items())
    ]
    found += [
        (_tag(f"bit-{address}", address, "bool"), [True, False])
        for address in ("X1F", "Y0", "M7009", "B0F", "TS3", "CC4", "D7700.0", "D7700.F")
    ]
    found += [
        (_tag("text", "D7001", "string", length=10), ["", "PLC 7", "0123456789"]),
        (_tag("odd", "D7010", "string", length=3), ["", "abc"]),
        (_tag("chinese", "D7020", "string", length=10, encoding="gbk"), ["星沙", ""]),
        (_tag("japanese", "D7030", "string", length=10, encoding="shift_jis"), ["プレス", ""]),
        (_tag("raw", "D7040", "bytes", length=4), [b"\x00\xff\x00\xff", b"abcd"]),
        (_tag("bcd", "D7050", "uint32", encoding="bcd"), [0, 99999999, 12345678]),
        (_tag("scaled", "R5", "int16", scale=0.1), [-3276.8, 3276.7]),
        (_tag("timer", "TN5"), [0, 65535]),
        (_tag("long timer", "LTN5", "uint32"), [0, 2**32 - 1]),
    ]
    return found


def _corpus() -> list[dict[str, Any]]:
    """A thousand words, each far from all others."""
    dice = random.Random(1)  # noqa: S311 - repeatable on purpose
    places = [100 * place + dice.randrange(40) for place in range(500)]
    return [_tag(f"{area}{place}", f"{area}{place}") for area in ("D", "R") for place in places]


subject = Subject(
    device={"series": "iq-r"},
    others=({"series": "iq-r", "network": 1, "pc": 2},),
    tags=[_tag(f"t{number}", address) for number, address in enumerate(("D0", "D1", "R2000", "W1F0"))],
    matrix=_matrix(),
    addresses=["D100", "M7", "X1F", "XFF", "W1A.3", "D100.F", "TN5", "STS7", "ZR32768", "LTN3", "SB0A"],
    wrong_addresses=["", "D", "T5", "C5", "M7.1", "D1.10", "D1A", "Q1", "D-1", "D16777216", "100", "D 1"],
    vectors=_vectors(),
    receivers=[_begun(code, kind) for code in (B, A) for kind in Frame],
    corpus=_corpus(),
    requests_most=6,  # 1,000 places, 192 to a request: the least there can be
    codes=[*END_CODES, *(first for first, _, _ in RANGES)],
    mapped=lambda code: refusal(code).fault,
)
