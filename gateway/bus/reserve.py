"""A little disk space kept back, so that a full disk can still be written to in order to delete from the journal.

Deleting rows writes pages too. Without a reserve, a file system that another program has filled to the last byte
would leave the journal unable to give up its oldest batches.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Reserve:
    """File ``<journal>.reserve`` of ``size`` bytes, really allocated."""

    def __init__(self, journal: Path, size: int) -> None:
        self._path = journal.with_name(journal.name + ".reserve")
        self._size = size

    @property
    def held(self) -> bool:
        """True while the space is kept back."""
        return self._path.exists()

    def take(self) -> bool:
        """Keep the space back, if the disk has it with a little to spare; True when it is kept back now."""
        if self.held:
            return True
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < self._size + self._size // 4:
            return False
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
        except OSError:
            self.give()
        return self.held

    def give(self) -> None:
        """Give the space to whoever writes next."""
        with contextlib.suppress(OSError):
            self._path.unlink()
