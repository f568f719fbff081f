"""What a CPU says when it does not do what it was asked: return codes of items, error codes of telegrams, in words.

Names of the codes: Wireshark 4, dissector s7comm (item return values, error classes, parameter error codes); what they
mean in practice for 1200 and 1500: Siemens entry 82212115 and the README's table.
"""

from __future__ import annotations

from typing import Final

from gateway.model.faults import AuthFault, Busy, Fault, ProtocolFault, TagFault
from gateway.model.quality import Quality
from gateway.sdk.refusal import Refusal

PUT_GET: Final = (
    "in TIA Portal: CPU properties, Protection & Security, Connection mechanisms, tick 'Permit access with PUT/GET "
    "communication from remote partner', protection level full access, and download"
)
OPTIMISED: Final = (
    "a 1200 or 1500 says so too of a block that has 'Optimized block access' ticked in its properties: untick it, "
    "compile and download"
)


ITEMS: Final[dict[int, Refusal]] = {
    0x00: Refusal("reserved", TagFault, "device_failure", Quality.DEVICE_FAILURE),
    0x01: Refusal("hardware error", TagFault, "device_failure", Quality.DEVICE_FAILURE, narrow=True),
    0x03: Refusal("access to the object is not allowed", TagFault, "tag_refused", Quality.AUTH, narrow=True),
    0x05: Refusal("address out of range", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
    0x06: Refusal("data type not supported", TagFault, "function_refused", Quality.FUNCTION_REFUSED),
    0x07: Refusal("data type inconsistent", TagFault, "function_refused", Quality.FUNCTION_REFUSED),
    0x0A: Refusal("object does not exist", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
}
"""Return code of an item that is not 0xFF."""

CLASSES: Final[dict[int, Refusal]] = {
    0x81: Refusal("application relationship", AuthFault, "auth_refused", Quality.AUTH),
    0x82: Refusal("object definition", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
    0x83: Refusal("no resources available", Busy, "device_busy", Quality.BUSY),
    0x84: Refusal("error in the service's execution", TagFault, "device_failure", Quality.DEVICE_FAILURE, narrow=True),
    0x85: Refusal("error in what was supplied", ProtocolFault, "protocol_broken", Quality.PROTOCOL),
    0x87: Refusal("access error", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
}
"""Error class (upper byte) of a whole telegram, for codes that have no row of their own."""

_FUNCTION: Final = Refusal("", TagFault, "function_refused", Quality.FUNCTION_REFUSED)


def _function(title: str) -> Refusal:
    return Refusal(title, _FUNCTION.fault, _FUNCTION.code, _FUNCTION.quality)


ERRORS: Final[dict[int, Refusal]] = {
    0x0110: _function("invalid block type or number"),
    0x0112: _function("invalid parameter"),
    0x011A: Refusal("no PG resource", Busy, "device_busy", Quality.BUSY),
    0x011B: Refusal("no PLC resource", Busy, "device_busy", Quality.BUSY),
    0x011C: Refusal("protocol error", ProtocolFault, "protocol_broken", Quality.PROTOCOL),
    0x011F: Refusal("user buffer too short", ProtocolFault, "protocol_broken", Quality.PROTOCOL),
    0x0141: _function("request error"),
    0x01C0: _function("version mismatch"),
    0x01F0: _function("not implemented"),
    0x8001: Refusal("not possible in the CPU's present state", Busy, "device_busy", Quality.BUSY),
    0x8104: Refusal("function not available", AuthFault, "put_get_disabled", Quality.AUTH),
    0x8500: Refusal("telegram larger than the PDU", ProtocolFault, "protocol_broken", Quality.PROTOCOL),
    0xD209: Refusal("object does not exist", TagFault, "address_refused", Quality.ADDRESS_REFUSED),
    0xD241: Refusal("protected: a password is needed", AuthFault, "auth_refused", Quality.AUTH),
    0xD401: _function("no such system status list"),
    0xD402: _function("no such index in the system status list"),
    0xD403: _function("diagnostics already registered"),
    0xD404: Refusal("too many users", Busy, "device_busy", Quality.BUSY),
    0xD405: _function("syntax of the diagnostics function"),
    0xD406: _function("no such information"),
    0xD601: _function("syntax of the protection function"),
    0xD602: Refusal("wrong password", AuthFault, "auth_refused", Quality.AUTH),
    0xD604: _function("no password to clear"),
    0xD605: _function("no password to set"),
    0xD801: Refusal("invalid variable address", TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True),
    0xD802: _function("unknown request"),
    0xD803: _function("invalid request status"),
    0xDC01: _function("invalid value"),
}
"""Error class and code of a whole telegram."""

UNKNOWN: Final = Refusal("unknown error", TagFault, "device_failure", Quality.DEVICE_FAILURE)
"""Stands for every code that no table has."""


def refusal(code: int) -> Refusal:
    """Meaning of an item's return code (below 0x100) or of a telegram's error code, known or not."""
    if code < 0x100:
        return ITEMS.get(code, UNKNOWN)
    return ERRORS.get(code) or CLASSES.get(code >> 8, UNKNOWN)


def refusal_fault(code: int, what: str) -> Fault:
    """Fault for ``code`` in answer to ``what``."""
    why = refusal(code)
    message = f"{what}: the CPU answers {code:#04x} ({why.title})"
    if why.code == "put_get_disabled":
        message += f": PUT/GET is not permitted; {PUT_GET}"
    if why.code == "address_refused":
        message += f"; {OPTIMISED}"
    return why.as_fault(message)
