"""`xingsha adapters`: what is installed, from the manifests alone; no adapter is imported."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.cli.errors import speaks_chinese
from gateway.sdk.manifest import Manifest, manifests


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("adapters")
    def adapters(as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False) -> None:
        """List the adapters that are installed: what they speak, and what they can do."""
        found = [manifests()[identity] for identity in sorted(manifests())]
        if as_json:
            print(json.dumps([_record(manifest) for manifest in found], ensure_ascii=False, indent=2))
        else:
            _table(found)


def _record(manifest: Manifest) -> dict[str, object]:
    return {
        "id": manifest.id,
        "title": manifest.title,
        "title_zh": manifest.title_zh,
        "spec": manifest.spec,
        "capabilities": manifest.capabilities,
        "transports": manifest.transports,
        "default_port": manifest.default_port,
        "extra": manifest.extra,
        "tier": manifest.tier,
        "owner": manifest.owner,
    }


def _table(found: list[Manifest]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "title", "spec", "can", "over", "tier", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for manifest in found:
        title = manifest.title_zh if speaks_chinese() else manifest.title
        cells = (
            manifest.id, title, manifest.spec, ", ".join(manifest.capabilities), ", ".join(manifest.transports),
            manifest.tier,
        )  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
