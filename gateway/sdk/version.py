"""The version of the contract between the gateway and those who write adapters and sinks; see docs/adapters.md.

The first number grows when something is taken away or changes its meaning, the second when something is added. An
adapter says in its manifest which it was written for: ``sdk = "1"``, or ``"1.2"`` when it needs what 1.2 added.
"""

from __future__ import annotations

import re
from typing import Final

VERSION: Final = "1.0"


def suits(wanted: str, version: str = VERSION) -> bool:
    """Return True when an adapter written for ``wanted`` runs with ``version``. Raises ValueError for no version."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4})?", wanted):
        raise ValueError(f"{wanted!r} is no version such as 1 or 1.2")
    major, _, minor = wanted.partition(".")
    has = [int(part) for part in version.split(".")]
    return int(major) == has[0] and int(minor or 0) <= has[1]
