"""What a lane learns about message sizes from links that break."""

from __future__ import annotations

from gateway.forward.ceiling import CUT_AFTER, DOUBT_AFTER, FLOOR, FORGET_AFTER, Ceiling


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_halves_only_after_repeated_losses_and_goes_alone_before():
    ceiling = Ceiling(Clock())
    assert ceiling.limit(1_000_000) == 1_000_000
    results = [ceiling.lost(200_000) for _ in range(CUT_AFTER)]
    assert results == [False] * (CUT_AFTER - 1) + [True]
    assert ceiling.limit(1_000_000) == 100_000
    assert ceiling.alone
    assert ceiling.lost(100_000)
    assert ceiling.limit(1_000_000) == 50_000
    ceiling.passed(50_000)
    assert not ceiling.alone
    assert ceiling.limit(1_000_000) == 50_000
    assert ceiling.limit(20_000) == 20_000


def test_a_size_that_has_passed_is_blamed_later():
    ceiling = Ceiling(Clock())
    ceiling.passed(200_000)
    results = [ceiling.lost(200_000) for _ in range(DOUBT_AFTER)]
    assert results == [False] * (DOUBT_AFTER - 1) + [True]
    assert ceiling.limit(10**6) == 100_000


def test_only_one_as_large_clears_the_one_in_question():
    ceiling = Ceiling(Clock())
    for _ in range(CUT_AFTER - 1):
        assert not ceiling.lost(50_000)
        ceiling.passed(5_000)
    assert ceiling.alone
    assert ceiling.lost(50_000)

    ceiling = Ceiling(Clock())
    for _ in range(20):
        assert not ceiling.lost(50_000)
        ceiling.passed(50_000)
    assert not ceiling.alone


def test_never_below_the_floor():
    ceiling = Ceiling(Clock())
    while ceiling.refused(ceiling.limit(1 << 20)):
        pass
    assert ceiling.limit(1 << 20) == FLOOR
    assert not ceiling.refused(FLOOR)


def test_what_was_learned_is_tried_again_after_an_hour():
    clock = Clock()
    ceiling = Ceiling(clock)
    assert ceiling.refused(100_000)
    assert ceiling.limit(10**6) == 50_000
    clock.now += FORGET_AFTER
    assert ceiling.limit(10**6) == 10**6
