"""What a message says: JSON or text to the values of tags, with their time. Compiled once per device and topic.

Sans-io. A value that is not what its tag is meant to hold is never bent until it fits: it is bad, and its neighbours
arrive. A member that a message does not have says nothing of its tag; null says that there is no value.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from adapters.mqtt.address import Step
from adapters.mqtt.config import MqttDevice, MqttTag, PayloadFormat
from adapters.mqtt.times import reader
from gateway.model.types import DataType
from gateway.sdk import Feed, Feeds, Quality, Value

_ABSENT: Final = object()
_NOTHING: Final[dict[int, Quality]] = {}
_INTEGERS: Final = frozenset(kind for kind in DataType if kind.packed and kind.value.lstrip("u").startswith("int"))
_REALS: Final = (DataType.FLOAT32, DataType.FLOAT64)
ACCEPTED: Final[dict[DataType, frozenset[type]]] = {
    **dict.fromkeys(_INTEGERS, frozenset((int,))),
    **dict.fromkeys(_REALS, frozenset((int, float))),
    DataType.BOOL: frozenset((bool, int)),
    DataType.STRING: frozenset((str,)),
    DataType.BYTES: frozenset(),
}
"""JSON types that may stand for a value of each type; a bool of 2 is refused where values are packed."""
_TRUTHS: Final = {
    "true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False
}  # fmt: skip
_INTEGER: Final = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REAL: Final = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)

Sample = tuple[dict[int, Value | None], int, dict[int, Quality]]
"""Values by tag, time of the device (ns since the epoch, 0: none), what is bad and why."""


class Delivery:
    """Hands samples to feeds while there is room, and keeps the rest of a message for which there is none.

    ``hold``: called when something had to be kept: no further message may be taken before `drain` says so.
    """

    def __init__(self, feeds: Feeds, hold: Callable[[], None]) -> None:
        self.feeds = feeds
        self._hold = hold
        self._kept: deque[tuple[Feed, Mapping[int, Value | None], int, Mapping[int, Quality], bool]] = deque()

    @property
    def kept(self) -> bool:
        """True while samples wait for room."""
        return bool(self._kept)

    def give(
        self,
        feed: Feed,
        values: Mapping[int, Value | None],
        time: int,
        failures: Mapping[int, Quality],
        *,
        replayed: bool = False,
    ) -> None:
        """Hand over a sample, now or when there is room."""
        if self.feeds.has_room and not self._kept:
            feed.sample(values, time=time, failures=failures, replayed=replayed)
        else:
            self._kept.append((feed, values, time, failures, replayed))
            self._hold()

    def drain(self) -> bool:
        """Hand over what was kept, as far as there is room; True when nothing is left."""
        while self._kept and self.feeds.has_room:
            feed, values, time, failures, replayed = self._kept.popleft()
            feed.sample(values, time=time, failures=failures, replayed=replayed)
        return not self._kept


class Taker:
    """Takes the messages of one topic for some tags of one feed. ``places``: which of the feed's tags."""

    def __init__(self, feed: Feed, places: Sequence[int], delivery: Delivery) -> None:
        self.device = cast("MqttDevice", feed.device)
        self.feed = feed
        self.places = tuple(places)
        self.tags = tuple(cast("MqttTag", feed.tags[place]) for place in places)
        self.delivery = delivery

    def take(self, payload: bytes | None, retained: bool) -> None:
        """Take a message; ``payload`` None: it was too large; ``retained``: an old one, which the broker kept."""
        raise NotImplementedError

    def undecodable(self) -> None:
        """All tags that this message should have brought are bad."""
        self.delivery.give(self.feed, {}, 0, dict.fromkeys(self.places, Quality.UNDECODABLE))


