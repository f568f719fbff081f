"""`xingsha trust`: which certificates a connection knows, and the approval of one, for protocols with a trust list."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.model.faults import ConfigFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.sdk.trust import Certificate, Trust


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("trust")
    def trust(
        config: Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)],
        connection: Annotated[
            str | None, typer.Argument(help="Name of the connection; the only one needs no name.", metavar="CONNECTION")
        ] = None,
        approve: Annotated[
            str, typer.Option("--approve", metavar="THUMBPRINT", help="Trust this one; its first eight digits will do.")
        ] = "",
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    ) -> None:
        """Ask the peer of a connection for its certificate, and list what is trusted; with --approve, trust it."""
        from gateway.cli.run import loop_factory
        from gateway.runtime.making import load_configuration
        from gateway.sdk.manifest import manifests

        configuration = load_configuration(config)
        names = ", ".join(sorted(configuration.connections))
        if connection is None and len(configuration.connections) == 1:
            connection = next(iter(configuration.connections))
        if connection not in configuration.connections:
            raise ConfigFault(f"say which connection: {names}", code="connection_unknown")
        chosen = configuration.connections[connection]
        ask = getattr(manifests()[chosen.adapter].load(), "trust", None)
        if ask is None:
            raise ConfigFault(f"adapter {chosen.adapter} has no trust list", code="cannot_trust")

        async def asked() -> Sequence[Certificate]:
            return await cast("Trust", ask)(chosen, approve)

        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            _show(runner.run(asked()), as_json=as_json)


def _show(found: Sequence[Certificate], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        print(f"{one.state}: {one.subject}, valid {one.valid_from} to {one.valid_to}")
        print(f"  SHA-256 {one.thumbprint}")
        print(f"  SHA-1   {one.sha1}")
