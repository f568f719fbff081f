"""Ports of loopback for servers that are started, stopped, and started again while others come and go."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from threading import Lock
from typing import Final

FIRST: Final = 20_000
LAST: Final = 31_999
"""Below what Linux gives to outgoing connections (from 32,768 on): no client can sit on the port while its server is
down, and none can meet itself by connecting to the very port that it was given."""
RANGE: Final = 100
"""Ports that a process has to itself at a time: while its server is down, no other process is given the port."""

_choosing: Final = Lock()
_unused: Final[list[int]] = []
"""Ports of this process's ranges that it was not given yet."""
_doors: Final[list[int]] = []
"""File descriptors that listen on the first port of each range; open until the process ends, however it ends."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nobody listens and which no process was given that still runs.

    Raises OSError when other processes have all there are.
    """
    with _choosing:
        while True:
            if not _unused:
                _take_range()
            port = _unused.pop()
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ones."""
    return [free_port() for _ in range(count)]


def _take_range() -> None:
    """Have a range to ourselves, by listening on its first port."""
    starts = list(range(FIRST, LAST, RANGE))
    random.shuffle(starts)
    for start in starts:
        with suppress(OSError):
            _doors.append(socket.create_server(("127.0.0.1", start)).detach())
            _unused.extend(random.sample(range(start + 1, start + RANGE), RANGE - 1))
            return
    raise OSError(f"each range of {RANGE} ports from {FIRST} to {LAST} on 127.0.0.1 is taken by a process")
