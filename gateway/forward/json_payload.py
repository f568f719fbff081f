"""JSON for people and simple consumers: every message can be understood alone. Rules in docs/payload.md.

Costs about a hundred times what the columnar payload costs; it is the only place in a lane where values are objects.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from gateway.forward.payload import Encoded, Layouts, Poison, Schemas, cut
from gateway.model.batch import Batch, Gap, decode_body
from gateway.model.frame import Frame, FrameFlag
from gateway.model.quality import is_bad, is_good, quality_label
from gateway.model.schema import decode_schema, schema_id
from gateway.model.types import DataType
from gateway.model.view import ColumnView, FrameView, SchemaLayout

_encoder = msgspec.json.Encoder()
_NOT_FINITE: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}
_FIRST_YEAR: Final = -62_135_596_800
_LAST_YEAR: Final = 253_402_300_799


def iso_time(time: int) -> str:
    """RFC 3339 in UTC with nine decimals, such as ``2026-11-23T05:27:46.000000000Z``.

    A time outside the years 1 to 9999 is given as its number of nanoseconds, in digits.
    """
    seconds, fraction = divmod(time, 1_000_000_000)
    if not _FIRST_YEAR <= seconds <= _LAST_YEAR:
        return str(time)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z".rjust(30, "0")


class JsonPayload:
    """One JSON object per message."""

    content_type = "application/json"

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._layouts = Layouts()

    def direct(self, batch: Batch, limit: int) -> bytes | None:  # noqa: ARG002 - nothing is free here
        """Return None: JSON is always work."""
        return None

    def encode(self, batch: Batch, limit: int, schemas: Schemas) -> Encoded:
        """As many objects as the limit asks for, each filled up before the next is begun."""
        body = decode_body(batch.body)
        room = limit - len(self._message(batch, 10**9, 10**9, [], [])) - 2
        poison: list[Poison] = []
        gaps = [_encoder.encode(gap_record(gap)) for gap in body.gaps]
        frames = [text for frame in body.frames for text in self._texts(frame, room, schemas, poison)]
        if any(len(gap) > room for gap in gaps):
            raise ValueError(f"a limit of {limit} bytes leaves no room for a message")
        cuts = _fill([*gaps, *frames], room)
        parts = [
            self._message(batch, part, len(cuts), frames[max(0, first - len(gaps)) : max(0, last - len(gaps))],
                          gaps[first:last])
            for part, (first, last) in enumerate(cuts)
        ]  # fmt: skip
        return Encoded(parts, poison)

    def schema(self, encoded: bytes) -> bytes:
        """JSON of a schema: device, group, and name, type, unit and scale of each tag."""
        layout = SchemaLayout(decode_schema(encoded))
        return _encoder.encode(schema_record(layout, schema_id(encoded)))

    def _texts(self, frame: Frame, room: int, schemas: Schemas, poison: list[Poison]) -> list[bytes]:
        """JSON of a frame, in as many pieces as it takes to keep each within ``room``."""
        try:
            text = _encoder.encode(frame_record(FrameView(self._layouts.find(frame.schema, schemas), frame)))
        except ValueError as error:
            poison.append(Poison(frame, 0, "frame_unreadable", str(error)))
            return []
        if len(text) <= room:
            return [text]
        halves = cut(self._layouts, schemas, frame, poison)
        return [text for half in halves for text in self._texts(half, room, schemas, poison)]

    def _message(self, batch: Batch, part: int, parts: int, frames: Sequence[bytes], gaps: Sequence[bytes]) -> bytes:
        record: dict[str, Any] = {
            "gateway": self._gateway,
            "epoch": batch.epoch,
            "seq": batch.seq,
            "part": part,
            "parts": parts,
            "frames": [msgspec.Raw(text) for text in frames],
            "gaps": [msgspec.Raw(text) for text in gaps],
        }
        return _encoder.encode(record)


def frame_record(view: FrameView) -> dict[str, Any]:
    """Return what the JSON of a frame says. Raises ValueError for a frame that cannot be read."""
    record: dict[str, Any] = {
        "device": view.device,
        "group": view.group,
        "time": iso_time(view.time),
        "ts": view.time // 1_000_000,
        "schema": view.frame.schema.hex(),
    }
    if view.confirmed:
        record["confirmed"] = view.tags
    else:
        record |= _values(view)
    flags = [flag.name.lower() for flag in FrameFlag if flag.name and view.frame.flags & flag]
    if flags:
        record["flags"] = flags
    if view.clock:
        record["clock"] = view.clock
    return record


def _values(view: FrameView) -> dict[str, Any]:
    tags = view.tags
    values = [value for column in view.columns for value in _json_values(column)]
    record: dict[str, Any] = {}
    if view.frame.quality is not None:
        codes = view.quality.tolist()
        values = [None if is_bad(code) else value for code, value in zip(codes, values, strict=True)]
        quality = {tag: quality_label(code) for tag, code in zip(tags, codes, strict=True) if not is_good(code)}
        if quality:
            record["quality"] = quality
    record["values"] = dict(zip(tags, values, strict=True))
    if view.frame.offsets is not None:
        times = zip(tags, view.times.tolist(), strict=True)
        record["times"] = {tag: iso_time(time) for tag, time in times if time != view.time}
    return record


def _json_values(column: ColumnView) -> list[Any]:
    raw = column.raw
    if isinstance(raw, list):
        return [base64.b64encode(item).decode() if isinstance(item, bytes) else item for item in raw]
    if column.type is DataType.FLOAT32 and not column.layout.column.scaled:
        return [float(str(value)) if np.isfinite(value) else _not_finite(float(value)) for value in raw]
    values = column.objects()
    array = column.values
    if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all():
        return [value if math.isfinite(value) else _not_finite(value) for value in values]
    return values


def _not_finite(value: float) -> str:
    return _NOT_FINITE.get(value, "NaN")


def gap_record(gap: Gap) -> dict[str, Any]:
    """Return what the JSON of a gap says; fields that are empty or 0 are left out."""
    record = {"reason": gap.reason, "since": iso_time(gap.since), "until": iso_time(gap.until)}
    extra = msgspec.structs.asdict(gap)
    optional = ("device", "group", "count", "first_seq", "last_seq", "epoch", "detail", "clock", "offset", "into")
    return record | {name: extra[name] for name in optional if extra[name]}


def schema_record(layout: SchemaLayout, identity: bytes) -> dict[str, Any]:
    """Return what the JSON of a schema says."""
    tags = []
    for column in layout.schema.columns:
        for place, name in enumerate(column.names):
            tag: dict[str, Any] = {"name": name, "type": str(column.type)}
            for field in ("units", "multiply", "divide", "add"):
                given = getattr(column, field)
                if given is not None:
                    tag[field.removesuffix("s")] = given[place]
            tags.append(tag)
    return {"schema": identity.hex(), "device": layout.schema.device, "group": layout.schema.group, "tags": tags}


def _fill(texts: Sequence[bytes], room: int) -> list[tuple[int, int]]:
    """Cut a row of texts into runs of at most ``room`` bytes, commas counted; one run at least where there is any."""
    cuts: list[tuple[int, int]] = []
    first = used = 0
    for place, text in enumerate(texts):
        if used and used + len(text) + 1 > room:
            cuts.append((first, place))
            first, used = place, 0
        used += len(text) + 1
    if texts:
        cuts.append((first, len(texts)))
    return cuts
