"""What the machine gives and tells: CPU and memory of processes, folders on a real disk."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_CPU_CLOCK: Final = 2
"""CPUCLOCK_SCHED: Linux makes the clock of another process from its id and this (clock_getcpuclockid)."""
_VOLATILE: Final = {"tmpfs", "ramfs"}


class Unfit(RuntimeError):
    """The run cannot be made or judged: something is not installed, did not start, or ended on its own."""


def cpu_seconds_of(pid: int) -> float:
    """CPU time of all threads of a process."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def memory_mb_of(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and its highest mark."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024


@contextmanager
def run_folder(keep: bool = False) -> Iterator[Path]:
    """Give an empty folder on a real disk: a journal in memory would prove and cost nothing."""
    for parent in (Path(tempfile.gettempdir()), Path("/var/tmp"), ROOT):
        if os.access(parent, os.W_OK) and _file_system(parent) not in _VOLATILE:
            break
    else:
        raise Unfit("no writable folder on a real disk: set TMPDIR")
    folder = Path(tempfile.mkdtemp(prefix="xingsha-bench-", dir=parent))
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _file_system(path: Path) -> str:
    """Type of the file system that holds a path, by the longest mount point above it."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
