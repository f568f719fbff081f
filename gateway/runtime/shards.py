"""Shares a gateway out among workers: a whole configuration each, made of the one that was read. No I/O but looking.

A connection is what is shared out, with all its devices, because its endpoint has one owner. Worker 1 keeps the
gateway's name, journal and sessions; worker 2 is called ``plant-1.2``, has ``journal-2.db`` and its own client ids.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.collect.groups import poll_groups
from gateway.config.root import MOST_WORKERS, BusConfig, BusKind, Configuration

POLL: Final = 200
"""What a poll costs beside its values, as a number of values: request, wake-up, frame (docs/performance.md)."""
BACK_TO_BACK: Final = 0.01
"""Seconds between polls that have no scan rate, for want of anything better known before the first answer."""
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def workers_of(configuration: Configuration, cores: int | None = None) -> int:
    """Return how many workers there are to be: as configured, and never more than there are connections to share."""
    wanted = configuration.gateway.workers
    number = (usable_cores() if cores is None else cores) if wanted == "auto" else wanted
    connections = {device.config.connection for device in configuration.devices.values()}
    return max(1, min(number, len(connections), MOST_WORKERS))


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may use: by its affinity, and by the CPU quota of its container."""
    cores = len(os.sched_getaffinity(0))
    try:
        most, _, period = quota.read_text("ascii").partition(" ")
        return cores if most == "max" else max(1, min(cores, round(int(most) / int(period))))
    except (OSError, ValueError):
        return cores


def shares(configuration: Configuration, workers: int) -> list[list[str]]:
    """Names of the connections of each worker: the heaviest first, each to whoever has least.

    The same configuration is always shared out in the same way, so every device comes back to its journal.
    """
    load = dict.fromkeys(configuration.connections, 0.0)
    for device in configuration.devices.values():
        for group in poll_groups(device):
            load[device.config.connection] += (POLL + len(group.tags)) / max(group.scan, BACK_TO_BACK)
    loads = [0.0] * workers
    found: list[list[str]] = [[] for _ in range(workers)]
    for name in sorted(load, key=lambda name: (-load[name], name)):
        least = loads.index(min(loads))
        loads[least] += load[name]
        found[least].append(name)
    return found


def share(configuration: Configuration, worker: int, connections: Collection[str]) -> Configuration:
    """Return the configuration of one worker, with these connections and no HTTP port."""
    mine = replace(
        configuration,
        connections={
            name: configuration.connections[name] for name in configuration.connections if name in connections
        },
        devices={
            name: device for name, device in configuration.devices.items() if device.config.connection in connections
        },
        observe=configuration.observe.model_copy(update={"http": "off"}),
        worker=worker,
    )
    if worker == 1:
        return mine
    gateway = configuration.gateway.id
    sinks = {name: sink.for_worker(gateway, worker) for name, sink in configuration.sinks.items()}
    return replace(
        mine,
        gateway=configuration.gateway.model_copy(update={"id": f"{gateway}.{worker}"}),
        sinks=sinks,
        lanes={name: lane.model_copy(update={"to": sinks[name]}) for name, lane in configuration.lanes.items()},
        bus=configuration.bus.model_copy(update={"path": journal_of(configuration.bus.path, worker)}),
    )


def journal_of(path: Path, worker: int) -> Path:
    """Return where the journal of another worker lies: beside the first one's."""
    return path.with_name(f"{path.stem}-{worker}{path.suffix}")


def leftovers(bus: BusConfig, folder: Path, workers: int) -> list[int]:
    """Numbers of workers that there are no more, and whose journals are still there."""
    if bus.kind is not BusKind.JOURNAL:
        return []
    path = folder / bus.path
    pattern = re.compile(rf"{re.escape(path.stem)}-([1-9]\d?){re.escape(path.suffix)}")
    numbers = (int(match[1]) for match in map(pattern.fullmatch, _names(path.parent)) if match)
    return sorted(number for number in numbers if workers < number <= MOST_WORKERS)


def _names(folder: Path) -> Iterable[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
