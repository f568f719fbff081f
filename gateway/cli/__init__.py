"""The command line: frame, errors, one module per command. Speaks to the runtime only; holds no logic of its own."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of the `xingsha` command; never returns."""
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "run" and not words[1].startswith("-") and not os.environ.get("XINGSHA_DEBUG"):
        _run(words[1])
    from gateway.cli.app import main as frame

    frame()


def _run(config: str) -> None:
    """`xingsha run CONFIG`, as services call it: without options, what reads options is not loaded (3 MB)."""
    from pathlib import Path

    from gateway.cli.serve import DRAIN, start

    try:
        start(Path(config), DRAIN)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - reason: the last line of defence; no traceback reaches a user
        from gateway.cli.errors import report

        sys.exit(report(error))
    sys.exit(0)
