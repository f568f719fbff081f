"""Missed polls become few, truthful gaps."""

from gateway.collect.missed import OVERRUN_EVERY, Missed
from gateway.model.batch import Gap

SECOND = 1_000_000_000


def test_an_outage_is_one_gap_from_the_last_success_to_the_next() -> None:
    missed = Missed(5)
    missed.covered = 10
    for _ in range(3):
        missed.add("outage")
    assert missed.settle("d", "1s", 40) == Gap("outage", 10, 40, device="d", group="1s", count=3)
    assert not missed.pending


def test_overruns_are_declared_at_most_once_a_minute_and_none_is_forgotten() -> None:
    missed = Missed(0)
    declared = []
    for second in range(1, 300):
        now = second * SECOND + OVERRUN_EVERY
        missed.add("overrun")
        gap = missed.settle("d", "1s", now)
        if gap:
            declared.append(gap)
        missed.covered = now
    final = missed.settle("d", "1s", 400 * SECOND, final=True)
    assert final is not None
    assert len(declared) == 5
    assert sum(gap.count for gap in [*declared, final]) == 299
    assert all(a.until >= b.since for a, b in zip(declared[1:], declared, strict=False))


def test_an_outage_outweighs_an_overrun_as_the_reason() -> None:
    missed = Missed(0)
    missed.add("overrun")
    missed.add("outage")
    missed.add("overrun")
    gap = missed.settle("d", "g", 9)
    assert gap is not None
    assert (gap.reason, gap.count) == ("outage", 3)
