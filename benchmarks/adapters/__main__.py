"""Run benchmarks of adapters: each prints one JSON line for a workload; then a table of all.

    script/bench adapters                  all of them, one after the other
    script/bench adapters opcua --seconds 10
    script/bench adapters --write-docs     all, and the table of docs/performance.md

Exit code: 0 when each was sound (nothing lost, nothing wrong), 1 when one was not, 2 when one could not be run.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.adapters._row import HEADS, Row
from benchmarks.pipeline import circumstances
from benchmarks.suite import PAGE, markdown, provenance, table, write

FOLDER: Final = Path(__file__).parent
WRITE: Final = "--write-docs"


def main(arguments: list[str]) -> int:
    """Command line: names of adapters, then options for each of them."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if {"-h", "--help"} & set(arguments[:1]):
        print(f"{__doc__}\nadapters: {', '.join(known)}")
        return 0
    count = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    chosen, options = arguments[:count], [word for word in arguments[count:] if word != WRITE]
    if unknown := set(chosen) - set(known):
        print(f"no benchmark of adapter {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if chosen and WRITE in arguments:
        print(f"{WRITE} writes the whole table: leave the names of adapters out", file=sys.stderr)
        return 2
    rows: list[Row] = []
    code = max(_run(name, options, rows) for name in chosen or known)
    cells = [row.cells for row in rows]
    table(cells, HEADS)
    if WRITE in arguments and code != 2:
        text = f"{provenance(circumstances(), 1.0)}\n\n{markdown(cells, HEADS, words=2)}"
        PAGE.write_text(write(PAGE.read_text(), "adapters", text))
    return code


def _run(name: str, options: list[str], rows: list[Row]) -> int:
    """Run one in a process of its own; the exit code."""
    module = f"benchmarks.adapters.{name}"
    with subprocess.Popen([sys.executable, "-m", module, *options], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                rows += importlib.import_module(module).rows(json.loads(line))
    return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
