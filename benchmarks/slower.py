"""Slower cores: gives each process of a gateway one core, and only a share of its time.

To see what a second worker brings, each worker needs a core for itself, and devices, broker and subscriber need some as
well. Where there are not so many, each worker is kept on one core and stopped for most of every period (SIGSTOP,
SIGCONT), as if its core were that much slower. The others then find time enough, and the ratio is the workers' own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PERIOD: Final = 0.016
"""Seconds; far below every time-out, far above what a switch costs."""


@contextmanager
def slower(pids: Sequence[int], share: float) -> Iterator[None]:
    """Let each of these processes run for ``share`` of the time, one after the other, each on one core; 1: always."""
    cores = sorted(os.sched_getaffinity(0))
    for number, pid in enumerate(pids):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})
    if share >= 1:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_alternate, args=(pids, share, ended), name="slower")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _alternate(pids: Sequence[int], share: float, ended: threading.Event) -> None:
    """Stop and continue, by a clock that does not drift: the n-th process begins n shares of a period late."""
    edges = []
    for number, pid in enumerate(pids):
        begin = number / len(pids)
        edges += [(begin, pid, signal.SIGCONT), ((begin + share) % 1, pid, signal.SIGSTOP)]
    edges.sort(key=lambda edge: edge[0])
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()
        while not ended.is_set():
            start += PERIOD
            for at, pid, number in edges:
                time.sleep(max(0.0, start + at * PERIOD - time.monotonic()))
                os.kill(pid, number)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
