"""What is given up when the bus is full or old, and how that is declared. Pure choice: the writer does the deleting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from gateway.bus.cursor import FAR
from gateway.bus.store import Extent
from gateway.config.root import WhenFull
from gateway.model.batch import Gap

CHUNK: Final = 512
"""Most batches given up by one commit."""
SLACK: Final = 100
"""When something must go, one part in so many of the limit goes at once: few gap records instead of many."""
CLOCK_SET: Final = 1_704_067_200 * 10**9
"""2024-01-01: a batch closed before that was stamped by a clock that nobody had set; its age is not known."""
THINNED: Final = "every second batch of an interval"
"""Detail of a gap whose seqs are not all missing: what arrives from within it is good."""
MAX_CARRIED: Final = 1000
"""Gap records taken over from batches that are given up; beyond that they are merged by reason, device and group."""


class Held(Protocol):
    """What a policy may ask: the rows held, less those that go anyway."""

    def extents(self, first: int, last: int, count: int) -> list[Extent]:
        """Rows from place ``first`` to ``last``, oldest first, at most ``count``."""

    def median(self) -> int:
        """Place of the row with as many rows before it as behind it; 0 when there is none. Slow."""


Policy = Callable[[Held, int], list[Extent]]
"""(what is held, bytes to free) → what goes. May free less: then it is asked again."""


def drop_oldest(held: Held, need: int) -> list[Extent]:
    """The oldest, as many as it takes."""
    chosen = []
    for each in held.extents(0, FAR, CHUNK):
        if need <= 0:
            break
        chosen.append(each)
        need -= each.size
    return chosen


def keep_all(held: Held, need: int) -> list[Extent]:  # noqa: ARG001 - a Policy
    """Nothing: readers wait instead."""
    return []


class ThinOut:
    """Every second batch of the older half, and again from the oldest when the middle is reached.

    Batches that hold gap records alone are all taken on the way: their records are merged and written again.
    """

    def __init__(self) -> None:
        self._at = self._middle = 0
        self._spare = True

    def __call__(self, held: Held, need: int) -> list[Extent]:
        """See `Policy`."""
        older = held.extents(self._at, self._middle, 2 * CHUNK) if self._at < self._middle else []
        if not older:
            self._at, self._middle, self._spare = 0, held.median(), True
            older = held.extents(0, self._middle, 2 * CHUNK)
        chosen = []
        for each in older:
            if need <= 0:
                break
            self._at = each.place + 1
            if each.points:
                self._spare = not self._spare
                if not self._spare:
                    continue
                need -= each.size
            chosen.append(each)
        # Too little is held to be thinned.
        return chosen or (drop_oldest(held, 1) if len(older) <= 1 else [])


def policy_for(when_full: WhenFull) -> Policy:
    """The policy by its name in the configuration."""
    table: dict[WhenFull, Callable[[], Policy]] = {
        WhenFull.DROP_OLDEST: lambda: drop_oldest,
        WhenFull.THIN_OUT: ThinOut,
        WhenFull.STOP_READING: lambda: keep_all,
    }
    return table[when_full]()


def too_old(held: Held, before: int) -> list[Extent]:
    """Batches closed before ``before`` (ns), from the oldest on."""
    chosen = []
    for each in held.extents(0, FAR, CHUNK):
        if not each.closed < before:
            break
        if each.closed >= CLOCK_SET:
            chosen.append(each)
    return chosen


def overflow_gaps(dropped: Sequence[Extent], identity: Callable[[int], tuple[int, int]], detail: str) -> list[Gap]:
    """One gap for each batch, to be merged. ``identity`` gives (epoch, seq) of a place."""
    gaps = []
    for each in dropped:
        epoch, seq = identity(each.place)
        gaps.append(Gap("overflow", each.first_time, each.last_time, "", "", each.points, seq, seq, epoch, detail))
    return gaps


def merge(gaps: Iterable[Gap]) -> list[Gap]:
    """Join overflow gaps that touch, so that a long outage is a few records; keep the others, up to a bound."""
    joined: list[Gap] = []
    others: list[Gap] = []
    for gap in sorted(gaps, key=lambda each: (each.epoch, each.first_seq, each.since)):
        if gap.reason != "overflow" or gap.device:
            others.append(gap)
        elif joined and _touch(joined[-1], gap):
            joined[-1] = _join(joined[-1], gap)
        else:
            joined.append(gap)
    if len(others) > MAX_CARRIED:
        by_what: dict[tuple[str, str, str], Gap] = {}
        for gap in others:
            key = (gap.reason, gap.device, gap.group)
            by_what[key] = _join(by_what[key], gap) if key in by_what else gap
        others = list(by_what.values())
    return [*others, *joined]


def _touch(left: Gap, right: Gap) -> bool:
    if left.epoch != right.epoch or left.detail != right.detail:
        return False
    return right.first_seq <= left.last_seq + 1 or left.detail == THINNED


def _join(left: Gap, right: Gap) -> Gap:
    seqs = [seq for seq in (left.first_seq, right.first_seq) if seq]
    return msgspec.structs.replace(
        left,
        since=min(left.since, right.since),
        until=max(left.until, right.until),
        count=left.count + right.count,
        first_seq=min(seqs, default=0),
        last_seq=max(left.last_seq, right.last_seq),
    )
