"""`xingsha conformance`: the quality scale, judged for one adapter or several."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("conformance")
    def conformance(
        adapters: Annotated[
            list[str] | None, typer.Argument(help="Folders or ids; default: all installed.", metavar="[ADAPTER]...")
        ] = None,
        rule: Annotated[str, typer.Option("--rule", help="This rule only.")] = "",
        coverage: Annotated[
            Path | None, typer.Option("--coverage", help="JSON report of coverage, for the rule coverage.", exists=True)
        ] = None,
        fast: Annotated[bool, typer.Option("--fast", help="Fewer rounds of each.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each result, for programs.")] = False,
    ) -> None:
        """Judge adapters by the rules of the quality scale: what was seen, and how to mend what is short.

        Exit code 1: a rule of the tier that an adapter claims is short, or one that its quality.yaml calls done.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table

        from gateway.sdk.manifest import manifests
        from gateway.testing.conformance.folder import RULES
        from gateway.testing.conformance.result import Result, Verdict
        from gateway.testing.conformance.run import find, run

        chosen = [find(name) for name in adapters or sorted(manifests())]
        results: list[Result] = []
        for manifest in chosen:
            for result in run(manifest, only=rule, fast=fast, coverage=coverage):
                results.append(result)
                if as_json:
                    print(json.dumps(asdict(result), ensure_ascii=False))
                else:
                    print(f"{result.adapter:<12} {result.rule:<16} {result.verdict:<13} {result.seen}")
                    if result.verdict is Verdict.FAILED:
                        print(f"{'':<30}mend: {result.mend}")
        if not as_json and len(chosen) > 1:
            table = Table("rule", *(manifest.id for manifest in chosen), box=box.SIMPLE)
            told = {(result.adapter, result.rule): str(result.verdict) for result in results}
            for name in (name for rules in RULES.values() for name in rules):
                if any((manifest.id, name) in told for manifest in chosen):
                    table.add_row(name, *(told.get((manifest.id, name), "") for manifest in chosen))
            Console().print(table)
        if any(result.verdict is Verdict.FAILED for result in results):
            raise typer.Exit(1)
