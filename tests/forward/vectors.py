"""The batches behind the test vectors of docs/payload.md. Run as a program, it prints them in the page's form."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec

from gateway.forward.columnar import Columnar
from gateway.model.batch import Batch, Gap, encode_body
from gateway.model.frame import Frame, FrameFlag, stretch_flags
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType

GATEWAY = "plant-7"
EPOCH = 2
NOON = 1_795_435_200_000_000_000  # 2026-11-23T12:00:00Z

PRESS = Schema(
    "press-1",
    "fast",
    (
        Column(DataType.BOOL, ("running",)),
        Column(DataType.INT16, ("temperature", "pressure"), divide=(10.0, 100.0), units=("°C", "bar")),
        Column(DataType.INT64, ("cycles",)),
        Column(DataType.STRING, ("recipe",)),
    ),
)
LIMITS = Schema(
    "meter",
    "all",
    (
        Column(DataType.INT64, ("int64_min", "int64_max")),
        Column(DataType.UINT64, ("uint64_max",)),
        Column(DataType.FLOAT32, ("float32",)),
        Column(DataType.FLOAT64, ("nan", "infinity", "minus_zero", "scaled"), multiply=(1.0, 1.0, 1.0, 3.0),
               divide=(1.0, 1.0, 1.0, 10.0), add=(0.0, 0.0, 0.0, 0.5)),
        Column(DataType.STRING, ("digits",)),
        Column(DataType.BYTES, ("raw",)),
    ),
)  # fmt: skip

PRESS_ID, LIMITS_ID = schema_id(PRESS.encode()), schema_id(LIMITS.encode())

WHOLE = Frame(PRESS_ID, NOON, [b"\x01", struct.pack("<2h", 853, -12), struct.pack("<q", 1234), ["A-7"]])
SOME = Frame(
    PRESS_ID,
    NOON + 500_000_000,
    [b"", struct.pack("<2h", 0, 8000), b"", [None]],
    index=struct.pack("<3H", 1, 2, 4),
    quality=bytes([0x81, 0x40, 0x80]),
    offsets=struct.pack("<3q", 0, -250_000_000, 1),
    flags=FrameFlag.SOURCE_TIME,
)
CONFIRMED = Frame(
    PRESS_ID, NOON + 60_000_000_000, [b"", b"", b"", []], index=struct.pack("<2H", 0, 3), flags=FrameFlag.CONFIRMED
)
STRETCH = 0x5A_1C_0D_E5
YEAR_2000 = 946_684_800_000_000_000
UNTRUSTED = msgspec.structs.replace(
    WHOLE, time=YEAR_2000 + 7_000_000_000, flags=FrameFlag.TIME_UNTRUSTED | stretch_flags(STRETCH)
)
CORRECTION = Gap(
    "clock_set", YEAR_2000, YEAR_2000 + 60_000_000_000, clock=STRETCH, offset=NOON - 60_000_000_000 - YEAR_2000
)
EXTREMES = Frame(
    LIMITS_ID,
    NOON,
    [
        struct.pack("<2q", -(2**63), 2**63 - 1),
        struct.pack("<Q", 2**64 - 1),
        struct.pack("<f", 0.1),
        struct.pack("<4d", float("nan"), float("inf"), -0.0, 7.0),
        ["00420"],
        [b"\x00\xff"],
    ],
)
GAP = Gap(
    "outage", NOON, NOON + 30_000_000_000, device="press-1", group="fast", count=300, detail="no answer from the unit"
)
GIVEN_UP = Gap("overflow", NOON, NOON + 1_000_000_000, count=5000, first_seq=3, last_seq=9, epoch=EPOCH)

BATCHES: dict[str, tuple[int, list[Frame], list[Gap]]] = {
    "A whole frame": (1, [WHOLE], []),
    "Some tags, with quality and times": (2, [SOME], []),
    "Extreme values, and gaps": (10, [EXTREMES], [GAP, GIVEN_UP]),
    "Confirmed unchanged": (11, [CONFIRMED], []),
    "Time that nobody vouched for": (12, [UNTRUSTED], []),
    "… and its correction": (13, [], [CORRECTION]),
}


def batch(seq: int, frames: list[Frame], gaps: list[Gap]) -> Batch:
    body = encode_body(frames, gaps)
    schemas = tuple(dict.fromkeys(frame.schema for frame in frames))
    return Batch(EPOCH, seq, body, len(frames), 10 * len(frames), NOON, NOON, schemas)


def message(seq: int, frames: list[Frame], gaps: list[Gap]) -> bytes:
    found = Columnar(GATEWAY).direct(batch(seq, frames, gaps), 1 << 20)
    assert found is not None
    return found


def in_lines(data: bytes) -> str:
    text = data.hex()
    return "\n".join(text[start : start + 100] for start in range(0, len(text), 100))


def expected(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    for name, schema in (("press-1", PRESS), ("meter", LIMITS)):
        print(
            f"Schema of `{name}`, id `{schema_id(schema.encode()).hex()}`:\n\n```schema\n{in_lines(schema.encode())}\n```\n"
        )
    for title, given in BATCHES.items():
        print(f"### {title}\n\n```message\n{in_lines(message(*given))}\n```\n")
