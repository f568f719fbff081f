"""`xingsha check`: every error of a configuration with its place, or else how busy each connection will be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.collect.forecast import ConnectionLoad, Forecast
    from gateway.config.errors import ConfigError
    from gateway.config.root import Configuration


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("check")
    def check(
        file: Annotated[Path, typer.Argument(help="The configuration file.", show_default=False)],
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    ) -> None:
        """Check a configuration and forecast the load of every line. Exit code 1 when it cannot be run."""
        from gateway.config.errors import ConfigErrors

        try:
            configuration, outlook = examine(file)
        except ConfigErrors as wrong:
            _tell_errors(file, wrong.errors, as_json=as_json)
            raise typer.Exit(1) from None
        if as_json:
            print(json.dumps(_record(file, configuration, outlook), ensure_ascii=False, indent=2))
        else:
            _tell(file, configuration, outlook)
        if not outlook.good:
            raise typer.Exit(1)


def examine(file: Path) -> tuple[Configuration, Forecast]:
    """Load a configuration and plan every poll. Raises ConfigErrors, also for what an adapter cannot work with."""
    from gateway.collect.forecast import forecast
    from gateway.config.loader import errors_at, load
    from gateway.sdk.manifest import adapter_models
    from gateway.sinks import sink_model

    configuration = load(file, adapter_models, sink_model)
    outlook = forecast(configuration)
    if outlook.refusals:
        raise errors_at(file, outlook.refusals)
    return configuration, outlook


def _tell_errors(file: Path, errors: list[ConfigError], *, as_json: bool) -> None:
    if as_json:
        found = [{**asdict(error), "message": str(error)} for error in errors]
        print(json.dumps({"file": str(file), "good": False, "errors": found}, ensure_ascii=False, indent=2))
        return
    for error in errors:
        print(error)
    print(f"{file}: {_count(len(errors), 'error')}")


def _tell(file: Path, configuration: Configuration, outlook: Forecast) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, 100))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("connection", no_wrap=True)
    for title in ("devices", "tags", "requests", "bytes", "cycle", "load"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for load in outlook.connections:
        table.add_row(load.connection, *_cells(load), style=_STYLES[load.verdict])
    if outlook.connections:
        console.print(table)
    for load in outlook.connections:
        if load.advice:
            console.print(f"{load.connection}: {load.advice}", markup=False)
    tags = sum(len(device.tags) for device in configuration.devices.values())
    counts = ", ".join(
        [
            _count(len(configuration.connections), "connection"),
            _count(len(configuration.devices), "device"),
            _count(tags, "tag"),
            _count(len(configuration.lanes), "lane"),
        ]
    )
    verdict = "good" if outlook.good else "the scan rates cannot be met"
    console.print(f"{file}: {verdict}; {counts}", markup=False)


_STYLES = {"ok": "", "warn": "yellow", "refuse": "red"}


def _cells(load: ConnectionLoad) -> list[str]:
    about = "" if load.line_load else "≈ "
    seconds = f"{load.seconds:.2f} s" if load.seconds >= 1 else f"{load.seconds * 1000:.0f} ms"
    return [
        str(load.devices),
        str(load.tags),
        str(load.requests),
        str(load.wire_bytes),
        about + seconds,
        "back to back" if load.back_to_back else f"{about}{load.load:.1%}",
        str(load.verdict),
    ]


def _record(file: Path, configuration: Configuration, outlook: Forecast) -> dict[str, Any]:
    names = (
        "connection",
        "devices",
        "tags",
        "requests",
        "wire_bytes",
        "seconds",
        "load",
        "line_load",
        "back_to_back",
        "verdict",
        "advice",
    )
    return {
        "file": str(file),
        "good": outlook.good,
        "errors": [],
        "gateway": configuration.gateway.id,
        "devices": len(configuration.devices),
        "tags": sum(len(device.tags) for device in configuration.devices.values()),
        "lanes": list(configuration.lanes),
        "connections": [
            {
                **{name: getattr(load, name) for name in names},
                "groups": [{**asdict(group), "seconds": group.seconds} for group in load.groups],
            }
            for load in outlook.connections
        ],
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
