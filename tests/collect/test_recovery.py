"""The table of recoveries."""

import pytest

from gateway.collect.recovery import RECOVERY, Backoff, Pace, Scope, recovery
from gateway.model.faults import AuthFault, ConfigFault, Fault, LinkLost, OutOfStep, Timeout


def test_every_fault_class_has_its_row() -> None:
    classes = {Fault, OutOfStep, *Fault.__subclasses__()}
    assert classes == set(RECOVERY)


def test_a_subclass_recovers_as_its_base() -> None:
    class NoCarrier(LinkLost):
        pass

    assert recovery(NoCarrier("x")) is RECOVERY[LinkLost]


@pytest.mark.parametrize(
    ("fault", "scope", "pace"),
    [
        (ConfigFault("x"), Scope.DEVICE, Pace.NEVER),
        (AuthFault("x"), Scope.LINK, Pace.SLOW),
        (Timeout("x"), Scope.DEVICE, Pace.BACKOFF),
    ],
)
def test_rows(fault: Fault, scope: Scope, pace: Pace) -> None:
    assert (recovery(fault).scope, recovery(fault).pace) == (scope, pace)


def test_backoff_doubles_to_its_cap_with_jitter_and_starts_anew() -> None:
    backoff = Backoff(1, 10)
    for ideal in (1, 2, 4, 8, 10, 10):
        assert 0.75 * ideal <= backoff.wait() <= ideal
    assert 7.5 <= backoff.slow() <= 10
    backoff.reset()
    assert backoff.wait() <= 1
    assert len({Backoff(1, 10).wait() for _ in range(20)}) > 10, "gateways must not come back in step"
