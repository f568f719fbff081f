"""What the conformance suite must be told about Modbus."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from adapters.modbus.address import Area
from adapters.modbus.codec import (
    EXCEPTIONS,
    Ask,
    ask_mask_write,
    ask_read,
    ask_read_write,
    ask_write_coil,
    ask_write_coils,
    ask_write_register,
    ask_write_registers,
    tcp_frame,
)
from adapters.modbus.exchange import Exchange, RtuExchange, TcpExchange
from gateway.testing.conformance import Receiver, Subject, Vector
from gateway.testing.conformance.limits import chosen

SERVICES = (
    ("6.1", ask_read(17, Area.COIL, 0x13, 0x13), "01 00 13 00 13", "01 03 CD 6B 05", "CD 6B 05"),
    ("6.2", ask_read(17, Area.DISCRETE, 0xC4, 0x16), "02 00 C4 00 16", "02 03 AC DB 35", "AC DB 35"),
    ("6.3", ask_read(17, Area.HOLDING, 0x6B, 3), "03 00 6B 00 03", "03 06 02 2B 00 00 00 64", "02 2B 00 00 00 64"),
    ("6.4", ask_read(17, Area.INPUT, 8, 1), "04 00 08 00 01", "04 02 00 0A", "00 0A"),
    ("6.5", ask_write_coil(17, 0xAC, True), "05 00 AC FF 00", "05 00 AC FF 00", ""),
    ("6.6", ask_write_register(17, 1, b"\x00\x03"), "06 00 01 00 03", "06 00 01 00 03", ""),
    (
        "6.11", ask_write_coils(17, 0x13, [bit == "1" for bit in "1011001110"]),
        "0F 00 13 00 0A 02 CD 01", "0F 00 13 00 0A", "",
    ),
    ("6.12", ask_write_registers(17, 1, b"\0\x0a\1\2"), "10 00 01 00 02 04 00 0A 01 02", "10 00 01 00 02", ""),
    ("6.16", ask_mask_write(17, 4, 0xF2, 0x25), "16 00 04 00 F2 00 25", "16 00 04 00 F2 00 25", ""),
    (
        "6.17", ask_read_write(17, 3, 6, 0x0E, bytes.fromhex("00FF 00FF 00FF")),
        "17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF", "17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF",
        "00 FE 0A CD 00 01 00 03 00 0D 00 FF",
    ),
)  # fmt: skip
"""Clause of the Application Protocol, what we ask, request, answer, data in the answer."""


def _taken(ask: Ask, answer: str) -> Callable[[], bytes]:
    def take() -> bytes:
        exchange, image = TcpExchange(), bytearray(512)
        exchange.begin(exchange.chunk([ask]), image)
        assert exchange.feed(tcp_frame(1, 17, bytes.fromhex(answer)))  # a vector that is not taken fails
        return bytes(image[: ask.size])

    return take


def _vectors() -> list[Vector]:
    found = []
    for clause, ask, request, answer, data in SERVICES:
        service = f"function {ask.pdu[0]}"
        found.append(Vector(service, f"V1.1b3, {clause}, request", lambda ask=ask: bytes(ask.pdu), request))  # type: ignore[misc]
        found.append(Vector(service, f"V1.1b3, {clause}, answer", _taken(ask, answer), data))
    return found


def _begun(kind: Callable[[], Exchange]) -> Callable[[], Receiver]:
    def fresh() -> Receiver:
        exchange = kind()
        exchange.begin(exchange.chunk([ask_read(1, Area.HOLDING, 0, 4)]), bytearray(64))
        return exchange

    return fresh


def _tag(name: str, address: str, kind: str = "uint16", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": address, "type": kind, **more}


def _matrix() -> list[tuple[dict[str, Any], list[Any]]]:
    limits = chosen("int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
    found: list[tuple[dict[str, Any], list[Any]]] = []
    place = 0
    for kind, values in limits.items():
        for order in ("ABCD", "CDAB", "BADC", "DCBA"):
            found.append((_tag(f"{kind}-{order}", f"hr:{place}", kind, order=order), values))
            place += 4
    found += [
        (_tag("coil", "co:3", "bool"), [True, False]),
        (_tag("input", "di:3", "bool"), [True, False]),
        (_tag("bit", f"hr:{place}.15", "bool"), [True, False]),
        (_tag("low", f"hr:{place + 1}.lo", "uint8"), [0, 255]),
        (_tag("high", f"hr:{place + 1}.hi", "int8"), [-128, 127]),
        (_tag("text", f"hr:{place + 2}", "string", length=10), ["", "PLC 7", "0123456789"]),
        (_tag("chinese", f"hr:{place + 8}", "string", length=10, encoding="gbk"), ["星沙", ""]),
        (_tag("raw", f"hr:{place + 14}", "bytes", length=4), [b"\x00\xff\x00\xff", b"abcd"]),
        (_tag("bcd", f"hr:{place + 18}", "uint32", encoding="bcd"), [0, 99999999, 12345678]),
        (_tag("scaled", f"ir:{place}", "int16", scale=0.1), [-3276.8, 3276.7]),
    ]
    return found


def _corpus() -> list[dict[str, Any]]:
    dice = random.Random(1)  # noqa: S311 - repeatable on purpose
    return [_tag(f"t{place}", f"hr:{place}") for place in sorted(dice.sample(range(4000), 400))]


def _fewest(corpus: list[dict[str, Any]]) -> int:
    """Reads for single registers that may run over gaps of 8: one more for each larger gap."""
    places = [int(tag["address"].partition(":")[2]) for tag in corpus]
    return 1 + sum(after - before > 9 for before, after in pairwise(places))


def _span(device: Any, tag: Any) -> tuple[int, int]:
    first = tag.address.offset(device.device.base)
    return first, first + tag.registers - 1


def _silence(device: Any, silent: bool) -> None:
    from adapters.modbus.simulator import Faults

    device.faults = Faults(silent=True) if silent else None


subject = Subject(
    connection={"pipeline": 1},
    device={"unit": 1},
    others=({"unit": 2},),
    tags=[_tag(f"t{number}", f"hr:{place}") for number, place in enumerate((0, 1, 200, 201))],
    matrix=_matrix(),
    addresses=[
        "hr:100",
        "ir:30",
        "co:5",
        "di:7",
        "hr:100.3",
        "hr:100.hi",
        "hr:100.lo",
        "40001",
        "400001",
        "30001",
        "10001",
    ],
    wrong_addresses=["", "hr", "hr:-1", "hr:65536", "hr:1.16", "xx:1", "hr:1.hi.lo", "90001", "hr: 1"],
    vectors=_vectors(),
    receivers=[_begun(TcpExchange), _begun(RtuExchange)],
    refuse=lambda device, tag: device.refuse(tag.address.area, *_span(device, tag)),
    silence=_silence,
    limits=lambda simulator, adapter: {
        "sessions": (simulator.counters.most_connections, adapter.limits.sessions),
        "requests in flight": (simulator.counters.most_in_flight, adapter.limits.in_flight),
    },
    corpus=_corpus(),
    requests_most=_fewest(_corpus()),
    codes=EXCEPTIONS,
    mapped=lambda code: EXCEPTIONS[code].fault,
)
