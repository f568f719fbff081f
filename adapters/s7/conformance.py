"""What the conformance suite must be told about S7."""

from __future__ import annotations

import random
from typing import Any, Final

from adapters.s7 import codec
from adapters.s7.exchange import Chunk, S7Exchange
from adapters.s7.refusals import CLASSES, ERRORS, ITEMS
from gateway.model.types import Value
from gateway.sdk.refusal import Refusal
from gateway.testing.conformance import Receiver, Subject, Vector

_DB1: Final = (0x84, 1)
_NUMBERS: Final[dict[str, tuple[str, list[Value]]]] = {
    "int8": ("B", [-128, 127, -1]), "uint8": ("B", [0, 255]), "int16": ("W", [-32768, 32767, -1]),
    "uint16": ("W", [0, 65535]), "int32": ("D", [-(2**31), 2**31 - 1, -1]), "uint32": ("D", [0, 2**32 - 1]),
    "int64": ("L", [-(2**63), 2**63 - 1, -1]), "uint64": ("L", [0, 2**64 - 1]),
    "float32": ("D", [-1.5, 0.0, float("inf")]), "float64": ("L", [-1.5, 1.7e308, 5e-324, float("-inf")]),
}  # fmt: skip
_ENCODED: Final[tuple[tuple[str, str, dict[str, Any], list[Value]], ...]] = (
    ("string", "s7string", {"length": 20}, ["", "PLC 7", "Öl ©", "x" * 20]),
    ("string", "s7string", {"length": 20, "charset": "gbk"}, ["星沙"]),
    ("string", "wstring", {"length": 10}, ["", "星沙", "0123456789"]),
    ("string", "char", {"length": 8}, ["", "ab", "12345678"]),
    ("uint16", "bcd", {}, [0, 9999]),
    ("string", "date_and_time", {}, ["1990-01-01T00:00:00.000", "2089-12-31T23:59:59.999"]),
    ("int64", "date_and_time", {}, [1_709_210_096_789]),
    ("string", "dtl", {}, ["1970-01-01T00:00:00.000000000", "2262-04-11T23:47:16.854775807"]),
    ("string", "ldt", {}, ["2024-02-29T12:34:56.123456789"]),
    ("string", "date", {}, ["1990-01-01", "2168-12-31"]),
    ("int32", "time", {}, [-(2**31), 2**31 - 1]),
    ("string", "tod", {}, ["00:00:00.000", "23:59:59.999"]),
    ("uint32", "s5time", {}, [0, 9_990, 9_990_000]),
)


def _matrix() -> list[tuple[dict[str, Any], list[Value]]]:
    rows: list[tuple[dict[str, Any], list[Value]]] = []
    for place, (kind, (size, values)) in enumerate(_NUMBERS.items()):
        for area in ("DB1.DB", "M", "Q", "V"):
            address = f"{area}{size}{1000 + 8 * place if area == 'V' else 8 * place}"
            rows.append(({"name": address, "address": address, "type": kind}, values))
    for place, (kind, encoding, more, values) in enumerate(_ENCODED):
        address = f"DB2.DBB{40 * place}"
        rows.append(({"name": address, "address": address, "type": kind, "encoding": encoding, **more}, values))
    rows.append(({"name": "bytes", "address": "DB3.DBB1", "type": "bytes", "length": 4}, [b"\0\1\xfe\xff"]))
    rows += [
        ({"name": address, "address": address, "type": "bool"}, [True, False])
        for address in ("DB1.DBX200.0", "M200.7", "Q100.3", "I5.5", "V900.1")
    ]
    rows.append(({"name": "timer", "address": "T5", "type": "float64"}, [0.0, 12.5]))
    rows.append(({"name": "counter", "address": "C5", "type": "uint16"}, [0, 999]))
    return rows


def _receiver() -> Receiver:
    exchange = S7Exchange()
    exchange.largest = 960
    asks = [codec.ask_read([(_DB1, 0, 4), (_DB1, 10, 1)], [0, 4]), codec.ask_read([(_DB1, 50, 200)], [8])]
    exchange.begin(Chunk(asks), bytearray(256))
    return exchange


def _connecting() -> Receiver:
    exchange = S7Exchange()
    exchange.connect()
    return exchange


def _read(answer: str) -> bytes:
    """Data of an answer to a read of four bytes."""
    exchange, image = S7Exchange(), bytearray(4)
    exchange.begin(Chunk([codec.ask_read([(_DB1, 100, 4)], [0])]), image)
    exchange.feed(bytes.fromhex(answer))
    return bytes(image)


def _written(answer: str) -> tuple[int, int, int]:
    """What is refused in an answer to a write."""
    exchange = S7Exchange()
    exchange.begin(Chunk([codec.ask_write(_DB1, 0, b"ab")]), bytearray())
    exchange.feed(bytes.fromhex(answer))
    return exchange.refused[0]


