"""docs/payload.md is enough to write a decoder: here is one, written from the page, with nothing of the gateway in it."""

from __future__ import annotations

import json
import math
import re
import struct
from hashlib import blake2b
from pathlib import Path

import msgpack
import pytest
import zstandard

from gateway.forward.json_payload import JsonPayload
from gateway.reader import Frames, Reader
from tests.forward import vectors

PAGE = (Path(__file__).parents[2] / "docs" / "payload.md").read_text("utf-8")
VECTORS = PAGE.partition("## Test vectors")[2]
CODES = {"bool": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
         "int64": "q", "uint64": "Q", "float32": "f", "float64": "d"}  # fmt: skip


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def from_hex(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


SCHEMAS = {
    blake2b(data, digest_size=8).digest(): msgpack.unpackb(data) for data in map(from_hex, blocks(VECTORS, "schema"))
}
SECTIONS = {part.partition("\n")[0].strip(): part for part in VECTORS.split("### ")[1:]}


def plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def decode(payload: bytes) -> tuple[list, list, list, list]:
    """(header, rows, confirmed tags, gaps) of a columnar message: the page's outline, spelled out."""
    message = msgpack.unpackb(payload)
    assert message[0] == 1
    frames, gaps = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(message[6]))
    rows, confirmed = [], []
    for identity, time, columns, index, quality, offsets, flags in frames:
        schema = SCHEMAS[identity]
        total = sum(len(column["names"]) for column in schema["columns"])
        present = range(total) if index is None else struct.unpack(f"<{len(index) // 2}H", index)
        names = [name for column in schema["columns"] for name in column["names"]]
        if flags & 1:
            confirmed += [names[position] for position in present]
            continue
        first = number = 0
        for column, packed in zip(schema["columns"], columns, strict=True):
            last = first + len(column["names"])
            local = [position - first for position in present if first <= position < last]
            if column["type"] in CODES:
                packed = struct.unpack(f"<{len(local)}{CODES[column['type']]}", packed)
            for place, raw in zip(local, packed, strict=True):
                scale = [column[key][place] if key in column else neutral
                         for key, neutral in (("multiply", 1), ("divide", 1), ("add", 0))]  # fmt: skip
                value = raw if scale == [1, 1, 0] else raw * scale[0] / scale[1] + scale[2]
                code = quality[number] if quality else 0
                offset = struct.unpack_from("<q", offsets, 8 * number)[0] if offsets else 0
                rows.append([column["names"][place], None if code >= 0x80 else plain(value), code, time + offset])
                number += 1
            first = last
    return message[:6], rows, confirmed, gaps


def test_schema_ids_stand_in_the_page():
    assert len(SCHEMAS) == 2
    for identity, schema in SCHEMAS.items():
        assert f"Schema of `{schema['device']}`, id `{identity.hex()}`" in PAGE


@pytest.mark.parametrize("title", list(vectors.BATCHES))
def test_vector(title):
    text = SECTIONS[title]
    payload = from_hex(blocks(text, "message")[0])
    header, rows, confirmed, gaps = decode(payload)
    seq = vectors.BATCHES[title][0]
    assert header == [1, vectors.GATEWAY, vectors.EPOCH, seq, 0, 1]
    expected = [json.loads(line) for block in blocks(text, "rows") for line in block.splitlines()]
    assert [(row, [type(cell) for cell in row]) for row in rows] == [
        (row, [type(cell) for cell in row]) for row in expected
    ]
    assert confirmed == [tag for block in blocks(text, "confirmed") for tag in json.loads(block)]
    assert gaps == [json.loads(line) for block in blocks(text, "gaps") for line in block.splitlines()]


@pytest.mark.parametrize("title", list(vectors.BATCHES))
def test_the_gateway_still_writes_what_the_page_shows(title):
    assert decode(vectors.message(*vectors.BATCHES[title])) == decode(from_hex(blocks(SECTIONS[title], "message")[0]))


@pytest.mark.parametrize("title", list(vectors.BATCHES))
def test_the_reader_agrees_with_the_independent_decoder(title):
    payload = from_hex(blocks(SECTIONS[title], "message")[0])
    reader = Reader()
    for data in blocks(VECTORS, "schema"):
        assert reader.feed("", from_hex(data)) == []
    frames = [event for event in reader.feed("", payload) if isinstance(event, Frames)]
    rows = [[row.tag, plain(row.value), row.quality, row.time] for event in frames for row in event.rows()]
    _, expected, confirmed, _ = decode(payload)
    assert rows == expected
    assert [tag for event in frames for frame in event.frames if frame.confirmed for tag in frame.tags] == confirmed


def test_the_page_tells_the_right_time_of_untrusted_rows():
    text = SECTIONS["Time that nobody vouched for"]
    payload = from_hex(blocks(text, "message")[0])
    frames, _ = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(msgpack.unpackb(payload)[6]))
    flags, (*_, time) = frames[0][6], decode(payload)[1][0]
    assert flags & 4
    assert f"clock {flags // 65_536}." in text
    correction = from_hex(blocks(SECTIONS["… and its correction"], "message")[0])
    (gap,) = decode(correction)[3]
    assert gap["clock"] == flags // 65_536
    assert f"{time + gap['offset']}." in SECTIONS["… and its correction"]
    reader = Reader()
    for data in blocks(VECTORS, "schema"):
        reader.feed("", from_hex(data))
    reader.feed("", correction)
    (event,) = reader.feed("", payload)
    assert {row.time for row in event.rows()} == {time + gap["offset"]}


def test_minus_zero_keeps_its_sign():
    _, rows, _, _ = decode(from_hex(blocks(SECTIONS["Extreme values, and gaps"], "message")[0]))
    assert math.copysign(1, {row[0]: row[1] for row in rows}["minus_zero"]) == -1


def test_the_json_example_is_what_the_gateway_writes():
    given = vectors.BATCHES["Some tags, with quality and times"]
    schemas = {vectors.PRESS_ID: vectors.PRESS.encode()}
    parts = JsonPayload(vectors.GATEWAY).encode(vectors.batch(*given), 1 << 20, schemas).parts
    assert [json.loads(part) for part in parts] == [json.loads(blocks(PAGE.partition("## json")[2], "json")[0])]
