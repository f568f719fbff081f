"""`xingsha sim`: stands in for the devices of a configuration, with values that move as the caller says."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zlib import crc32

import typer

from gateway.cli.run import STOP_SIGNALS, duration, loop_factory
from gateway.config.base import TagConfig
from gateway.config.fields import parse_duration
from gateway.model.faults import ConfigFault
from gateway.model.types import DTYPES, DataType, Value

if TYPE_CHECKING:
    from gateway.config.root import Configuration
    from gateway.sdk.simulator import SimulatedDevice

Wave = Callable[[float], Value]
"""Engineering value by seconds since the start."""

_FORM: Final = re.compile(
    r"(?P<form>[a-z]+):(?P<low>-?[\d.]+)\.\.(?P<high>-?[\d.]+)/(?P<period>[\d.]+\s*[a-z]+)", re.IGNORECASE
)
_HELP: Final = "DEVICE.TAG=VALUE, or a form with limits and period: sine:20..80/60s, ramp, square, random; repeatable."


def _sine(low: float, high: float, period: float) -> Wave:
    return lambda t: low + (high - low) * (0.5 + 0.5 * math.sin(2 * math.pi * t / period))


def _ramp(low: float, high: float, period: float) -> Wave:
    return lambda t: low + (high - low) * (t / period % 1.0)


def _square(low: float, high: float, period: float) -> Wave:
    return lambda t: high if t / period % 1.0 >= 0.5 else low


def _random(low: float, high: float, period: float) -> Wave:
    return lambda t: random.Random(int(t / period)).uniform(low, high)  # noqa: S311 - a machine, not a secret


FORMS: Final[dict[str, Callable[[float, float, float], Wave]]] = {
    "sine": _sine,
    "ramp": _ramp,
    "square": _square,
    "random": _random,
}
"""Forms a value can take between two limits: once around in one period; random: a new value each period."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("sim")
    def sim(
        config: Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)],
        device: Annotated[
            list[str] | None, typer.Option("--device", "-d", help="This device only; repeatable.")
        ] = None,
        values: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="VALUE", help=_HELP)] = None,
        every: Annotated[
            float, typer.Option(parser=duration, metavar="DURATION", help="Time between two changes of a value.")
        ] = 0.2,
        length: Annotated[
            float, typer.Option("--for", parser=duration, metavar="DURATION", help="End by itself after this time.")
        ] = math.inf,
    ) -> None:
        """Simulate the devices of a configuration, at the addresses where a gateway looks for them.

        Values that nobody sets move by themselves within their range. Serial lines: give the far end of the line, or
        of a pair of pseudo terminals, as serial_port.
        """
        from gateway.runtime.making import load_configuration

        configuration = load_configuration(config)
        chosen = choose(configuration, device or (), values or ())
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(simulate(configuration, chosen, every, length))


@dataclass(slots=True)
class Moving:
    """One tag of a simulated device, and how it moves."""

    device: str
    tag: TagConfig
    wave: Wave
    given: bool
    """Somebody said how; otherwise a value that does not fit, such as a text that is too long, is left out."""
    last: Value | None = None

    def move(self, into: SimulatedDevice, t: float) -> None:
        """Set the value of time ``t``, if it is another. Raises ConfigFault for one that was given and does not fit."""
        value = fitting(self.tag, self.wave(t))
        if value != self.last:
            try:
                into.set(self.tag, value)
            except (ValueError, OverflowError, TypeError) as error:
                if self.given:
                    raise ConfigFault(
                        f"{self.device}.{self.tag.name}: {value!r} does not fit a {self.tag.type}: {error}",
                        code="value_invalid",
                    ) from error
            self.last = value


def choose(configuration: Configuration, devices: Iterable[str], values: Iterable[str]) -> dict[str, list[Moving]]:
    """Return the tags to move, by device. Raises ConfigFault for a name or a value that does not fit."""
    names = list(devices) or list(configuration.devices)
    for name in names:
        if name not in configuration.devices:
            raise ConfigFault(f"no device {name!r} in this configuration", code="device_unknown")
    tags = {f"{name}.{tag.name}": (name, tag) for name in names for tag in configuration.devices[name].tags}
    waves: dict[str, Wave] = {}
    for text in values:
        place, _, form = text.partition("=")
        if place not in tags:
            raise ConfigFault(f"--set {text}: no tag {place!r} among the devices chosen", code="tag_unknown")
        waves[place] = parse_wave(tags[place][1].type, form)
    moving: dict[str, list[Moving]] = {name: [] for name in names}
    for place, (name, tag) in tags.items():
        moving[name].append(Moving(name, tag, waves.get(place) or by_itself(place, tag), place in waves))
    return moving


