"""What is given up when the bus is full or old, and how that is declared. Pure choice: the writer does the deleting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

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


class Extents(Protocol):
    """The one question that a policy asks of a store."""

    def __call__(self, first: int, last: int, count: int) -> list[Extent]:
        """Rows from place ``first`` to ``last``, oldest first, at most ``count``."""


Policy = Callable[[Extents, int, int], list[Extent]]
"""(extents, bytes to free, newest place) → what goes. May free less: then it is asked again."""


def drop_oldest(extents: Extents, need: int, newest: int) -> list[Extent]:
    """The oldest, as many as it takes."""
    return _until(need, extents(0, newest, CHUNK))


def keep_all(extents: Extents, need: int, newest: int) -> list[Extent]:  # noqa: ARG001 - a Policy
    """Nothing: readers wait instead."""
    return []


class ThinOut:
    """Every second batch of the older half, and again from the oldest when the middle is reached."""

    def __init__(self) -> None:
        self._at = 0

    def __call__(self, extents: Extents, need: int, newest: int) -> list[Extent]:
        """See `Policy`."""
        oldest = extents(0, newest, 1)
        if not oldest:
            return []
        middle = (oldest[0].place + newest) // 2
        if not oldest[0].place <= self._at < middle:
            self._at = oldest[0].place
        older = extents(self._at, middle, 2 * CHUNK)
        chosen = _until(need, older[1::2])
        if not chosen:  # the older half is a single batch: nothing left to thin
            self._at = 0
            return _until(need, oldest)
        self._at = chosen[-1].place + 1
        return chosen


def policy_for(when_full: WhenFull) -> Policy:
    """The policy by its name in the configuration."""
    table: dict[WhenFull, Callable[[], Policy]] = {
        WhenFull.DROP_OLDEST: lambda: drop_oldest,
        WhenFull.THIN_OUT: ThinOut,
        WhenFull.STOP_READING: lambda: keep_all,
    }
    return table[when_full]()


def too_old(extents: Extents, before: int, newest: int) -> list[Extent]:
    """Batches closed before ``before`` (ns), from the oldest on."""
    chosen = []
    for each in extents(0, newest, CHUNK):
        if not each.closed < before:
            break
        if each.closed >= CLOCK_SET:
            chosen.append(each)
    return chosen


def _until(need: int, candidates: Iterable[Extent]) -> list[Extent]:
    chosen = []
    for each in candidates:
        if need <= 0:
            break
        chosen.append(each)
        need -= each.size
    return chosen


def overflow_gaps(dropped: Sequence[Extent], identity: Callable[[int], tuple[int, int]], detail: str) -> list[Gap]:
    """One gap for each epoch among the dropped; its count is the values really given up.

    ``identity`` gives (epoch, seq) of a place.
    """
    gaps: dict[int, Gap] = {}
    for each in dropped:
        epoch, seq = identity(each.place)
        gap = Gap("overflow", each.first_time, each.last_time, "", "", each.points, seq, seq, epoch, detail)
        gaps[epoch] = _join(gaps[epoch], gap) if epoch in gaps else gap
    return list(gaps.values())


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