class JsonTaker(Taker):
    """Takes JSON documents."""

    def __init__(self, feed: Feed, places: Sequence[int], delivery: Delivery) -> None:
        super().__init__(feed, places, delivery)
        device = self.device
        self._retained = device.retained == "use"
        self._batch = None if device.batch is None else device.batch.steps
        self._time_steps = None if device.time is None else device.time.path.steps
        self._time_key = _only_member(self._time_steps) if self._time_steps else None
        self._read_time = reader(device.time.format, device.time.tzinfo) if device.time else None
        self._members: list[tuple[int, str, frozenset[type]]] = []
        self._deep: list[tuple[int, tuple[Step, ...], frozenset[type]]] = []
        for place, tag in zip(places, self.tags, strict=True):
            key, accepted = _only_member(tag.address.steps), ACCEPTED[tag.type]
            if key is not None:
                self._members.append((place, key, accepted))
            else:
                self._deep.append((place, tag.address.steps, accepted))

    def take(self, payload: bytes | None, retained: bool) -> None:
        """See Taker."""
        if retained and not self._retained:
            return
        try:
            document = _decode(payload)  # type: ignore[arg-type] # None, too large, is no bytes
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            document = _decode_leniently(payload)
            if document is _ABSENT:
                self.undecodable()
                return
        if self._batch is not None:
            self._take_batch(document)
            return
        values, time, failures = self.sample(document)
        if values or failures:
            self.delivery.give(self.feed, values, time, failures)
        else:
            self.feed.alive()

    def _take_batch(self, document: Any) -> None:
        found = find(document, self._batch or ())
        if found is _ABSENT:
            self.feed.alive()
        elif not isinstance(found, list):
            self.undecodable()
        else:
            samples = [self.sample(element) for element in found]
            if all(time for _, time, _ in samples):
                samples.sort(key=lambda sample: sample[1])
            for values, time, failures in samples:
                if values or failures:
                    self.delivery.give(self.feed, values, time, failures)

    def sample(self, document: Any) -> Sample:
        """Return what one sample says."""
        values: dict[int, Value | None] = {}
        failures = _NOTHING
        time = 0
        if type(document) is dict:
            get = document.get
            for place, key, accepted in self._members:
                value = get(key, _ABSENT)
                if type(value) in accepted:
                    values[place] = value
                elif value is not _ABSENT:
                    failures = _unfit(place, accepted, value, values, failures)
            if self._time_key is not None:
                time = self._read_time(get(self._time_key))  # type: ignore[misc] # present together
        for place, steps, accepted in self._deep:
            value = find(document, steps)
            if type(value) in accepted:
                values[place] = value
            elif value is not _ABSENT:
                failures = _unfit(place, accepted, value, values, failures)
        if self._time_steps is not None and self._time_key is None:
            time = self._read_time(find(document, self._time_steps))  # type: ignore[misc] # present together
        return values, time, failures


class TextTaker(Taker):
    """Takes messages that are one value, written as text (or are its bytes)."""

    def take(self, payload: bytes | None, retained: bool) -> None:
        """See Taker."""
        if retained and self.device.retained != "use":
            return
        values: dict[int, Value | None] = {}
        failures: dict[int, Quality] = {}
        for place, tag in zip(self.places, self.tags, strict=True):
            value = None if payload is None else read_text(tag.type, payload)
            if value is None:
                failures[place] = Quality.UNDECODABLE
            else:
                values[place] = value
        self.delivery.give(self.feed, values, 0, failures)


TAKERS: Final[dict[PayloadFormat, type[Taker]]] = {PayloadFormat.JSON: JsonTaker, PayloadFormat.TEXT: TextTaker}


def find(document: Any, steps: Sequence[Step]) -> Any:
    """Return what stands at a path of a document; `_ABSENT` when nothing does."""
    for step in steps:
        if isinstance(step, str):
            if type(document) is not dict or step not in document:
                return _ABSENT
            document = document[step]
        else:
            if type(document) is not list or step >= len(document):
                return _ABSENT
            document = document[step]
    return document


def read_text(kind: DataType, payload: bytes) -> Value | None:
    """Return the value that a payload is, as text; None when it is none of this type. Not a number (NaN) is none."""
    if kind is DataType.BYTES:
        return payload
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    if kind is DataType.STRING:
        return text
    text = text.strip()
    if kind is DataType.BOOL:
        return _TRUTHS.get(text.lower())
    if kind in _REALS:
        return float(text) if _REAL.fullmatch(text) else None
    if _INTEGER.fullmatch(text):
        return int(text)
    real = float(text) if _REAL.fullmatch(text) else 0.5
    return int(real) if real.is_integer() else None


_decode: Final = msgspec.json.Decoder().decode


def _decode_leniently(payload: bytes | None) -> Any:
    """Decode what Python and JavaScript write although JSON does not have it: NaN, Infinity, numbers beyond a double.

    They become null. `_ABSENT`: it is not even that.
    """
    if payload is None:
        return _ABSENT
    try:
        return json.loads(payload, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return _ABSENT


def _finite(text: str) -> float | None:
    number = float(text)
    return number if abs(number) < float("inf") else None


def _only_member(steps: Sequence[Step]) -> str | None:
    """Return the name of a path that is one member of the document; None for any other path."""
    return steps[0] if len(steps) == 1 and isinstance(steps[0], str) else None


def _unfit(
    place: int, accepted: frozenset[type], value: Any, values: dict[int, Value | None], failures: dict[int, Quality]
) -> dict[int, Quality]:
    """Note a value of a type that its tag does not take: 21.0 is a whole number, null is no value, the rest is bad."""
    if type(value) is float and int in accepted and value.is_integer():
        values[place] = int(value)
        return failures
    code = Quality.NOT_AVAILABLE if value is None else Quality.UNDECODABLE
    return {**failures, place: code}