def parse_wave(kind: DataType, text: str) -> Wave:
    """Read a constant of the tag's type, or a form such as ``sine:20..80/60s``. Raises ConfigFault."""
    if (match := _FORM.fullmatch(text)) and match["form"] in FORMS:
        try:
            low, high, period = float(match["low"]), float(match["high"]), parse_duration(match["period"])
            if low < high and period > 0:
                return FORMS[match["form"]](low, high, period)
        except ValueError:
            pass  # told below, with an example
    try:
        constant = _CONSTANTS.get(kind, _number)(text)
    except (ValueError, KeyError):
        forms = ", ".join(FORMS)
        raise ConfigFault(
            f"--set …={text}: expected a {kind}, or one of {forms} such as sine:20..80/60s", code="value_invalid"
        ) from None
    return lambda _t: constant


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


_CONSTANTS: Final[dict[DataType, Callable[[str], Value]]] = {
    DataType.BOOL: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    DataType.STRING: str,
    DataType.BYTES: bytes.fromhex,
}
"""How a constant is read, for types that are no numbers."""


def by_itself(place: str, tag: TagConfig) -> Wave:
    """Return how a tag moves that nobody sets: within its range, each with a period of its own."""
    period = 20.0 + crc32(place.encode()) % 400 / 10
    if tag.type is DataType.BOOL:
        return _square(0, 1, period)
    if tag.type is DataType.STRING:
        return lambda _t: "sim"
    if tag.type is DataType.BYTES:
        return lambda _t: b"\x01"
    lowest, highest = limits(tag)
    low, high = tag.range or tag.clamp or (0.0, 100.0)
    low, high = max(low, lowest), min(high, highest)
    return _sine(low, high, period) if low < high else _sine(lowest, highest, period)


def limits(tag: TagConfig) -> tuple[float, float]:
    """Lowest and highest engineering value that a numeric tag can hold."""
    if tag.type in (DataType.FLOAT32, DataType.FLOAT64):
        return -1e30, 1e30
    bits = 8 * DTYPES[tag.type].itemsize
    raw = (0, 2**bits - 1) if tag.type.value.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    ends = sorted(end * tag.scale + tag.offset for end in raw)
    return ends[0], ends[1]


def fitting(tag: TagConfig, value: Value) -> Value:
    """Return the value in the tag's type; whole numbers where scaling leaves the tag whole."""
    if isinstance(value, float):
        if tag.type is DataType.BOOL:
            return value >= 0.5
        if tag.type not in (DataType.FLOAT32, DataType.FLOAT64) and tag.scale == 1 and math.isfinite(value):
            return round(value)
    elif tag.type is DataType.BOOL:
        return bool(value)
    return value


async def simulate(
    configuration: Configuration, moving: Mapping[str, list[Moving]], every: float, length: float
) -> None:
    """Serve until a signal arrives or ``length`` seconds have passed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        devices = await _serve(configuration, moving, stack)
        started = loop.time()
        while not stop.is_set() and (t := loop.time() - started) < length:
            for name, tags in moving.items():
                for tag in tags:
                    tag.move(devices[name], t)
            try:
                async with asyncio.timeout(min(every, length - t)):
                    await stop.wait()
            except TimeoutError:
                continue


async def _serve(
    configuration: Configuration, moving: Mapping[str, list[Moving]], stack: AsyncExitStack
) -> dict[str, SimulatedDevice]:
    from gateway.cli.errors import system_code
    from gateway.sdk.manifest import manifests

    devices: dict[str, SimulatedDevice] = {}
    for name, connection in configuration.connections.items():
        members = [device for device in moving if configuration.devices[device].config.connection == name]
        if not members:
            continue
        simulator = manifests()[connection.adapter].load_simulator().of(connection)
        for device in members:
            devices[device] = simulator.device(configuration.devices[device].config)
            for tag in moving[device]:
                tag.move(devices[device], 0.0)
        try:
            await stack.enter_async_context(simulator)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigFault(
                f"connections.{name}: cannot simulate {connection.endpoint}: {reason}", code=system_code(error)
            ) from error
        print(f"{name}: {connection.adapter} at {connection.endpoint}: {', '.join(members)}", flush=True)
    return devices
