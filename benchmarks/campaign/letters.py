"""What a lane set aside, as a judge reads it: dead letters, the values in them, and the gaps that tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack

from benchmarks.processes import Plant
from benchmarks.verify import Verifier
from gateway.forward.deadletters import DeadLetter, Spool


def letters_of(folder: Path) -> list[DeadLetter]:
    """All dead letters of a run. Raises ValueError for one that is damaged."""
    found = []
    for spool in {path.parent for path in folder.rglob("*.dead")}:
        for _, letter in Spool(spool).letters():
            if isinstance(letter, ValueError):
                raise letter
            found.append(letter)
    return found


def content_of(letters: list[DeadLetter], run: Plant) -> Verifier:
    """The reads that lie in dead letters, checked value by value like what a subscriber receives."""
    found = Verifier(run.setting.pattern, run.devices.board)
    for letter in letters:
        for identity, encoded in letter.header.schemas.items():
            found.schema(identity, encoded)
        header = letter.header
        found.data(msgpack.packb((1, header.gateway, header.epoch, header.seq, 0, 1, letter.body)), header.time)
    return found


def joined(gaps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gaps per device, those that follow each other without anything between them made one."""
    joined: list[dict[str, Any]] = []
    for gap in sorted(gaps, key=lambda gap: (gap.get("device", ""), gap["since"])):
        last = joined[-1] if joined else None
        if last and last.get("device") == gap.get("device") and gap["since"] <= last["until"] + 1_000_000_000:
            last["until"] = max(last["until"], gap["until"])
        else:
            joined.append(dict(gap))
    return joined
