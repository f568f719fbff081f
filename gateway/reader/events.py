"""What a message turns out to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.model.batch import Gap
from gateway.model.frame import FrameFlag
from gateway.model.quality import Quality
from gateway.model.view import FrameView


class DeviceRow(NamedTuple):
    """One value, with all that is known of it."""

    device: str
    tag: str
    value: Any
    """None: there is no value; `quality` says why."""
    quality: int
    time: int
    """Nanoseconds since the Unix epoch, UTC."""
    unit: str
    clock: int = 0
    """Not 0: nobody vouched for the gateway's clock, and `Corrected` events with this number say by how much `time`
    was off. Keep it beside the value; 0: the time is right, or has been corrected already."""


@dataclass(frozen=True, slots=True)
class JsonFrame:
    """A frame of the json payload: as it stands in the message, its time not corrected."""

    device: str
    group: str
    time: str
    values: Mapping[str, Any]
    quality: Mapping[str, str]
    """Only of values that are not good."""
    confirmed: tuple[str, ...] = ()
    """Tags that were read at `time` and are unchanged."""
    clock: int = 0
    """As in `DeviceRow`."""

    @property
    def points(self) -> int:
        """Number of values."""
        return len(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Value by tag name; None where there is none."""
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of one batch that can be read now: all of it, or those that had to wait for their schema."""

    gateway: str
    epoch: int
    seq: int
    frames: tuple[FrameView, ...] | tuple[JsonFrame, ...]

    @property
    def points(self) -> int:
        """Number of values."""
        return sum(frame.points for frame in self.frames)

    def rows(self) -> Iterator[DeviceRow]:
        """Every value of every frame. Of json frames, the time is 0 and the unit empty: both stand elsewhere."""
        for frame in self.frames:
            if isinstance(frame, FrameView):
                for row in frame.rows():
                    clock = 0 if _own_time(frame, row.time) else frame.clock
                    yield DeviceRow(frame.device, row.tag, row.value, row.quality, row.time, row.unit, clock)
            else:
                for tag, value in frame.values.items():
                    yield DeviceRow(frame.device, tag, value, _code(frame.quality.get(tag)), 0, "", frame.clock)


@dataclass(frozen=True, slots=True)
class Declared:
    """The gateway declares that something was lost or not collected."""

    gateway: str
    gap: Gap


@dataclass(frozen=True, slots=True)
class Corrected:
    """By how much times were off that the gateway stamped while nobody vouched for its clock.

    The right time of every value that was given with this ``clock`` is ``time + offset``, of those to come as well; a
    later event for the same clock replaces an earlier one. Values that come after a `final` event are given corrected.
    """

    gateway: str
    clock: int
    offset: int
    """Nanoseconds to add to the time as it was given."""
    since: int
    """First and last time that was stamped so, before correction; 0 in the json payload."""
    until: int
    final: bool
    """False: the result is not vouched for either; a later event tells more."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A batch, or a part of one, that had come before: delivery is at least once. Its values are not given again."""

    gateway: str
    epoch: int
    seq: int
    part: int


@dataclass(frozen=True, slots=True)
class Status:
    """A status message: of a gateway, or of one of its devices."""

    topic: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message, or a frame of one, that cannot be read: counted, never an exception."""

    topic: str
    reason: str


Event = Frames | Declared | Corrected | Duplicate | Status | Malformed


def _own_time(frame: FrameView, time: int) -> bool:
    """True for a value whose time the device gave."""
    return time != frame.time and bool(frame.frame.flags & FrameFlag.SOURCE_TIME)


def _code(label: str | None) -> int:
    if label is None:
        return Quality.GOOD
    try:
        return Quality[label.upper()]
    except KeyError:
        return int(label.rpartition("_")[2], 16) if "_0x" in label else Quality.INTERNAL
