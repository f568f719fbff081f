"""Open the bus that a configuration names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from gateway.bus.age import Nanoseconds, bus_time
from gateway.bus.local import LocalBus
from gateway.bus.memory import MemoryStore
from gateway.bus.protocol import Bus
from gateway.bus.recovery import open_journal
from gateway.bus.store import Store
from gateway.config.root import BusConfig, BusKind


def remove_journal(path: Path) -> None:
    """Remove a journal that holds nothing any more and that nobody has open, and what lies beside it. Blocks."""
    for suffix in ("", "-wal", "-shm", ".reserve", ".lock", ".clock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@asynccontextmanager
async def open_bus(
    config: BusConfig,
    gateway: str,
    folder: Path,
    *,
    clock: Nanoseconds = time.time_ns,
    monotonic: Nanoseconds = time.monotonic_ns,
) -> AsyncIterator[Bus]:
    """The bus of ``gateway``; ``config.path`` starts at ``folder`` where it is relative.

    ``clock`` gives ns since the Unix epoch, ``monotonic`` ns by which batches grow old.

    Raises ConfigFault when the journal cannot be had: in use by another
    process, another gateway's, written by a newer version, or in a folder that cannot be written. Damage is no
    reason not to start: it is set aside and declared as a gap.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="bus-reader") as reader:
        store: Store
        if config.kind is BusKind.MEMORY:
            store = MemoryStore(gateway, clock())
        else:
            store = await loop.run_in_executor(
                reader, partial(open_journal, folder / config.path, config, gateway, clock)
            )
        age = bus_time(store.state.ran or store.state.closed or clock(), monotonic)
        bus = LocalBus(store, config, clock, age, reader)
        for gap in store.loss:
            bus.declare(gap)
        store.loss = []
        try:
            yield bus
        finally:
            await asyncio.shield(bus.close())
