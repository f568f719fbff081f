"""`xingsha browse`: what a device says that it has, as a table to look at or as a tag list to take over.

YAML comes as a profile: include the file, and give the device that profile. CSV has one column for each key of a tag.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from gateway.config.base import Access
from gateway.model.faults import ConfigFault
from gateway.sdk.browse import Browses, Node

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gateway.config.base import ConnectionConfig, DeviceConfig

COLUMNS: Final = ("name", "address", "type", "access", "unit", "description")
"""Keys of a tag that browsing can fill in."""
MOST: Final = 10_000
_WIDE: Final = 240
"""Columns of a table that goes into a file or another program, where nothing need be folded."""
_LONGEST: Final[dict[str, int]] = {"name": 1024, "unit": 32, "description": 500}
"""Characters that a tag may have there; see config.base."""


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    CSV = "csv"
    YAML = "yaml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("browse")
    def browse(
        config: Annotated[
            Path | None, typer.Argument(help="The configuration file; or use --adapter.", metavar="[CONFIG]")
        ] = None,
        device: Annotated[str | None, typer.Option("--device", "-d", help="Device in the configuration.")] = None,
        path: Annotated[str, typer.Option("--path", "-p", help="Only what is at or below this place.")] = "",
        form: Annotated[
            Format, typer.Option("--format", "-f", help="table, or a tag list: csv, yaml (a profile to include), json.")
        ] = Format.TABLE,
        most: Annotated[int, typer.Option("--max", min=1, max=1_000_000, help="Stop after so many nodes.")] = MOST,
        adapter: Annotated[
            str | None, typer.Option("--adapter", help="Adapter to use without a configuration.")
        ] = None,
        host: Annotated[str | None, typer.Option("--host", help="Without a configuration: name or IP address.")] = None,
        port: Annotated[int | None, typer.Option("--port", help="TCP port; default: the protocol's.")] = None,
        option: Annotated[
            list[str] | None,
            typer.Option("--option", "-o", help="Other setting of connection or device, KEY=VALUE; repeatable."),
        ] = None,
    ) -> None:
        """List what a device says that it has; changes nothing. Exit code 1 when there was nothing."""
        from gateway.cli.run import loop_factory
        from gateway.cli.target import configured, described, options

        if config is not None:
            manifest, connection, chosen, name = configured(config, device)
        else:
            given = {"host": host, "port": port, **options(option or ())}
            manifest, connection, chosen, name = described(adapter, given, "browse")
        made = manifest.load().adapter(connection)
        if not isinstance(made, Browses):
            raise ConfigFault(f"adapter {manifest.id} cannot browse: {_CANNOT}", code="cannot_browse")
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            nodes, more = runner.run(gather(made, chosen, path, most))
        _WRITERS[form](nodes, connection, name)
        _note(nodes, form, more, most)
        if not nodes:
            raise typer.Exit(1)


_CANNOT: Final = "its protocol has no directory, or the adapter does not use it"


async def gather(adapter: Browses, device: DeviceConfig, path: str, most: int) -> tuple[list[Node], bool]:
    """Up to ``most`` nodes, and whether there are more. Raises a Fault."""
    nodes: list[Node] = []
    async with aclosing(cast("AsyncGenerator[Node]", adapter.browse(device, path))) as found:
        async for node in found:
            if len(nodes) == most:
                return nodes, True
            nodes.append(node)
    return nodes, False


def tag_list(nodes: Iterable[Node]) -> list[dict[str, str]]:
    """Tags of all nodes that have a value of a type that a tag can have: names valid and each given once."""
    chosen = [node for node in nodes if node.address and node.type is not None]
    tags = []
    for node, name in zip(chosen, names([node.path for node in chosen]), strict=True):
        tag = {"name": name, "address": node.address, "type": str(node.type), "access": str(node.access)}
        tag |= {"unit": _plain(node.unit, "unit"), "description": _plain(node.description, "description")}
        tags.append(tag)
    return tags


def names(paths: Sequence[str]) -> list[str]:
    """Shortest endings of paths that tell them apart; a number where even whole paths are the same."""
    parts = [[part for part in _plain(path, "").split("/") if part] or ["value"] for path in paths]
    found = ["/".join(part[-1:]) for part in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        counts = Counter(found)
        if max(counts.values()) == 1:
            break
        found = ["/".join(part[-depth:]) if counts[name] > 1 else name for name, part in zip(found, parts, strict=True)]
    return _numbered([name[: _LONGEST["name"] - 8] for name in found])


def _numbered(found: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    counts: Counter[str] = Counter()
    for name in found:
        unique = name
        while unique in taken:
            counts[name] += 1
            unique = f"{name}_{counts[name] + 1}"
        taken.add(unique)
        result.append(unique)
    return result


def _plain(text: str, what: str) -> str:
    """Text as a tag may have it: without control characters, and not longer."""
    line = "".join(letter if letter >= " " and letter != "\x7f" else " " for letter in text).strip()
    return line[: _LONGEST.get(what, len(line))]


def _table(nodes: Sequence[Node], _connection: ConnectionConfig, _device: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gateway.cli.read import show

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("path", "address", "type", "access", "unit", "description"):
        table.add_column(title, overflow="fold")
    for node in nodes:
        access = str(node.access) if node.address else ""
        cells = (node.path, node.address, str(node.type or ""), access, node.unit, node.description)
        table.add_row(*(Text(show(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _csv(nodes: Sequence[Node], _connection: ConnectionConfig, _device: str) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(tag_list(nodes))
    print(text.getvalue(), end="")


def _yaml(nodes: Sequence[Node], connection: ConnectionConfig, device: str) -> None:
    print(f"# What {device} says that it has. Include this file, and give the device: profile: {device}-tags")
    print(f"profiles:\n  {_scalar(f'{device}-tags')}:\n    adapter: {_scalar(connection.adapter)}\n    tags:")
    tags = tag_list(nodes)
    for tag in tags:
        print(f"      - {{{', '.join(f'{key}: {_scalar(text)}' for key, text in _said(tag))}}}")
    if not tags:
        print("      []")


def _said(tag: dict[str, str]) -> list[tuple[str, str]]:
    """Keys worth writing down: those that differ from what holds anyway."""
    return [(key, text) for key, text in tag.items() if text and (key, text) != ("access", str(Access.READ))]


def _scalar(text: str) -> str:
    """Text as a YAML scalar that is read as just this text, also where it looks like a parameter or a secret."""
    if text and text.replace("_", "").replace("-", "").isalnum() and text[0].isalpha() and text.isascii():
        import yaml

        if isinstance(yaml.safe_load(text), str):
            return text
    written = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
    return "".join(_ESCAPED.get(letter, letter) for letter in written)


_ESCAPED: Final = {letter: f"\\u{ord(letter):04x}" for letter in "\x7f\x85\u2028\u2029\ufeff"}
"""What YAML takes for a line break, or does not take at all, and JSON leaves as it is."""


def _json(nodes: Sequence[Node], _connection: ConnectionConfig, _device: str) -> None:
    found: list[dict[str, Any]] = [
        {
            "path": node.path,
            "address": node.address,
            "type": node.type and str(node.type),
            "access": str(node.access),
            "unit": node.unit,
            "description": node.description,
        }
        for node in nodes
    ]
    print(json.dumps(found, ensure_ascii=False, indent=2))


def _note(nodes: Sequence[Node], form: Format, more: bool, most: int) -> None:
    """Tell on stderr what the output does not show."""
    if more:
        print(f"there is more: stopped after {most}; see --path and --max", file=sys.stderr)
    if form in (Format.CSV, Format.YAML):
        left = sum(1 for node in nodes if node.address and node.type is None)
        if left:
            print(f"left out: {left} whose type no tag can have", file=sys.stderr)


_WRITERS: Final = {Format.TABLE: _table, Format.CSV: _csv, Format.YAML: _yaml, Format.JSON: _json}
