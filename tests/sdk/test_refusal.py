"""A row of a table of error codes, as a fault."""

from gateway.model.faults import Busy, ProtocolFault, TagFault
from gateway.model.quality import Quality
from gateway.sdk.refusal import Refusal


def test_a_refusal_is_a_fault_with_its_code_and_quality():
    fault = Refusal("no such address", TagFault, "address_refused", Quality.ADDRESS_REFUSED).as_fault("D1: refused")
    assert (type(fault), str(fault), fault.code, fault.quality) == (
        TagFault,
        "D1: refused",
        "address_refused",
        Quality.ADDRESS_REFUSED,
    )
    for kind, code in ((Busy, "device_busy"), (ProtocolFault, "protocol_broken")):
        assert (type(fault := Refusal("x", kind, code, Quality.AUTH).as_fault("y")), fault.quality) == (
            kind,
            kind.quality,
        )
