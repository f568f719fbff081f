"""Run benchmarks of adapters: each prints a table and one JSON line.

    script/bench adapters                  all of them, one after the other
    script/bench adapters opcua --seconds 10

Exit code: 0 when each was sound (nothing lost, nothing wrong), 1 when one was not, 2 when one could not be run.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Command line: names of adapters, then options for each of them."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if {"-h", "--help"} & set(arguments[:1]):
        print(f"{__doc__}\nadapters: {', '.join(known)}")
        return 0
    count = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    chosen, options = arguments[:count] or known, arguments[count:]
    for name in chosen:
        if name not in known:
            print(f"no benchmark of adapter {name!r}; there are: {', '.join(known)}", file=sys.stderr)
            return 2
    return max(importlib.import_module(f"benchmarks.adapters.{name}").main(options) for name in chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
