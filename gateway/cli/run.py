"""`xingsha run`: one gateway, in one process or several, until a signal tells it to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.serve import DRAIN, STOP_SIGNALS, serve, start, take_descriptors
from gateway.config.fields import parse_duration
from gateway.runtime.loop import loop_factory

__all__ = ["STOP_SIGNALS", "duration", "loop_factory", "register", "serve", "take_descriptors"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("run")
    def run(
        config: Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)],
        drain: Annotated[
            float,
            typer.Option(
                parser=duration, metavar="DURATION", help="Longest wait for data on its way, once told to stop."
            ),
        ] = DRAIN,
    ) -> None:
        """Run the gateway until it is told to stop.

        SIGTERM or SIGINT: devices are no longer read, what was read is committed and sent, for as long as --drain
        allows. A second signal ends at once. Either way nothing that was committed is lost.
        """
        start(config, drain)


def duration(text: str | float) -> float:
    """Seconds of an option such as ``10s``."""
    if isinstance(text, float):
        return text
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not {error}") from error
