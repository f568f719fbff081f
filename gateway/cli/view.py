"""The live view of a gateway in a terminal: flow, devices, values, events. Fits the terminal, from 80 × 24 up.

It is given statuses and readings, and keeps what it needs for rates and events; it asks nobody and has no clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from gateway.model.quality import is_bad, is_good, quality_label
from gateway.model.types import Value
from gateway.observe.status import DeviceState, DeviceStatus, GatewayStatus

RATE_WINDOW: Final = 5_000_000_000
"""Rates are means over this many nanoseconds."""

STYLES: Final[dict[DeviceState, str]] = {
    DeviceState.CONNECTING: "cyan",
    DeviceState.UP: "green",
    DeviceState.DEGRADED: "yellow",
    DeviceState.DOWN: "bold red",
    DeviceState.PARKED: "magenta",
}
_CELL: Final = 33
_NAME: Final = 18
_EVENTS: Final = 4


class Reading(Protocol):
    """One value as the live view of the gateway has it."""

    @property
    def device(self) -> str:
        """Name of the device."""

    @property
    def tag(self) -> str:
        """Name of the tag."""

    @property
    def value(self) -> Value | None:
        """Engineering value; None when there is none."""

    @property
    def quality(self) -> int:
        """Quality code."""

    @property
    def unit(self) -> str:
        """Engineering unit, or nothing."""


@dataclass(slots=True)
class Received:
    """What a subscriber at the platform has counted."""

    batches: int = 0
    values: int = 0
    lost: int = 0
    """Batches whose number was skipped."""
    duplicates: int = 0
    """Batches that came more than once."""
    gaps: int = 0
    """Intervals that the gateway itself declared as not collected."""


@dataclass(frozen=True, slots=True)
class _Sample:
    now: int
    reads: dict[str, int]
    points: dict[str, int]
    delivered: int


class View:
    """What is on the screen. `update` it, then let Rich print it."""

    def __init__(self, *, alarms: Collection[str] = (), order: Mapping[str, Sequence[str]] | None = None) -> None:
        """``alarms``: names of boolean tags that are worth an event when they change.

        ``order``: tags of each device, the most interesting first; there is seldom room for all of them.
        """
        self._alarms = frozenset(alarms)
        self._rank = {(device, tag): rank for device, tags in (order or {}).items() for rank, tag in enumerate(tags)}
        self._samples: deque[_Sample] = deque()
        self._status: GatewayStatus | None = None
        self._values: dict[str, list[Reading]] = {}
        self._received: Received | None = None
        self._states: dict[str, str] = {}
        self.events: deque[tuple[int, str, str]] = deque(maxlen=100)
        """(time in ns, style, text), the oldest first."""

    def update(self, status: GatewayStatus, readings: Iterable[Reading], received: Received | None = None) -> None:
        """Take the present state. Rates and events come from what changed since earlier calls."""
        self._status, self._received = status, received
        self._values = {}
        for reading in readings:
            self._values.setdefault(reading.device, []).append(reading)
        for values in self._values.values():
            values.sort(key=lambda reading: self._rank.get((reading.device, reading.tag), len(self._rank)))
        if self._samples and status.now < self._samples[-1].now:
            self._samples.clear()  # the clock was set back
        self._samples.append(
            _Sample(
                status.now,
                {device.name: device.reads for device in status.devices},
                {device.name: device.points for device in status.devices},
                sum(lane.points for lane in status.lanes),
            )
        )
        while len(self._samples) > 2 and self._samples[1].now <= status.now - RATE_WINDOW:
            self._samples.popleft()
        self._note_events(status)

    def _note_events(self, status: GatewayStatus) -> None:
        for device in status.devices:
            why = f": {device.reason} ({device.message})" if device.reason else ""
            self._note(status.now, f"device {device.name}", device.state, f"{device.name} {device.state}{why}",
                       STYLES[device.state])  # fmt: skip
        for lane in status.lanes:
            word = "connected" if lane.connected else "not connected"
            why = f": {lane.reason} ({lane.message})" if lane.reason and not lane.connected else ""
            self._note(status.now, f"lane {lane.name}", word, f"lane {lane.name} {word}{why}",
                       "green" if lane.connected else "bold red")  # fmt: skip
        for readings in self._values.values():
            for reading in readings:
                if reading.tag in self._alarms and not is_bad(reading.quality):
                    on = bool(reading.value)
                    text = f"{reading.device} {reading.tag if on else f'no longer {reading.tag}'}"
                    self._note(status.now, f"alarm {reading.device} {reading.tag}", "on" if on else "", text,
                               "yellow" if on else "green")  # fmt: skip

    def _note(self, now: int, what: str, state: str, text: str, style: str) -> None:
        before = self._states.get(what, "" if what.startswith("alarm") else None)
        self._states[what] = state
        if state != before:
            self.events.append((now, style, text))

    def rate(self, column: str) -> float:
        """Values per second in the rate window: ``reads``, ``points`` (reported) or ``delivered``."""
        first, last = self._samples[0], self._samples[-1]
        seconds = (last.now - first.now) / 1e9
        if seconds <= 0:
            return 0.0
        if column == "delivered":
            return (last.delivered - first.delivered) / seconds
        ends: dict[str, int] = getattr(last, column)
        starts: dict[str, int] = getattr(first, column)
        return sum(count - starts.get(name, 0) for name, count in ends.items()) / seconds

    def _device_rate(self, column: str, name: str) -> float:
        first, last = self._samples[0], self._samples[-1]
        seconds = (last.now - first.now) / 1e9
        ends: dict[str, int] = getattr(last, column)
        starts: dict[str, int] = getattr(first, column)
        return (ends[name] - starts.get(name, 0)) / seconds if seconds > 0 else 0.0

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out for the space there is."""
        height = options.height or options.size.height
        yield self.render(options.max_width, height)

    def render(self, width: int, height: int) -> RenderableType:
        """Everything, in ``height`` rows if there are not more devices than that has room for."""
        status = self._status
        if status is None:
            return Text("starting …", style="dim")
        flow = self._flow(status)
        machines = len(status.devices)
        fixed = len(flow) + machines + 6  # title, heading of the table, and a blank line after each part
        events = max(1, min(_EVENTS, height - fixed - machines))
        lines = max(1, (height - fixed - events) // max(1, machines))
        parts: list[RenderableType] = [self._title(status), Text(), *flow, Text(), self._devices(status), Text()]
        parts += [self._value_table(status, width, lines), Text()]
        parts += self._recent(width, events)
        return Group(*parts)

    def line(self) -> Text:
        """Return the state in one line, for where there is no terminal."""
        status = self._status
        if status is None:
            return Text("starting …")
        up = sum(device.state in {DeviceState.UP, DeviceState.DEGRADED} for device in status.devices)
        delivered = sum(lane.batches for lane in status.lanes)
        waiting = sum(lane.backlog for lane in status.lanes)
        return Text(
            f"{clock(status.now)}  {up} of {len(status.devices)} up · {self.rate('reads'):,.0f} values/s read · "
            f"{delivered:,} batches delivered · {waiting:,} waiting",
            no_wrap=True,
        )

    def _title(self, status: GatewayStatus) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append("星沙 Xingsha Gateway", style="bold")
        line.append(f" {status.version} · {status.gateway} · up {duration((status.now - status.started) / 1e9)}")
        return line

    def _flow(self, status: GatewayStatus) -> list[Text]:
        bus = status.bus
        up = sum(device.state in {DeviceState.UP, DeviceState.DEGRADED} for device in status.devices)
        lines = [
            _line("machines", f"{up} of {len(status.devices)} up · {self.rate('reads'):,.0f} values/s read · "
                              f"{self.rate('points'):,.0f} values/s reported"),
            _line("buffer", f"{sum(lane.backlog for lane in status.lanes):,} batches waiting · "
                            f"{size(bus.depth_bytes)} held in {bus.kind} · {hours(bus.hours_left)} left"
                            f"{' · FULL' if bus.full else ''}", "bold red" if bus.full else ""),
        ]  # fmt: skip
        for lane in status.lanes:
            state = "" if lane.connected else f" · not connected: {lane.reason or 'connecting'}"
            lines.append(_line(f"lane {lane.name}", f"{lane.batches:,} batches delivered · {lane.points:,} values · "
                               f"{size(lane.payload_bytes)}{state}", "" if lane.connected else "red"))  # fmt: skip
        got = self._received
        if got is not None:
            wrong = "bold red" if got.lost else ""
            lines.append(_line("platform", f"{got.batches:,} batches received · {got.values:,} values · "
                               f"lost {got.lost} · duplicates {got.duplicates}", wrong))  # fmt: skip
        return lines

    def _devices(self, status: GatewayStatus) -> Table:
        table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
        for title, justify, ratio in (
            ("device", "left", 3), ("state", "left", 2), ("why", "left", 5),
            ("last good", "right", 2), ("poll", "right", 2), ("read/s", "right", 2), ("sent/s", "right", 2),
        ):  # fmt: skip
            table.add_column(title, justify=justify, ratio=ratio, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        for device in status.devices:
            polled = device.polls - device.failed_polls
            table.add_row(
                device.name,
                Text(f"● {device.state}", style=STYLES[device.state]),
                device.reason,
                _age(status.now, device.last_good),
                f"{1000 * device.poll_seconds / polled:.1f} ms" if polled > 0 else "–",
                f"{self._device_rate('reads', device.name):,.0f}",
                f"{self._device_rate('points', device.name):,.0f}",
            )
        return table

    def _value_table(self, status: GatewayStatus, width: int, lines: int) -> Table:
        names = max((len(device.name) for device in status.devices), default=0) + 1
        cells = max(1, (width - names) // _CELL)
        table = Table.grid(padding=0)
        table.add_column(width=names, no_wrap=True)
        for _ in range(cells):
            table.add_column(width=_CELL, no_wrap=True)
        for device in status.devices:
            shown = [_cell(reading, device) for reading in self._values.get(device.name, [])[: cells * lines]]
            for row in range(lines):
                part = shown[row * cells : (row + 1) * cells]
                if part or row == 0:
                    table.add_row(device.name if row == 0 else "", *part, *([""] * (cells - len(part))))
        return table

    def _recent(self, width: int, count: int) -> Sequence[RenderableType]:
        recent: list[RenderableType] = []
        for time, style, text in list(self.events)[-count:]:
            line = Text(f"{clock(time)}  ", style="dim", no_wrap=True, overflow="ellipsis")
            line.append(text, style=f"not dim {style}")
            line.truncate(width, overflow="ellipsis")
            recent.append(line)
        return recent


def _line(label: str, text: str, style: str = "") -> Text:
    line = Text(f"{label:<15} ", style="dim", no_wrap=True, overflow="ellipsis")
    line.append(text, style=f"not dim {style}".strip())
    return line


def _cell(reading: Reading, device: DeviceStatus) -> Text:
    name = Text(reading.tag, style="dim")
    name.truncate(_NAME - 1, overflow="ellipsis", pad=True)
    cell = name + Text(" ")
    if is_bad(reading.quality):
        value = Text(quality_label(reading.quality), style="red")
    else:
        value = Text(
            f"{number(reading.value)} {reading.unit}".rstrip(), style="" if is_good(reading.quality) else "yellow"
        )
    if device.state is DeviceState.DOWN:
        value.stylize("dim")
    value.truncate(_CELL - _NAME - 1, overflow="ellipsis", pad=True)
    return cell + value


def number(value: Value | None) -> str:
    """Value as people read it: about four digits of a float, integers grouped while there is room, yes and no."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) < 1_000_000_000 else str(value)
        case float():
            if not math.isfinite(value):
                return str(value)
            return f"{value:,.{max(0, min(3, 3 - len(str(int(abs(value))))))}f}"
        case bytes():
            return value.hex(" ")
        case str():
            return value or "–"


def size(count: float) -> str:
    """Bytes with a decimal unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def hours(left: float | None) -> str:
    """Time left, given in hours; a dash when nobody knows."""
    if left is None:
        return "–"
    if left < 1:
        return f"{left * 60:.0f} min"
    return f"{left:.0f} h" if left < 96 else f"{left / 24:,.0f} days"


def duration(seconds: float) -> str:
    """Two largest units of a time."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(time: int) -> str:
    """Local time of day of a time in ns."""
    return datetime.fromtimestamp(time / 1e9, UTC).astimezone().strftime("%H:%M:%S")


def _age(now: int, then: int) -> str:
    if not then:
        return "never"
    seconds = (now - then) / 1e9
    return "now" if seconds < 2 else f"{duration(seconds)} ago"
