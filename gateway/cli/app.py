"""The frame of the `xingsha` command: which commands there are, and one place where every error becomes one message.

A command's module is imported only when that command is called, so that `xingsha --help` is quick and a dependency
that is missing hurts only the command that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from gateway import __version__

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("gateway.cli.run", "Run the gateway until it is told to stop."),
    "check": ("gateway.cli.check", "Check a configuration and forecast the load."),
    "probe": ("gateway.cli.probe", "Ask a device what it is; show its raw words decoded."),
    "browse": ("gateway.cli.browse", "List what a device says that it has, as a tag list."),
    "trust": ("gateway.cli.trust", "List certificates of a connection, and approve one."),
    "read": ("gateway.cli.read", "Read every tag once and print a table."),
    "tail": ("gateway.cli.tail", "Follow what arrives at the platform."),
    "sim": ("gateway.cli.sim", "Simulate the devices of a configuration."),
    "journal": ("gateway.cli.journal", "Inspect, verify and export the journal."),
    "deadletters": ("gateway.cli.deadletters", "List and replay batches that a platform rejected."),
    "schema": ("gateway.cli.schema", "Print the JSON Schema of the configuration file."),
    "adapters": ("gateway.cli.adapters", "List the adapters that are installed."),
    "conformance": ("gateway.cli.conformance", "Judge adapters by the rules of the quality scale."),
    "new-adapter": ("gateway.cli.new_adapter", "Write a complete adapter for a protocol of your own."),
    "demo": ("gateway.cli.demo", "Show a simulated plant, gateway and platform, live."),
}
"""Name of the command → (module with ``register(app)``, the line that `--help` shows)."""

_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}


@dataclass(slots=True)
class Options:
    """Options that stand before the command."""

    debug: bool = False


class _Lazy(TyperGroup):
    """Lists all commands without importing any; imports the one that is called."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        for name, (_, line) in COMMANDS.items():
            self.commands.setdefault(name, TyperCommand(name, help=line, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = load_command(name)
        return name, command, rest


def load_command(name: str) -> Any:
    """Import the module of one command and return the command that it registers."""
    module, line = COMMANDS[name]
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=_CONTEXT)
    import_module(module).register(app)
    command = typer.main.get_group(app).commands[name]
    command.help = command.help or line
    return command


def _want_debug(context: typer.Context, wanted: bool) -> None:
    if wanted and isinstance(context.obj, Options):
        context.obj.debug = True


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"xingsha {__version__}")
        raise typer.Exit


app: Final = typer.Typer(
    cls=_Lazy, no_args_is_help=True, add_completion=False, rich_markup_mode=None, context_settings=_CONTEXT
)


@app.callback(help="Industrial telemetry gateway: reads machines, loses nothing, costs almost no CPU.")
def _frame(
    _debug: Annotated[
        bool,
        typer.Option("--debug", callback=_want_debug, is_eager=True, help="Show where an unexpected error arose."),
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Nothing is left to do here: eager options have acted already, before any command was imported."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit: 0 done, 1 failed or found faults, 2 wrong usage, 130 interrupted."""
    options = Options(debug=os.environ.get("XINGSHA_DEBUG", "") not in {"", "0"})
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="xingsha", obj=options)
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - reason: the last line of defence; no traceback reaches a user
        from gateway.cli.errors import report

        sys.exit(report(error, debug=options.debug))
