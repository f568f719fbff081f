"""A share of a core is what a process gets, and afterwards all of it again."""

import sys
import time

import pytest

from benchmarks.machine import cpu_seconds_of
from benchmarks.slower import slower


@pytest.fixture
def busy(spawn):
    process = spawn("-c", "print('on', flush=True)\nwhile True: pass")
    assert process.stdout.readline() == "on\n"
    return process.pid


def used(pid, seconds):
    before, began = cpu_seconds_of(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds_of(pid) - before) / (time.monotonic() - began)


@pytest.mark.skipif(sys.platform != "linux", reason="CPU clocks of other processes")
def test_a_share_of_a_core(busy):
    with slower([busy], 0.1):
        time.sleep(0.3)
        held_back = used(busy, 1.0)
    assert 0.02 < held_back < 0.2
    assert used(busy, 1.0) > 0.2
