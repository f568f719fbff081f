"""The account of many ends of a gateway in one run: kills, power cuts, orderly stops, all against one journal.

At each end the journal is copied, while nobody writes to it, and read with plain SQLite: what it holds was committed.
What each device had served by then, and when, is noted too, so that in the end every poll that never arrived belongs
to one end, has an age at it, and must lie in a declared gap. The plant has one block of registers per device.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np

from benchmarks.campaign.scenario import COMMIT_WINDOW, Course, Outcome, wait
from benchmarks.pattern import Ints
from benchmarks.processes import Plant, Unfit
from benchmarks.verify import Verifier

STAMP_SLACK: Final = 250_000_000
"""ns between a device's answer, as the device has it, and the time that the gateway gives to the frame, at most."""
AFTER: Final = 100_000_000
"""ns that devices go on answering what a dead gateway had asked."""

Poll = tuple[int, int]
"""Device, and how often it was served by then."""


@dataclass(frozen=True)
class End:
    """One end of the gateway."""

    phase: str
    at: int
    """ns since the Unix epoch."""
    served: Ints
    """Polls by device, when nothing was asked any more."""
    times: list[Ints]
    """When each poll since the end before was served, by device."""
    place: int
    """Newest batch in the journal, as read after the end."""


@dataclass
class Ends:
    """All ends of one run, in order."""

    run: Plant
    course: Course
    journal: Path
    ends: list[End] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    """Seconds from the start of the process to the first value that arrives, where that was waited for."""
    _bodies: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _changed: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        pattern = self.course.pattern
        if pattern.blocks != 1:
            raise ValueError(f"one block per device is expected: at most {pattern.longest_read} registers")
        self.committed = Verifier(pattern, self.run.devices.board)

    def start(self) -> float:
        """Start the gateway: when that was, monotonic seconds."""
        self.run.gateway.start()
        return time.monotonic()

    def wait(self, until: Callable[[], bool], what: str, deadline: float = 60.0) -> None:
        """Wait until something holds. Raises Unfit when it never does, or when the gateway ends by itself."""
        began = time.monotonic()
        while not until():
            _ = self.run.gateway.running
            if time.monotonic() - began > deadline:
                raise Unfit(f"{what}: not within {deadline:g} s\n{self.run.gateway.tail()}")
            time.sleep(0.003)

    def opened(self) -> bool:
        """True when the journal belongs to the gateway's present process: its recovery begins."""
        lock = self.journal.with_name(self.journal.name + ".lock")
        pid = str(self.run.gateway.pid)
        return lock.exists() and lock.read_text().strip() == pid

    def arrived(self) -> int:
        """Points that reached the subscriber."""
        return int(self.run.subscriber.ask("mark")["points"])

    def begin(self) -> None:
        """Start the gateway, and wait until something new arrives: not what a broker had kept for the subscriber."""
        began = self.start()
        self.wait(self.opened, "the journal is not opened")
        before = self.arrived()
        self.wait(lambda: self.arrived() > before, "nothing arrives")
        self.starts.append(time.monotonic() - began)

    def kill(self, phase: str) -> End:
        """SIGKILL, then take the account."""
        at = time.time_ns()
        self.run.gateway.kill()
        return self.note(phase, at)

    def note(self, phase: str, at: int) -> End:
        """Take the account of an end: what was served, and what the journal holds. Nobody may have it open."""
        self._settle()
        board = self.run.devices.board
        served = board.served.copy()
        before = self.ends[-1].served if self.ends else np.zeros_like(served)
        times = [
            board.times(np.full(last - first, device), np.arange(first + 1, last + 1))
            for device, (first, last) in enumerate(zip(before, served, strict=True))
        ]
        end = End(phase, at, served, times, self.read())
        self.ends.append(end)
        return end

    def _settle(self) -> None:
        """Wait until the devices have answered what they had been asked."""
        board, last = self.run.devices.board, -1
        while (now := int(board.served.sum())) != last:
            last = now
            time.sleep(0.02)

    def read(self) -> int:
        """Read a copy of the journal; place of its newest batch, 0 where there is none yet."""
        copy = self.run.folder / "journal-copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for suffix in ("", "-wal"):
            file = self.journal.with_name(self.journal.name + suffix)
            if file.exists():
                shutil.copy(file, copy / ("journal.db" + suffix))
        if not (copy / "journal.db").exists():
            return 0
        with closing(sqlite3.connect(copy / "journal.db")) as journal:
            if not journal.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'batch'").fetchone()[0]:
                return 0
            for (encoded,) in journal.execute("SELECT body FROM schema"):
                self.committed.schema(blake2b(encoded, digest_size=8).hexdigest(), encoded)
            for epoch, seq, body in journal.execute("SELECT epoch, seq, body FROM batch ORDER BY place"):
                self._take(epoch, seq, body)
            return place_in(journal)

    def _take(self, epoch: int, seq: int, body: bytes) -> None:
        digest = blake2b(body, digest_size=16).digest()
        known = self._bodies.setdefault((epoch, seq), digest)
        if known != digest:
            self._changed.append((epoch, seq))
        elif (epoch, seq, 0) not in self.committed.batches:
            self.committed.data(msgpack.packb((1, "bench", epoch, seq, 0, 1, body)), time.time_ns())

    # Judging

    def judge(self, outcome: Outcome, report: dict[str, Any], *, strict: bool = True) -> None:
        """Make the checks. Not ``strict``: what was committed may be lost too, and is counted (a weaker journal)."""
        missing = [self._placed(poll) for poll in _polls(report["missing"])]
        gaps = report["gaps"]
        known = [poll for poll, _, _ in missing if self._kept(poll) and not _given_up(gaps, self._time(poll))]
        killed = [(poll, end, at) for poll, end, at in missing if not _given_up(gaps, at)]
        ages = [(end.at - at) / 1e9 for _, end, at in killed]
        undeclared = [(poll, end.phase, at) for poll, end, at in missing if not _declared(gaps, at)]
        scattered = self._scattered({poll for poll, _, _ in killed})
        width = self.course.pattern.width
        outcome.check("a number is never given out twice", not self._changed, self._changed[:5])
        if strict:
            outcome.check("nothing that was committed is lost", not known, known[:5])
            early = [
                (poll, round(age, 2)) for (poll, _, _), age in zip(killed, ages, strict=True) if age > COMMIT_WINDOW
            ]
            outcome.check(f"only the last {COMMIT_WINDOW:g} s before an end may be missing", not early, early[:5])
            outcome.check("what is missing before an end is its last moment, unbroken", not scattered, scattered[:5])
        outcome.check("what is missing lies in a declared gap", not undeclared, undeclared[:5])
        oldest = self._oldest(killed)
        outcome.lost = (len(known) + len(undeclared)) * width if strict else len(killed) * width
        outcome.declared = report["lost"] - outcome.lost
        outcome.recovery = round(float(np.median(self.starts)), 2) if self.starts else None
        outcome.figures |= {
            "ends": len(self.ends),
            "ends_by_phase": {phase: sum(each.phase == phase for each in self.ends) for phase in self._phases},
            "committed_batches_read": len(self.committed.batches),
            "lost_points": outcome.lost,
            "declared_points": outcome.declared,
            "uncommitted_window_ms": _spread([age * 1e3 for age in oldest]),
            "start_to_first_value_s": _spread(self.starts),
        }

    @property
    def _phases(self) -> list[str]:
        return sorted({end.phase for end in self.ends})

    def _placed(self, poll: Poll) -> tuple[Poll, End, int]:
        """The end that a poll belongs to, and when it was served."""
        device, count = poll
        number = int(np.searchsorted([end.served[device] for end in self.ends], count))
        end = self.ends[min(number, len(self.ends) - 1)]
        at = len(end.times[device]) - 1 - int(end.served[device] - count)
        return poll, end, int(end.times[device][at]) if 0 <= at < len(end.times[device]) else time.time_ns()

    def _time(self, poll: Poll) -> int:
        return self._placed(poll)[2]

    def _kept(self, poll: Poll) -> bool:
        device, count = poll
        return self.committed.has(device, count, count)

    def _scattered(self, missing: set[Poll]) -> list[Poll]:
        """Missing polls behind which a poll arrived before the same end."""
        found = []
        for device, count in sorted(missing):
            _, end, _ = self._placed((device, count))
            if count < end.served[device] and (device, count + 1) not in missing:
                found.append((device, count))
        return found

    def _oldest(self, missing: list[tuple[Poll, End, int]]) -> list[float]:
        """Seconds that the loss reaches back, for each end that lost something."""
        reach: dict[int, float] = {}
        for _, end, at in missing:
            reach[end.at] = max(reach.get(end.at, 0.0), (end.at - at) / 1e9)
        return list(reach.values())


def place_in(journal: sqlite3.Connection) -> int:
    """Place of the newest batch ever committed; 0 where the journal was not used yet."""
    row = journal.execute("SELECT value FROM state WHERE name = 'journal'").fetchone()
    return int(json.loads(row[0]).get("place", 0)) if row else 0


def _polls(runs: list[list[int]]) -> Iterator[Poll]:
    for device, first, last, *_ in runs:
        for count in range(first, last + 1):
            yield device, count


def _given_up(gaps: list[dict[str, Any]], at: int) -> bool:
    """True for what a full bus had to let go, in so many words."""
    return _declared([gap for gap in gaps if gap["reason"] == "overflow"], at)


def _declared(gaps: list[dict[str, Any]], at: int) -> bool:
    return any(gap["since"] - STAMP_SLACK <= at <= gap["until"] + AFTER for gap in gaps)


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, most = np.percentile(values, [50, 100]).tolist()
    return {"p50": round(p50, 2), "max": round(most, 2)}


def still(run: Plant, seconds: float = 0.5) -> None:
    """Wait until the subscriber gets nothing any more."""
    last = -1
    while (now := int(run.subscriber.ask("mark")["batches"])) != last:
        last = now
        wait(lambda: False, seconds)