def _vectors() -> list[Vector]:
    dissector, capture = "Wireshark 4, s7comm", "capture of an S7-1200, TSAPs 01.00 and 01.01"
    return [
        Vector(
            "connect", f"RFC 1006, clause 6; {capture}", lambda: codec.connect_request(b"\1\0", b"\1\1"),
            "03 00 00 16 11 E0 00 00 00 01 00 C0 01 0A C1 02 01 00 C2 02 01 01",
        ),
        Vector("connect", "ISO 8073, 13.4 (CC)", lambda: _confirmed("03 00 00 0B 06 D0 00 01 00 00 00"), True),
        Vector(
            "setup", capture, lambda: codec.ask_setup(1, 480).frame,
            "03 00 00 19 02 F0 80 32 01 00 00 00 00 00 08 00 00 F0 00 00 01 00 01 01 E0",
        ),
        Vector("setup", capture, lambda: codec.parse_setup(bytes.fromhex("F0 00 00 01 00 01 00 F0")), (1, 240)),
        Vector(
            "read", f"{capture}: DB1.DBB100, 4 bytes", lambda: codec.ask_read([(_DB1, 100, 4)], [0]).frame,
            "03 00 00 1F 02 F0 80 32 01 00 00 00 00 00 0E 00 00 04 01 12 0A 10 02 00 04 00 01 84 00 03 20",
        ),
        Vector(
            "read", f"{capture}: its answer",
            lambda: _read("03 00 00 1D 02 F0 80 32 03 00 00 00 01 00 02 00 08 00 00 04 01 FF 04 00 20 41 48 00 00"),
            "41 48 00 00",
        ),
        Vector(
            "write", f"{dissector}: M10.2", lambda: codec.ask_write_bit((0x83, 0), 10, 2, True).frame,
            "03000024 02F080 32010000 0000 000E 0005 0501 120A10 01 0001 0000 83 000052 00 03 0001 01",
        ),
        Vector(
            "write", f"{dissector}: address out of range",
            lambda: _written("03 00 00 16 02 F0 80 32 03 00 00 00 01 00 02 00 01 00 00 05 01 05"), (0, 0, 5),
        ),
        Vector(
            "status list", f"{dissector}: SZL 0x001C", lambda: codec.ask_status(0x1C, 0).frame,
            "03 00 00 21 02 F0 80 32 07 00 00 00 00 00 08 00 08 00 01 12 04 11 44 01 00 FF 09 00 04 00 1C 00 00",
        ),
        Vector(
            "status list", f"{dissector}: no such list",
            lambda: codec.parse_status(bytes.fromhex("0001120812840103 0000 D401"), b"\x0a\0\0\0").error, 0xD401,
        ),
    ]  # fmt: skip


def _confirmed(answer: str) -> bool:
    exchange = S7Exchange()
    exchange.connect()
    return exchange.feed(bytes.fromhex(answer)) and exchange.confirmed


def _corpus() -> list[dict[str, Any]]:
    """1,000 values at random places of ten blocks."""
    source = random.Random(7)  # noqa: S311 - repeatable on purpose
    return [
        {"name": f"t{place}", "address": f"DB{source.randint(1, 10)}.DBB{source.randrange(0, 2000, 2)}", "type": kind}
        for place, kind in enumerate(source.choices(["uint16", "float32", "uint8"], k=1000))
    ]


def _mapped(code: int) -> object:
    table: dict[int, Refusal] = ITEMS if code < 0x100 else ERRORS
    found = table.get(code) or CLASSES[code >> 8]
    return found.fault if found.code not in ("address_refused", "tag_refused") else found.quality


subject = Subject(
    tags=[
        *({"name": f"w{place}", "address": f"DB1.DBW{2 * place}", "type": "int16"} for place in range(4)),
        {"name": "far", "address": "DB2.DBD400", "type": "int32"},
        {"name": "merker", "address": "MW10", "type": "uint16"},
    ],
    matrix=_matrix(),
    addresses=[
        "DB1.DBX0.3", "DB1.DBB4", "DB1.DBW6", "%DB1.DBD8", "M10.2", "MW20", "EW64", "QB1", "PIW256", "VW9", "T5", "Z3",
    ],
    wrong_addresses=["DB1", "DB1.DBX0", "DB1.DBW0.3", "DB0.DBW0", "M0.8", "D100", "MW70000", "PI0.0"],
    vectors=_vectors(),
    receivers=[_receiver, _connecting],
    limits=lambda simulator, adapter: {
        "sessions": (simulator.counters.sessions_most, adapter.limits.sessions),
        "requests in flight": (simulator.counters.in_flight_most, adapter.limits.in_flight),
        "bytes of a PDU": (simulator.counters.pdu_most, adapter.connection.pdu),
        "items in a request": (simulator.counters.items_most, 20),
    },
    corpus=_corpus(),
    requests_most=15,
    codes=[*ITEMS, *ERRORS, *(known << 8 for known in CLASSES)],
    mapped=_mapped,
    sans_io=("codec", "address", "exchange", "values", "moments", "refusals", "packing", "plan"),
)  # fmt: skip
