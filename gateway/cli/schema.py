"""`xingsha schema`: the JSON Schema of the configuration file, or the reference page, with all adapters installed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.model.faults import ConfigFault

if TYPE_CHECKING:
    from gateway.config.base import AdapterModels, SinkConfig


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("schema")
    def schema(
        as_page: Annotated[bool, typer.Option("--reference", help="The reference page instead, in Markdown.")] = False,
    ) -> None:
        """Print the JSON Schema of the configuration file."""
        from gateway.config import json_schema, reference

        adapters, sinks = installed()
        if as_page:
            print(reference.page(adapters, sinks), end="")
        else:
            print(json.dumps(json_schema.schema(adapters, sinks), ensure_ascii=False, indent=2))


def installed() -> tuple[dict[str, AdapterModels], dict[str, type[SinkConfig]]]:
    """Models of all adapters and sinks. An adapter that lacks a dependency is named on stderr and left out."""
    from gateway.sdk.manifest import manifests
    from gateway.sinks import sink_ids, sink_model

    adapters: dict[str, AdapterModels] = {}
    for name, manifest in sorted(manifests().items()):
        try:
            adapters[name] = manifest.load().models
        except ConfigFault as fault:
            print(f"left out: {fault}", file=sys.stderr)
    return adapters, {name: sink_model(name) for name in sink_ids()}
