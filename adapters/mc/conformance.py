"""What the conformance suite must be told about the MC protocol."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from adapters.mc.address import AREAS
from adapters.mc.codec import (
    Ask,
    Code,
    Frame,
    Route,
    ask_block,
    ask_model,
    ask_random,
    ask_read,
    ask_write,
    ask_write_bit,
    frame,
)
from adapters.mc.endcodes import END_CODES, RANGES, refusal
from adapters.mc.exchange import Exchange
from gateway.testing.conformance import Receiver, Subject, Vector
from gateway.testing.conformance.limits import chosen

D, W, M, X, Y, TN = (AREAS[name] for name in ("D", "W", "M", "X", "Y", "TN"))
B = Code.BINARY
_HEAD = "5000 00 FF FF03 00"
_BACK = "D000 00 FF FF03 00"

SERVICES = (
    (
        "read", "capture of a Q03UDE", ask_read(B, D, 100, 3), "0C00 1000 0104 0000 640000 A8 0300",
        "0800 0000 9519 0212 3011", "9519 0212 3011",
    ),
    (
        "read random", "SH(NA)-080008-AB, 8.3",
        ask_random(B, [(D, 0, 1), (TN, 0, 1), (M, 100, 1), (X, 0x20, 1)], [(D, 1500, 2), (Y, 0x160, 2), (M, 1111, 2)]),
        "2400 1000 0304 0000 04 03 000000A8 000000C2 64000090 2000009C DC0500A8 6001009D 57040090",
        "1600 0000 9519 0212 3020 4948 4E4F544C AFB9DEC3 B7BCDDBA", "9519 0212 3020 4948 4E4F544C AFB9DEC3 B7BCDDBA",
    ),
    (
        "read block", "capture of aslmp 0.2.0, target PEDANTIC", ask_block(B, [(D, 0, 4), (W, 0x100, 2)], [(M, 0, 1)]),
        "1A00 1000 0604 0000 02 01 000000A80400 000100B40200 000000900100",
        "1000 0000 0800 3010 4515 0028 7009 3101 4948", "0800 3010 4515 0028 7009 3101 4948",
    ),
    (
        "write", "SH(NA)-080008-AB, 8.2", ask_write(B, D, 100, bytes.fromhex("4965 1046 9513")),
        "1200 1000 0114 0000 640000 A8 0300 4965 1046 9513", "0200 0000", "",
    ),
    (
        "write bits", "SH(NA)-080008-AB, 8.2", ask_write_bit(B, M, 100, True),
        "0D00 1000 0114 0100 640000 90 0100 10", "0200 0000", "",
    ),
    (
        "read type name", "SH(NA)-080956ENG-M, 5.11", ask_model(), "0600 1000 0101 0000",
        "1400 0000 51303255435055202020202020202020 6302", "51303255435055202020202020202020 6302",
    ),
)  # fmt: skip
"""Service, source, what we ask, request and answer behind the route, data in the answer."""


def _taken(ask: Ask, answer: str) -> Callable[[], bytes]:
    def take() -> bytes:
        exchange = Exchange(B, Frame.E3)
        exchange.begin(exchange.chunk(Route(), 0x10, ask), bytearray())
        assert exchange.feed(bytes.fromhex(_BACK + answer))  # a vector that is not taken fails
        return exchange.body

    return take


def _sent(ask: Ask) -> Callable[[], bytes]:
    return lambda: frame(B, Frame.E3, Route(), 0x10, ask)


def _vectors() -> list[Vector]:
    found = []
    for service, source, ask, request, answer, data in SERVICES:
        found.append(Vector(service, f"{source}, request", _sent(ask), _HEAD + request))
        found.append(Vector(service, f"{source}, answer", _taken(ask, answer), data))
    return found


def _begun(code: Code, kind: Frame) -> Callable[[], Receiver]:
    def fresh() -> Receiver:
        exchange = Exchange(code, kind)
        exchange.begin(exchange.chunk(Route(pc=1), 0x10, ask_read(code, D, 0, 202)), bytearray(404))
        return exchange

    return fresh


def _tag(name: str, address: str, kind: str = "uint16", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": address, "type": kind, **more}


def _matrix() -> list[tuple[dict[str, Any], list[Any]]]:
    limits = chosen("int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
    found: list[tuple[dict[str, Any], list[Any]]] = []
    for place, (kind, values) in enumerate(limits.items()):
        found += [
            (_tag(f"{kind}-near", f"D{8 * place}", kind), values),
            (_tag(f"{kind}-far", f"W{0x100 * place:X}", kind), values),
            (_tag(f"{kind}-bits", f"B{0x80 * place:X}", kind), values),
        ]
    found += [(_tag(area, f"{area}{number}", "bool"), [True, False]) for area, number in _BITS]
    found += [
        (_tag("bit", "D200.F", "bool"), [True, False]),
        (_tag("long", "LZ2", "int32"), [-(2**31), 2**31 - 1]),
        (_tag("timer", "LTN5", "uint32"), [0, 2**32 - 1]),
        (_tag("file", "ZR40000", "uint16"), [0, 65535]),
        (_tag("text", "D210", "string", length=10), ["", "PLC 7", "0123456789"]),
        (_tag("odd", "D220", "string", length=5), ["", "abcde"]),
        (_tag("chinese", "D230", "string", length=10, encoding="gbk"), ["星沙", ""]),
        (_tag("raw", "D240", "bytes", length=4), [b"\x00\xff\x00\xff", b"abcd"]),
        (_tag("bcd", "D250", "uint32", encoding="bcd"), [0, 99999999, 12345678]),
        (_tag("scaled", "D260", "int16", scale=0.1), [-3276.8, 3276.7]),
    ]
    return found


_BITS = (("M", "17"), ("X", "1F"), ("Y", "20"), ("L", "3"), ("SM", "400"), ("TS", "9"), ("CC", "8"))


def _corpus() -> list[dict[str, Any]]:
    """1,000 words so far from each other that no two of them come for the price of one."""
    dice = random.Random(1)  # noqa: S311 - repeatable on purpose
    return [_tag(f"t{place}", f"ZR{place}") for place in sorted(dice.sample(range(0, 2_000_000, 40), 1000))]


subject = Subject(
    device={"series": "iq-r", "pc": 1},
    others=({"series": "iq-r", "pc": 2},),
    tags=[_tag(f"t{number}", f"D{place}") for number, place in enumerate((0, 1, 200, 201))],
    matrix=_matrix(),
    addresses=["D100", "D100.F", "M7", "X1F", "YA0", "W1A", "B0FF", "TN5", "STS3", "CC1", "ZR32768", "SM400", "LZ1"],
    wrong_addresses=["", "D", "D-1", "D1.G", "M1.0", "T5", "QQ1", "D99999999", "D1.1.1", "XG"],
    vectors=_vectors(),
    receivers=[_begun(code, kind) for code in (Code.BINARY, Code.ASCII) for kind in Frame],
    corpus=_corpus(),
    requests_most=-(-1000 // 192),
    codes=sorted({*END_CODES, *(code for first, last, _ in RANGES for code in (first, last))}),
    mapped=lambda code: refusal(code).fault,
)
"""With 3E frames, which carry no serial number: the harder case."""
