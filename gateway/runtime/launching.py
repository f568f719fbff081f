"""Decides how many processes run a gateway. What several of them need is loaded only where there are several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.root import Configuration
from gateway.runtime.gateway import Gateway
from gateway.runtime.shards import leftovers, workers_of

if TYPE_CHECKING:
    from gateway.runtime.supervisor import Supervisor


def launch(configuration: Configuration) -> Gateway | Supervisor:
    """Return what runs this configuration: one process, or several where it asks for them.

    Several as well when workers that there are no more have left journals: those are delivered, then removed.
    """
    workers = workers_of(configuration)
    left = leftovers(configuration.bus, configuration.folder, workers)
    if workers == 1 and not left:
        return Gateway(configuration)
    from gateway.runtime.supervisor import Supervisor

    return Supervisor(configuration, workers, left)
