"""A small file system of its own for a journal: it can be filled, and shut down under whoever writes to it.

ext4 in a file, mounted through a loop device; needs root. `LoopDisk.cut` is as near to a power cut as a machine gets
that must go on running: the file system stops at once, nothing that waits in memory is written, and what was promised
by fsync is all that the next mount finds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, Self

from benchmarks.campaign.scenario import Skipped
from benchmarks.processes import Unfit

SHUTDOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)."""
NO_LOG_FLUSH: Final = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: not even the file system's own journal is written."""
LOOP_MAJOR: Final = 7
MEGABYTE: Final = 1 << 20


class LoopDisk:
    """A context manager; ``point`` is where it is mounted. Raises Skipped where nothing can be mounted."""

    def __init__(self, folder: Path, megabytes: int = 256) -> None:
        self.image = folder / "disk.ext4"
        self.point = folder.resolve() / "disk"
        self._size = megabytes * MEGABYTE
        self._filler = self.point / "filler"

    def __enter__(self) -> Self:
        if reason := why_not():
            raise Skipped(reason)
        self.make()
        return self

    def make(self) -> None:
        """Make it and mount it. Raises Unfit where that cannot be done."""
        self.point.mkdir()
        with self.image.open("wb") as file:
            file.truncate(self._size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        self.mount()

    def __exit__(self, *_: object) -> None:
        self.unmount()
        self.image.unlink()

    def mount(self) -> None:
        """Mount it; ext4 replays its journal where it was cut."""
        if self._held():
            # Somebody else's mount namespace, made meanwhile, still has the file system that was shut down. A copy of
            # the image is the same disk, and a new file system to the kernel.
            fresh = self.image.with_name(f"disk-{time.monotonic_ns()}.ext4")
            _run("cp", "--sparse=always", str(self.image), str(fresh))
            self.image.unlink()
            self.image = fresh
        _run("mount", "-t", "ext4", "-o", "loop", str(self.image), str(self.point))

    def _held(self) -> bool:
        """True when a loop device keeps the image although it was unmounted; they let go a moment later."""
        deadline = time.monotonic() + 1
        while held := bool(_run("losetup", "-j", str(self.image))):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return held

    def unmount(self) -> None:
        """Unmount it. Nobody may have a file of it open."""
        deadline = time.monotonic() + 10
        while self._mounted():
            try:
                _run("umount", str(self.point))
            except Unfit:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _mounted(self) -> bool:
        """As the kernel has it: the point of a file system that was shut down cannot be asked."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return any(line.split()[4] == str(self.point) for line in lines)

    def cut(self) -> None:
        """Shut the file system down, as a power cut would. Raises Unfit for anything that is not a loop device."""
        point = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(point).st_dev
            if device == Path("/").stat().st_dev or os.major(device) != LOOP_MAJOR:
                raise Unfit(f"{self.point} is no loop device of ours: it is not shut down")
            fcntl.ioctl(point, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(point)

    def fill(self) -> int:
        """Leave not a byte free; bytes taken."""
        taken = 0
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                disk = os.statvfs(self.point)
                size = max(disk.f_bavail * disk.f_frsize, disk.f_frsize)
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), taken, size)
                    taken += size
                    continue
                taken += file.write(bytes(disk.f_frsize))
        return self._filler.stat().st_blocks * 512

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@cache
def why_not() -> str:
    """Why no file system can be mounted here; empty when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "mounting a file system needs root on Linux"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program, path=os.defpath + ":/usr/sbin:/sbin") is None:
            return f"{program} is not installed"
    with tempfile.TemporaryDirectory() as folder:
        disk = LoopDisk(Path(folder), 16)
        try:
            disk.make()
        except Unfit as error:
            return str(error)
        disk.unmount()
        return ""
