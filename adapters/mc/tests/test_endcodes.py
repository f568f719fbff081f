"""End codes: every one that a manual lists leads to one fault or quality, and every other to that of its range."""

from itertools import pairwise

import pytest

from adapters.mc.endcodes import END_CODES, RANGES, UNKNOWN, refusal, refusal_fault
from gateway.model.faults import AuthFault, Busy, Fault, ProtocolFault, TagFault, Timeout
from gateway.model.reasons import REASONS


def test_every_documented_code_is_listed():
    """Codes of the manuals, as another implementation has gathered them."""
    documented = set(pytest.importorskip("aslmp.errors.endcodes").END_CODES) - {0}
    assert len(documented) > 80
    assert {f"{code:04X}" for code in documented - set(END_CODES)} == set()


@pytest.mark.parametrize(
    "code", [*END_CODES, 0x3001, 0x4999, 0x7155, 0xB001, 0xCFFF, 0xD2A0, 0xE501, 0xF7C1, 1, 0x9000]
)
def test_every_code_leads_to_a_fault(code):
    why = refusal(code)
    fault = refusal_fault(code, "press")
    assert type(fault) is why.fault
    assert f"press: end code {code:04X} ({why.title})" == str(fault)
    assert fault.code == why.code
    assert why.code in REASONS
    if not isinstance(fault, Busy | ProtocolFault):
        assert fault.quality is why.quality


def test_ranges_do_not_overlap():
    for (_, last, _), (first, _, _) in pairwise(RANGES):
        assert last < first
    assert refusal(0x9000) is UNKNOWN


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x4031, TagFault),
        (0xC056, TagFault),
        (0xC059, TagFault),
        (0xC05E, Timeout),
        (0xC1A8, Timeout),
        (0xC0BD, Busy),
        (0xC201, AuthFault),
        (0xC061, ProtocolFault),
        (0xF000, Timeout),
    ],
)
def test_kinds(code, kind):
    assert type(refusal_fault(code, "x")) is kind
    assert issubclass(kind, Fault)


def test_only_what_a_smaller_read_may_mend_is_narrowed_down():
    assert all(why.fault is TagFault for why in END_CODES.values() if why.narrow)
    assert refusal(0xC056).narrow
    assert refusal(0x4123).narrow
    assert not refusal(0xC062).narrow
