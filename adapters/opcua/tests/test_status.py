"""Status codes: every one of the standard has its meaning, for a value and for a request."""

import numpy as np
import pytest
from asyncua.ua.status_codes import StatusCodes

from adapters.opcua import status
from gateway.model.quality import is_bad, is_good
from gateway.sdk import AuthFault, Busy, ConfigFault, Fault, LinkLost, ProtocolFault, Quality, TagFault, Timeout

CODES = {name: int(code) for name, code in vars(StatusCodes).items() if name[0].isupper()}


def test_every_code_of_the_standard_is_in_the_table():
    assert {code: row[0] for code, row in status.STATUS.items()} == {code: name for name, code in CODES.items()}


@pytest.mark.parametrize("name", sorted(CODES))
def test_severity_and_fault_agree(name):
    code = CODES[name]
    quality = status.quality(code)
    assert is_good(quality) == (code >> 30 == 0)
    assert is_bad(quality) == status.is_bad(code)
    if status.is_bad(code):
        fault = status.fault(code, "here")
        assert isinstance(fault, Fault)
        assert name in str(fault)
        assert not isinstance(fault, ConfigFault) or name.startswith(("BadServer", "BadTcpEndpoint"))


@pytest.mark.parametrize(
    ("name", "quality", "kind"),
    [
        ("BadNodeIdUnknown", Quality.ADDRESS_REFUSED, TagFault),
        ("BadSensorFailure", Quality.SENSOR_FAILURE, TagFault),
        ("BadNotConnected", Quality.NOT_CONNECTED, LinkLost),
        ("BadWaitingForInitialData", Quality.NOT_AVAILABLE, TagFault),
        ("BadUserAccessDenied", Quality.AUTH, AuthFault),
        ("BadTooManySessions", Quality.BUSY, Busy),
        ("BadTimeout", Quality.TIMEOUT, Timeout),
        ("BadSessionIdInvalid", Quality.NOT_CONNECTED, LinkLost),
        ("BadDecodingError", Quality.UNDECODABLE, ProtocolFault),
        ("UncertainLastUsableValue", Quality.SENSOR_UNCERTAIN, LinkLost),
        ("UncertainSubstituteValue", Quality.SUBSTITUTED, LinkLost),
        ("UncertainEngineeringUnitsExceeded", Quality.OUT_OF_RANGE, LinkLost),
    ],
)
def test_meanings(name, quality, kind):
    assert status.quality(CODES[name] | 0x480) is quality
    if name.startswith("Bad"):
        assert isinstance(status.fault(CODES[name], "here"), kind)


def test_codes_of_tomorrow_are_judged_by_their_severity():
    assert [status.quality(code) for code in (0x0FFF0000, 0x4FFF0000, 0x8FFF0000, 0xCFFF0000)] == [
        Quality.GOOD,
        Quality.SENSOR_UNCERTAIN,
        Quality.NOT_AVAILABLE,
        Quality.NOT_AVAILABLE,
    ]
    assert isinstance(status.fault(0x8FFF0000, "here"), LinkLost)
    assert "0x8fff0000" in status.name(0x8FFF0000)


def test_columns_of_codes():
    found = status.qualities(np.array([0, 0x808C0000, 0, 0x80340480], np.uint32))
    assert found.tolist() == [0, Quality.SENSOR_FAILURE, 0, Quality.ADDRESS_REFUSED]
