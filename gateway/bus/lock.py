"""One process per journal: a lock of the operating system, which a crash cannot leave behind."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from gateway.model.faults import ConfigFault


class FileLock:
    """Exclusive lock on ``<journal>.lock``; the holder's process id stands in it, for people."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + ".lock")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigFault(
                f"bus.path: cannot write in {journal.parent}: {error.strerror}; "
                f"give the gateway's user write access to that folder or choose another path",
                code="journal_not_writable",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise ConfigFault(
                f"bus.path: {journal} is in use by process {holder}; "
                f"stop that gateway or give this one a journal of its own",
                code="journal_in_use",
            ) from error
        os.ftruncate(self._file, 0)
        with suppress(OSError):  # a full disk: then the holder is not named
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would race with the next holder."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
