"""Quality codes are a public contract."""

import pytest

from gateway.model.faults import Busy, ConfigFault, Fault, ProtocolFault, TagFault, Timeout
from gateway.model.quality import Quality, is_bad, is_good, quality_label


def test_the_published_numbers_never_change() -> None:
    assert {quality.label: int(quality) for quality in Quality} == {
        "good": 0, "out_of_range": 0x40, "clamped": 0x41, "substituted": 0x42, "sensor_uncertain": 0x43,
        "not_connected": 0x80, "timeout": 0x81, "config": 0x82, "auth": 0x83, "busy": 0x84, "address_refused": 0x85,
        "function_refused": 0x86, "device_failure": 0x87, "protocol": 0x88, "undecodable": 0x89,
        "not_available": 0x8A, "sensor_failure": 0x8B, "internal": 0x8C,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "label", "good", "bad"),
    [(0, "good", True, False), (0x40, "out_of_range", False, False), (0x5A, "uncertain_0x5a", False, False),
     (0x80, "not_connected", False, True), (0xFF, "bad_0xff", False, True)],
)  # fmt: skip
def test_classes(code: int, label: str, good: bool, bad: bool) -> None:
    assert (quality_label(code), is_good(code), is_bad(code)) == (label, good, bad)


def test_every_fault_says_why_there_is_no_value() -> None:
    for kind in Fault.__subclasses__():
        assert is_bad(kind("x").quality)
    assert Busy("x", wait=3, code="slow").wait == 3
    assert len(ProtocolFault("x", data=bytes(1000)).data) == 256
    assert TagFault("x", quality=Quality.SENSOR_FAILURE).quality is Quality.SENSOR_FAILURE
    assert (ConfigFault("x", code="y").code, Timeout("x").code) == ("y", "no_answer")
