"""Slower cores: gives each process of a gateway a share of a core, and no more.

To see what a second worker brings, each worker needs a core for itself, and devices, broker and subscriber need some as
well. Where there are not so many, each worker gets a part of one: it is stopped (SIGSTOP) whenever it has had more CPU
time than its share, and goes on (SIGCONT) when that is no longer so. The others then find time enough, whoever else
is busy on the machine matters less, and the ratio is the workers' own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from benchmarks.machine import cpu_seconds_of

LOOK: Final = 0.002
"""Seconds between two looks; far below every time-out, far above what a switch costs."""


@contextmanager
def slower(pids: Sequence[int], share: float) -> Iterator[None]:
    """Let each of these processes have so much of a core: all of its threads together, user and system."""
    ended = threading.Event()
    thread = threading.Thread(target=_hold_back, args=(pids, share, ended), name="slower")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _hold_back(pids: Sequence[int], share: float, ended: threading.Event) -> None:
    began = time.monotonic()
    had = {pid: cpu_seconds_of(pid) for pid in pids}
    running = dict.fromkeys(pids, True)
    try:
        while not ended.wait(LOOK):
            due = share * (time.monotonic() - began)
            for pid in pids:
                may = cpu_seconds_of(pid) - had[pid] < due
                if may != running[pid]:
                    os.kill(pid, signal.SIGCONT if may else signal.SIGSTOP)
                    running[pid] = may
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
