"""The reader: a sans-io state machine from messages to events, bounded in all that a stranger could make grow."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.model.batch import Gap, decode_body
from gateway.model.frame import Frame
from gateway.model.schema import SchemaId, decode_schema, schema_id
from gateway.model.view import FrameView, SchemaLayout
from gateway.reader.clocks import Clocks
from gateway.reader.events import Declared, Duplicate, Event, Frames, JsonFrame, Malformed, Status
from gateway.reader.tracking import MAX_JOURNALS, Journal, Report

VERSION: Final = 1
_SEQ_LIMIT: Final = 1 << 63
_MOST_PARTS: Final = 100_000


class _Message(msgspec.Struct, frozen=True, array_like=True):
    version: int
    gateway: str
    epoch: int
    seq: int
    part: int
    parts: int
    body: bytes


class _JsonFrame(msgspec.Struct, frozen=True):
    device: str
    group: str
    time: str
    values: dict[str, Any] = {}
    quality: dict[str, str] = {}
    confirmed: tuple[str, ...] = ()
    clock: int = 0


class _JsonGap(msgspec.Struct, frozen=True):
    reason: str
    since: str
    until: str
    device: str = ""
    group: str = ""
    count: int = 0
    first_seq: int = 0
    last_seq: int = 0
    epoch: int = 0
    detail: str = ""
    clock: int = 0
    offset: int = 0
    into: int = 0


class _JsonMessage(msgspec.Struct, frozen=True):
    gateway: str
    epoch: int
    seq: int
    part: int
    parts: int
    frames: list[_JsonFrame]
    gaps: list[_JsonGap]


@dataclass(slots=True)
class _Cut:
    """A batch that comes in parts."""

    parts: int
    frames: dict[int, list[Any]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


_Key = tuple[str, int, int]
_AnyMessage = _Message | _JsonMessage
_message = msgspec.msgpack.Decoder(_Message)
_json = msgspec.json.Decoder()


class Reader:
    """See the package.

    ``schemas``, ``waiting``, ``cuts``: how many schemas, frames without a schema, and batches in parts are kept; the
    oldest go first. ``window``: how far a batch may be overtaken before it counts as missing.
    """

    def __init__(self, *, schemas: int = 100_000, waiting: int = 10_000, cuts: int = 1000, window: int = 0) -> None:
        self._most_schemas = schemas
        self._most_waiting = waiting
        self._most_cuts = cuts
        self._window = window
        self._schemas: OrderedDict[SchemaId, SchemaLayout] = OrderedDict()
        self._waiting: OrderedDict[SchemaId, list[tuple[_Key, Frame]]] = OrderedDict()
        self._waiting_count = 0
        self._cuts: OrderedDict[_Key, _Cut] = OrderedDict()
        self._journals: OrderedDict[tuple[str, int], Journal] = OrderedDict()
        self._clocks = Clocks()
        self._gaps = self._malformed = self._dropped = 0

    def feed(self, topic: str, payload: bytes) -> list[Event]:
        """Take one message of any of the gateway's topics; what it is shows from its first byte. Never raises."""
        if not payload:
            return []
        kind = payload[0]
        try:
            if kind == 0x97:
                return self._columnar(topic, payload)
            if kind == 0x7B:
                return self._text(topic, payload)
            return self._schema(topic, payload)
        except (ValueError, RecursionError) as error:
            return [self._bad(topic, str(error))]

    def journal(self, gateway: str, epoch: int) -> Journal:
        """Return the account of one epoch of one gateway."""
        key = gateway, epoch
        journal = self._journals.get(key)
        if journal is None:
            journal = self._journals[key] = Journal()
            while len(self._journals) > MAX_JOURNALS:
                self._journals.popitem(last=False)
        return journal

    def report(self, *, from_start: bool = False) -> Report:
        """Return the account so far. ``from_start``: batches before the first that came are missing too."""
        missing = {key: journal.missing(self._window, from_start=from_start) for key, journal in self._journals.items()}
        journals = self._journals.values()
        return Report(
            journals=dict(self._journals),
            missing={key: ranges for key, ranges in missing.items() if ranges},
            batches=sum(journal.batches for journal in journals),
            points=sum(journal.points for journal in journals),
            duplicates=sum(journal.duplicates for journal in journals),
            gaps=self._gaps,
            malformed=self._malformed,
            incomplete=len(self._cuts),
            waiting=self._waiting_count,
            dropped=self._dropped,
        )

    def _columnar(self, topic: str, payload: bytes) -> list[Event]:
        message = _message.decode(payload)
        if message.version != VERSION:
            raise ValueError(f"payload version {message.version}, this reader knows {VERSION}")
        key = _key(message)
        if self._is_duplicate(key, message):
            return [Duplicate(*key, message.part)]
        body = decode_body(message.body)
        return self._take(topic, key, message, body.frames, body.gaps)

    def _text(self, topic: str, payload: bytes) -> list[Event]:
        record = _json.decode(payload)
        if "frames" not in record:
            return [] if "tags" in record else [Status(topic, record)]
        message = msgspec.convert(record, _JsonMessage)
        key = _key(message)
        if self._is_duplicate(key, message):
            return [Duplicate(*key, message.part)]
        frames = [JsonFrame(one.device, one.group, one.time, one.values, one.quality, one.confirmed, one.clock)
                  for one in message.frames]  # fmt: skip
        gaps = [Gap(one.reason, 0, 0, one.device, one.group, one.count, one.first_seq, one.last_seq, one.epoch,
                    one.detail, one.clock, one.offset, one.into) for one in message.gaps]  # fmt: skip
        return self._take(topic, key, message, frames, gaps)

    def _is_duplicate(self, key: _Key, message: _AnyMessage) -> bool:
        cut = self._cuts.get(key)
        journal = self.journal(key[0], key[1])
        again = key[2] in journal.seen or (
            cut is not None and cut.parts == message.parts and message.part in cut.frames
        )
        journal.duplicates += again
        return again

    def _take(self, topic: str, key: _Key, message: _AnyMessage, frames: list[Any], gaps: list[Gap]) -> list[Event]:
        if message.parts > 1:
            cut = self._cuts.get(key)
            if (
                cut is None or cut.parts != message.parts
            ):  # cut anew, after a lost link: what came of the old cut is void
                cut = self._cuts[key] = _Cut(message.parts)
                while len(self._cuts) > self._most_cuts:
                    self._cuts.popitem(last=False)
            cut.frames[message.part] = frames
            cut.gaps += gaps
            if len(cut.frames) < message.parts:
                return []
            frames = [frame for place in range(message.parts) for frame in cut.frames[place]]
            gaps = cut.gaps
        self._cuts.pop(key, None)
        journal = self.journal(key[0], key[1])
        journal.seen.add(key[2])
        journal.batches += 1
        return self._declare(topic, key, gaps) + self._frames(topic, key, frames)

    def _declare(self, topic: str, key: _Key, gaps: list[Gap]) -> list[Event]:
        gateway = key[0]
        events: list[Event] = []
        for gap in gaps:
            self._gaps += 1
            if 0 < gap.first_seq <= gap.last_seq < _SEQ_LIMIT:
                self.journal(gateway, gap.epoch).declared.add(gap.first_seq, gap.last_seq)
            if gap.reason != "clock_set" or not gap.clock:
                events.append(Declared(gateway, self._clocks.gap(gateway, gap)))
                continue
            try:
                corrected = self._clocks.learn(*key, gap)
            except ValueError as error:
                events.append(self._bad(topic, str(error)))
            else:
                events += [corrected] if corrected else []
        return events

    def _frames(self, topic: str, key: _Key, frames: list[Any]) -> list[Event]:
        readable: list[Any] = []
        events: list[Event] = []
        for frame in frames:
            if isinstance(frame, JsonFrame):
                readable.append(frame)
                continue
            layout = self._schemas.get(frame.schema)
            if layout is None:
                self._wait(key, frame)
                continue
            try:
                readable.append(FrameView(layout, self._clocks.frame(key[0], frame)))
            except ValueError as error:
                events.append(self._bad(topic, f"{layout.schema.device}: {error}"))
        if readable:
            found = Frames(*key, tuple(readable))
            self.journal(key[0], key[1]).points += found.points
            events.insert(0, found)
        return events

    def _wait(self, key: _Key, frame: Frame) -> None:
        self._waiting.setdefault(frame.schema, []).append((key, frame))
        self._waiting_count += 1
        while self._waiting_count > self._most_waiting:
            oldest = next(iter(self._waiting))
            self._waiting[oldest].pop(0)
            self._waiting_count -= 1
            self._dropped += 1
            if not self._waiting[oldest]:
                del self._waiting[oldest]

    def _schema(self, topic: str, payload: bytes) -> list[Event]:
        identity = schema_id(payload)
        if identity in self._schemas:
            self._schemas.move_to_end(identity)
            return []
        self._schemas[identity] = SchemaLayout(decode_schema(payload))
        while len(self._schemas) > self._most_schemas:
            self._schemas.popitem(last=False)
        waited = self._waiting.pop(identity, [])
        self._waiting_count -= len(waited)
        by_batch: dict[_Key, list[Frame]] = {}
        for key, frame in waited:
            by_batch.setdefault(key, []).append(frame)
        return [event for key, frames in by_batch.items() for event in self._frames(topic, key, frames)]

    def _bad(self, topic: str, reason: str) -> Malformed:
        self._malformed += 1
        return Malformed(topic, reason)


def _key(message: _AnyMessage) -> _Key:
    if not (0 <= message.part < message.parts <= _MOST_PARTS and 0 < message.seq < _SEQ_LIMIT):
        raise ValueError(f"batch {message.seq}, part {message.part} of {message.parts}: not possible")
    return message.gateway, message.epoch, message.seq
