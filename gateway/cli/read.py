"""`xingsha read`: every tag once, straight from the machine, without bus or lanes: the first look at a new device."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.run import duration, loop_factory
from gateway.model.faults import ConfigFault
from gateway.model.quality import is_bad, quality_label
from gateway.model.types import Value

if TYPE_CHECKING:
    from gateway.config.root import Configuration
    from gateway.runtime import TagReading

_WIDEST: Final = 80


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("read")
    def read(
        config: Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)],
        device: Annotated[
            list[str] | None, typer.Option("--device", "-d", help="This device only; repeatable.")
        ] = None,
        tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="This tag only; repeatable.")] = None,
        wait: Annotated[
            float,
            typer.Option(
                parser=duration, metavar="DURATION", help="Longest wait for values that a device sends itself."
            ),
        ] = 5.0,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
    ) -> None:
        """Read every tag once and print a table. Exit code 1 when any of them has no value."""
        from gateway.runtime import read_once
        from gateway.runtime.making import load_configuration

        configuration = load_configuration(config)
        check_names(configuration, device or (), tag or ())
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            readings = runner.run(read_once(configuration, device or None, wait))
        shown = [reading for reading in readings if not tag or reading.tag in tag]
        if as_json:
            print(json.dumps([_record(reading) for reading in shown], ensure_ascii=False, indent=2))
        else:
            _table(shown)
        if any(is_bad(reading.quality) for reading in shown):
            raise typer.Exit(1)


def check_names(configuration: Configuration, devices: Iterable[str], tags: Iterable[str]) -> None:
    """Raise ConfigFault for a device or tag that the configuration does not have."""
    for name in devices:
        if name not in configuration.devices:
            raise ConfigFault(f"no device {name!r} in this configuration", code="device_unknown")
    chosen = [configuration.devices[name] for name in devices] or list(configuration.devices.values())
    known = {tag.name for device in chosen for tag in device.tags}
    for name in tags:
        if name not in known:
            raise ConfigFault(f"no tag {name!r} in the devices chosen", code="tag_unknown")


def plain(value: Value | None) -> Value | None:
    """Return a value as JSON can hold it: bytes as hex, what is not finite as a word."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value.hex() if isinstance(value, bytes) else value


def show(value: Value | None) -> str:
    """Write a value for people: shortened, control characters escaped."""
    match value:
        case None:
            return "–"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case str() | bytes():
            text = value.hex(" ") if isinstance(value, bytes) else value
            text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
            return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
        case _:
            return str(value)


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds") if nanoseconds else ""


def _record(reading: TagReading) -> dict[str, object]:
    return {
        "device": reading.device,
        "tag": reading.tag,
        "value": plain(reading.value),
        "unit": reading.unit,
        "quality": quality_label(reading.quality),
        "time": _time(reading.time),
    }


def _table(readings: Iterable[TagReading]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("device", "tag", "value", "unit", "quality"):
        table.add_column(title, justify="right" if title == "value" else "left", overflow="fold")
    for reading in readings:
        style = "red" if is_bad(reading.quality) else "yellow" if reading.quality else ""
        cells = (reading.device, reading.tag, show(reading.value), reading.unit, quality_label(reading.quality))
        table.add_row(*(Text(cell) for cell in cells), style=style)
    Console().print(table)
