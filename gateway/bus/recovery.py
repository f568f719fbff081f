"""Open a journal: lock it, check it, repair it, and say what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.bus import layout
from gateway.bus.journal import JournalStore, put_state
from gateway.bus.reserve import Reserve
from gateway.bus.store import State
from gateway.config.root import BusConfig
from gateway.model.batch import Gap


def open_journal(path: Path, config: BusConfig, gateway: str, clock: Callable[[], int]) -> JournalStore:
    """Open or make the journal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    connection = layout.connect(path, synchronous=config.synchronous)
    if fresh:
        layout.create(connection)
        state = State(gateway=gateway, epoch=int(time.time()))
    else:
        (value,) = connection.execute("SELECT value FROM state WHERE name = ?", (layout.JOURNAL,)).fetchone()
        state = msgspec.json.decode(value, type=State)
    store = JournalStore(path, connection, state, Reserve(path, 4_000_000))
    if not fresh:
        detail = "planned" if state.stopped else ""
        store.loss.append(Gap("restart", state.stopped or state.closed, clock(), detail=detail))
    state.stopped = 0
    put_state(connection, layout.JOURNAL, msgspec.json.encode(state).decode())
    return store
