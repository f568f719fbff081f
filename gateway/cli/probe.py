"""`xingsha probe`: what is at the other end, and what lies at an address, raw and decoded in every way.

With a configuration file it uses a device that is described there; without, what the options say. It opens a
connection of its own and changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.target import configured, described, options
from gateway.config.base import ConnectionConfig, DeviceConfig
from gateway.model.faults import ConfigFault
from gateway.model.types import Value
from gateway.sdk.adapter import Probed, Probes
from gateway.sdk.doctor import Decoding, Doctor, Examination
from gateway.sdk.manifest import Manifest

SHOWN: Final = 3
"""Decodings per address, unless all are asked for."""
LIKELY: Final = 0.6


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("probe")
    def probe(
        config: Annotated[
            Path | None, typer.Argument(help="The configuration file; or use --host.", metavar="[CONFIG]")
        ] = None,
        device: Annotated[str | None, typer.Option("--device", "-d", help="Device in the configuration.")] = None,
        address: Annotated[
            str | None,
            typer.Option(
                "--address", "-a", help="Show what lies here, such as hr:100, in every decoding, where the adapter can."
            ),
        ] = None,
        count: Annotated[int, typer.Option("--count", "-n", min=1, max=2000, help="Words or bits from there on.")] = 4,
        every: Annotated[bool, typer.Option("--all", help="Every decoding, not only the likeliest.")] = False,
        host: Annotated[str | None, typer.Option("--host", help="Without a configuration: name or IP address.")] = None,
        port: Annotated[int | None, typer.Option("--port", help="TCP port; default: the protocol's.")] = None,
        unit: Annotated[int | None, typer.Option("--unit", help="Unit id.")] = None,
        option: Annotated[
            list[str] | None,
            typer.Option("--option", "-o", help="Other setting of connection or device, KEY=VALUE; repeatable."),
        ] = None,
        adapter: Annotated[
            str | None, typer.Option("--adapter", help="Adapter to use without a configuration.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    ) -> None:
        """Tell whether a device answers and what it is; with --address, show its raw words decoded."""
        if config is not None:
            manifest, connection, chosen, _ = configured(config, device)
        else:
            given = {"host": host, "port": port, "unit": unit, **options(option or ())}
            manifest, connection, chosen, _ = described(adapter, given, "probe")
        if address is not None:
            found = asyncio.run(_examine(manifest, connection, chosen, address, count))
            _show_examination(found, every=every, as_json=as_json)
            return
        probed = asyncio.run(_probe(manifest, connection, chosen))
        _show_probed(probed, as_json=as_json)
        if probed.outcome != "ok":
            raise typer.Exit(1)


async def _probe(manifest: Manifest, connection: ConnectionConfig, device: DeviceConfig) -> Probed:
    adapter = manifest.load().adapter(connection)
    if not isinstance(adapter, Probes):
        raise ConfigFault(f"adapter {manifest.id} cannot probe")
    return await adapter.probe(device)


async def _examine(
    manifest: Manifest, connection: ConnectionConfig, device: DeviceConfig, address: str, count: int
) -> Examination:
    doctor = getattr(manifest.load(), "doctor", None)
    if doctor is None:
        raise ConfigFault(f"adapter {manifest.id} has no address doctor; leave out --address")
    return await cast("Doctor", doctor)(connection, device, address, count)


def _show_probed(probed: Probed, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(probed), "identity": dict(probed.identity)}, ensure_ascii=False))
        return
    print(f"{probed.outcome}: {probed.detail}")
    for name, value in probed.identity:
        print(f"  {name}: {value}")


def _show_examination(found: Examination, *, every: bool, as_json: bool) -> None:
    if as_json:
        record = asdict(found)
        for decoding in record["decodings"]:
            decoding["value"] = _plain(decoding["value"])
        print(json.dumps(record, ensure_ascii=False))
        return
    console = Console()
    words = Table("address", "hex", "decimal", "bits", title="as transmitted", box=box.SIMPLE)
    for word in found.words:
        words.add_row(word.address, word.hex, str(word.number), word.bits)
    console.print(words)
    table = Table("address", "value", "settings", "score", "why", title="read as, likeliest first", box=box.SIMPLE)
    for _, group in groupby(found.decodings, key=lambda decoding: decoding.address):
        for place, decoding in enumerate(group):
            if every or place < SHOWN:
                table.add_row(*_row(decoding), style="bold" if place == 0 and decoding.score >= LIKELY else "")
    console.print(table)


def _row(decoding: Decoding) -> tuple[Text, ...]:
    value = str(_plain(decoding.value))
    return tuple(
        Text(cell) for cell in (decoding.address, value, decoding.settings, f"{decoding.score:.2f}", decoding.why)
    )


def _plain(value: Value) -> Value:
    """Return a value as JSON and people can take it."""
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, float):
        return repr(value) if value != value or value in (float("inf"), float("-inf")) else value  # noqa: PLR0124
    return value
