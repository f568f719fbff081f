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
_given: Final[set[int]] = set()
_choosing: Final = Lock()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nobody listens now, and which this process was not given before."""
    with _choosing:
        while True:
            port = random.randint(FIRST, LAST)  # noqa: S311 - so that two programs rarely choose the same
            if port in _given and len(_given) < LAST - FIRST:
                continue
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                _given.add(port)
                return port


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ones."""
    return [free_port() for _ in range(count)]
