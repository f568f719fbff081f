"""What the suite is told is true: vectors, codes, receivers; and the rules that need no device hold."""

import pytest

from adapters.s7.conformance import subject
from gateway.model.faults import Fault, ProtocolFault
from gateway.model.quality import Quality


@pytest.mark.parametrize("vector", subject.vectors, ids=lambda vector: f"{vector.service}, {vector.source}"[:40])
def test_vectors(vector):
    expected = bytes.fromhex(vector.expected) if isinstance(vector.expected, str) else vector.expected
    assert vector.made() == expected


def test_every_code_is_a_fault_or_a_quality():
    for code in subject.codes:
        found = subject.mapped(code)
        assert isinstance(found, Quality) or issubclass(found, Fault)
    with pytest.raises(KeyError):
        subject.mapped(0xEE01)


def test_receivers_take_bytes():
    for make in subject.receivers:
        assert not make().feed(b"\x03")
        with pytest.raises(ProtocolFault):
            make().feed(b"GET / HTTP/1.1")


def test_the_corpus_is_planned_near_the_optimum(kit):
    from adapters.s7 import adapter

    tags = [kit.tag(row["address"], row["type"], name=row["name"]) for row in subject.corpus]
    plan = adapter(kit.connection()).plan(kit.device(), tags)
    assert len(plan.requests) <= subject.requests_most
    assert {tag for telegram in plan.requests for tag in telegram.tags} == set(range(len(tags)))
