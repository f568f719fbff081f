"""The gateway's clock: the system's time on a monotonic footing, and whether anybody vouches for it.

A frame is stamped with ``monotonic + offset``, so that no stamp depends on the very moment at which somebody sets the
clock, and stamping costs an addition. Once a second `Clock.look` compares the offset with the system's clock. While
nobody vouches for that clock, time runs in a numbered *stretch*: its frames say so and carry the number. When the right
time is known, a record tells by how much every such stretch was off; what was stored and sent by then stays as it is.

Intervals are never measured with this clock: they are on the monotonic one.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Final

import msgspec

from gateway.model.batch import Gap
from gateway.model.frame import FrameFlag, stretch_flags

LOOK_SECONDS: Final = 1.0
"""How often the system's clock is compared, and asked whether it is synchronised."""
STEP: Final = 50_000_000
"""ns: a greater difference means that the clock was set; a smaller one is followed. Daemons step from 128 ms on."""
SET_FROM: Final = 1_704_067_200 * 10**9
"""2024-01-01: whoever vouches for an earlier time is wrong: that clock has not been set since power came."""
MOST_STRETCHES: Final = 64
"""Stretches that may wait for the right time; of more, the oldest are given up."""
STRETCH_BITS: Final = 36
"""With the flags below it, a number that every language holds exactly, JavaScript's 53 bits included."""
_TRIES: Final = 5
_TIME_ERROR: Final = 5
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Stretch(msgspec.Struct):
    """An interval without steps in which nobody vouched for the clock."""

    number: int
    """Random, so that no two stretches of a gateway's life are taken for each other."""
    offset: int
    """System time less monotonic time, ns."""
    since: int
    """First and …"""
    until: int
    """… last moment, in its own time, ns since the Unix epoch."""


class Memory(msgspec.Struct):
    """What is kept in a file, for a gateway that is started again before the right time is known."""

    boot: str
    """Monotonic time is comparable within one boot of the machine only."""
    stretches: list[Stretch] = []
    """Those that wait for the right time; the last is the present one when nobody vouches for the clock."""


def vouched_by(setting: str) -> Callable[[], bool]:
    """Who says whether the system's clock is right: ``auto`` the kernel, ``always`` nobody needs to, or a file.

    The kernel knows from the daemon that disciplines it (chrony, systemd-timesyncd, ntpd, ptp4l), and takes its word
    back when somebody sets the clock. Where it cannot be asked, the clock is not known to be right.
    """
    if setting == "always":
        return lambda: True
    return _kernel() if setting == "auto" else Path(setting).exists


def _kernel() -> Callable[[], bool]:
    with suppress(OSError, AttributeError):
        ask = ctypes.CDLL(None).adjtimex
        query = ctypes.create_string_buffer(512)  # struct timex, 208 bytes; modes = 0: nothing is changed
        return lambda: 0 <= ask(query) < _TIME_ERROR
    return lambda: False


def boot_identity() -> str:
    """Which boot of the machine this is; empty where that is not known."""
    with suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


class Clock:
    """Wall time for frames. ``file``: where stretches are remembered for the next start; None: nowhere."""

    def __init__(
        self,
        vouched: Callable[[], bool],
        file: Path | None = None,
        *,
        boot: str | None = None,
        monotonic: Callable[[], int] = monotonic_ns,
        wall: Callable[[], int] = time_ns,
    ) -> None:
        self._vouched = vouched
        self._monotonic = monotonic
        self._wall = wall
        self._file = file
        self._boot = boot_identity() if boot is None else boot
        self._waiting: list[Stretch] = self._recall()
        self._present: Stretch | None = None
        self.offset = self._measure()
        """ns from monotonic to wall time, as it was at the last look."""
        self.known = self._enter(trusted=self._trustworthy(), stepped=False)
        """Corrections for stretches of runs before this one, known at the start: to be declared first."""

    @property
    def trusted(self) -> bool:
        """True while somebody vouches for the time."""
        return self._present is None

    @property
    def stretch(self) -> int:
        """Number of the present stretch; 0 while time is trusted."""
        return 0 if self._present is None else self._present.number

    @property
    def flags(self) -> int:
        """What frames that are stamped now must say."""
        return 0 if self._present is None else int(FrameFlag.TIME_UNTRUSTED) | stretch_flags(self._present.number)

    def now(self) -> int:
        """Wall time, ns since the Unix epoch."""
        return self._monotonic() + self.offset

    def look(self) -> list[Gap]:
        """Compare with the system's clock. Gives records to be declared when trust came or went, or time was set."""
        offset, trusted = self._measure(), self._trustworthy()
        step = offset - self.offset
        if abs(step) <= STEP and trusted == self.trusted:
            self.offset = offset
            return []
        last = self.now()
        was_trusted = self.trusted
        if self._present is not None:
            self._present.until = last
        self.offset = offset
        records = self._enter(trusted=trusted, stepped=abs(step) > STEP)
        if was_trusted and abs(step) > STEP:
            records.insert(0, Gap("clock_set", last, last + step, offset=step, into=self.stretch))
        return records

    def _enter(self, *, trusted: bool, stepped: bool) -> list[Gap]:
        """Begin to be trusted, or begin a stretch; `offset` is already that of the time that begins."""
        earlier, last = self._waiting, self._waiting[-1] if self._waiting else None
        if trusted:
            self._present, self._waiting = None, []
        elif last is not None and not stepped and abs(last.offset - self.offset) <= STEP:
            self._present, earlier = last, []  # a former run of the gateway began it
        else:
            now = self.now()
            self._present = Stretch(secrets.randbits(STRETCH_BITS) | 1, self.offset, now, now)
            self._waiting = [*earlier, self._present][-MOST_STRETCHES:]
        self._remember()
        return [self._correction(each, self.stretch) for each in earlier]

    def _correction(self, stretch: Stretch, into: int) -> Gap:
        offset = self.offset - stretch.offset
        return Gap("clock_set", stretch.since, stretch.until, clock=stretch.number, offset=offset, into=into)

    def _trustworthy(self) -> bool:
        return self._wall() >= SET_FROM and self._vouched()

    def _measure(self) -> int:
        """Wall less monotonic time: of some tries the one between whose readings the least time went by."""
        best = []
        for _ in range(_TRIES):
            before = self._monotonic()
            wall = self._wall()
            after = self._monotonic()
            best.append((after - before, wall - (before + after) // 2))
        return min(best)[1]

    def _recall(self) -> list[Stretch]:
        """Stretches that a former run left behind in this boot of the machine."""
        if self._file is None or not self._boot:
            return []
        with suppress(OSError, msgspec.DecodeError):
            memory = msgspec.json.decode(self._file.read_bytes(), type=Memory)
            if memory.boot == self._boot:
                for stretch in memory.stretches[-1:]:  # how long the gateway went on is not known
                    stretch.until = max(stretch.until, self._monotonic() + stretch.offset)
                return memory.stretches
        return []

    def _remember(self) -> None:
        """No fsync: whatever takes the page cache away also ends this boot, and then nothing here is of use."""
        if self._file is None:
            return
        with suppress(OSError):  # a disk that is full costs the correction of what a restart leaves behind, no more
            if not self._waiting:
                self._file.unlink(missing_ok=True)
                return
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_bytes(msgspec.json.encode(Memory(self._boot, self._waiting)))
            fresh.replace(self._file)
