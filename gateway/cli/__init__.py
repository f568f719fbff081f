"""The command line: frame, errors, one module per command. Speaks to the runtime only; holds no logic of its own."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `xingsha` command; never returns."""
    from gateway.cli.app import main as run

    run()
