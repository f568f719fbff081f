"""End codes: what a CPU, or a module on the way to it, says when it does not do what it was asked. Pure.

Sources: SLMP = SH(NA)-080956ENG-M, appendix; E = SH(NA)-081257ENG-AD (Ethernet), 3.5; F = JY997D55401 (iQ-F), appendix
3; MC = SH(NA)-080008-AB. Codes that no edition lists are told by the range they lie in: each range belongs to one kind
of module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.model.faults import AuthFault, Busy, Fault, ProtocolFault, TagFault, Timeout
from gateway.model.quality import Quality
from gateway.sdk.refusal import Refusal


def _address(title: str) -> Refusal:
    return Refusal(title, TagFault, "address_refused", Quality.ADDRESS_REFUSED, narrow=True)


def _function(title: str, *, narrow: bool = True) -> Refusal:
    return Refusal(title, TagFault, "function_refused", Quality.FUNCTION_REFUSED, narrow=narrow)


def _failure(title: str) -> Refusal:
    return Refusal(title, TagFault, "device_failure", Quality.DEVICE_FAILURE)


def _route(title: str) -> Refusal:
    return Refusal(title, Timeout, "route_refused", Quality.NOT_CONNECTED)


def _silent(title: str) -> Refusal:
    return Refusal(title, Timeout, "no_answer", Quality.TIMEOUT)


def _busy(title: str) -> Refusal:
    return Refusal(title, Busy, "device_busy", Quality.BUSY)


def _auth(title: str) -> Refusal:
    return Refusal(title, AuthFault, "auth_refused", Quality.AUTH)


def _broken(title: str) -> Refusal:
    return Refusal(title, ProtocolFault, "protocol_broken", Quality.PROTOCOL)


END_CODES: Final[dict[int, Refusal]] = {
    # any port (L: SH(NA)-080811ENG, built-in Ethernet, 5.4, and Ethernet module, 16.7.1)
    0x0002: _address("the range of a device is wrong"),
    0x0050: _broken("a subheader that the station does not know"),
    0x0051: _address("the first address is out of range"),
    0x0052: _address("too many words in one request"),
    0x0055: _function("writing in RUN is not enabled", narrow=False),
    # the CPU (F appendix 3; MC 8)
    0x4000: _broken("serial communication: wrong sum check"),
    0x4001: _function("the CPU does not do this request"),
    0x4002: _function("the CPU does not do this request"),
    0x4005: _address("too much data for one request"),
    0x4006: _busy("initial communication failed"),
    0x4010: _function("not while the CPU is in RUN", narrow=False),
    0x4013: _function("only while the CPU is in STOP", narrow=False),
    0x4021: _failure("the drive does not exist, or is broken"),
    0x4022: _address("the file does not exist"),
    0x4025: _busy("another tool uses the file"),
    0x4027: _address("the range is larger than the file"),
    0x4029: _failure("the file cannot be made as large"),
    0x402C: _busy("not possible at the moment"),
    0x4030: _address("the CPU does not have this kind of device"),
    0x4031: _address("the number of the device is out of range"),
    0x4032: _address("this device cannot be accessed in this way"),
    0x4034: _failure("the completion device of an instruction did not switch on"),
    0x4040: _function("the module does not do this request"),
    0x4041: _address("outside the buffer memory of the module"),
    0x4042: _failure("the module cannot be accessed"),
    0x4043: _address("no module at this position"),
    0x4053: _failure("writing to the drive failed"),
    0x4060: _busy("another tool is debugging or logging"),
    0x4064: _failure("wrong contents of an online change, a log or a monitor"),
    0x4068: _busy("another tool is doing this"),
    0x4080: _broken("wrong data in the request"),
    0x4081: _address("what was searched for is not there"),
    0x408B: _function("remote operation is not enabled", narrow=False),
    0x40A0: _address("SFC block out of range"),
    0x40A1: _address("SFC block out of range"),
    0x40A7: _address("SFC step out of range"),
    0x40A8: _address("SFC step out of range"),
    0x40B0: _failure("fault of an SFC file"),
    0x40B1: _failure("fault of an SFC file"),
    # the Ethernet port or module (SLMP appendix; E 3.5)
    0xC001: _failure("wrong IP settings of the station"),
    0xC012: _failure("two entries of the station have one TCP port"),
    0xC013: _failure("two entries of the station have one UDP port"),
    0xC015: _auth("the entry of the station is meant for another IP address"),
    0xC018: _auth("the entry of the station is meant for another IP address"),
    0xC020: _address("too long a message"),
    0xC021: _broken("abnormal answer in fixed buffer communication"),
    0xC022: _silent("no answer within the monitoring time"),
    0xC035: _silent("the partner was not found within the monitoring time"),
    0xC040: _broken("only a part of the request has arrived"),
    0xC050: _broken("ASCII is set, and the data is none"),
    0xC051: _address("too many bits in one request"),
    0xC052: _address("too many words in one request"),
    0xC053: _address("too many bits in one random request"),
    0xC054: _address("too many words in one random request"),
    0xC055: _address("too much file data in one request"),
    0xC056: _address("past the last number of this device"),
    0xC057: _broken("the length of the request does not fit its data"),
    0xC058: _broken("the length of the request does not fit its data, as ASCII"),
    0xC059: _function("command or subcommand is not supported"),
    0xC05A: _address("the station cannot access this device"),
    0xC05B: _address("the station cannot access this device"),
    0xC05C: _address("wrong contents, such as a device that this CPU does not have"),
    0xC05D: _function("nothing is registered for monitoring"),
    0xC05E: _silent("the CPU did not answer within the monitoring time"),
    0xC05F: _route("the target cannot do this request"),
    0xC060: _address("wrong contents for a bit device"),
    0xC061: _broken("the length of the request does not fit its data"),
    0xC062: _function("writing in RUN is not enabled", narrow=False),
    0xC06F: _broken("ASCII arrived where binary is set"),
    0xC070: _function("device extension is not possible for this target"),
    0xC071: _address("too many points for this target"),
    0xC072: _address("wrong contents, such as single bits of a word device"),
    0xC073: _function("the target cannot do this, such as pairs of words"),
    0xC074: _route("the target cannot do this request"),
    0xC075: _address("the request for labels is too long"),
    0xC0B2: _busy("no room in the receive buffer of a station on the way"),
    0xC0B3: _function("a request that cannot be done"),
    0xC0B5: _broken("data that CPU or module cannot deal with"),
    0xC0B6: _function("channel number out of range", narrow=False),
    0xC0B9: _failure("the connection is not open"),
    0xC0BA: _failure("the connection is being closed"),
    0xC0BC: _failure("the line is closed"),
    0xC0BD: _busy("requests come too fast"),
    0xC0D8: _function("too many blocks in one request"),
    0xC0D9: _function("wrong subcommand"),
    0xC0DE: _silent("nothing arrived within the monitoring time"),
    0xC1A4: _function("wrong command, subcommand or I/O number"),
    0xC1A5: _route("wrong target station"),
    0xC1A6: _failure("wrong connection number"),
    0xC1A7: _route("wrong network number"),
    0xC1A8: _route("wrong station number"),
    0xC1A9: _address("wrong number of a device"),
    0xC1AA: _address("wrong name of a device"),
    0xC200: _auth("wrong remote password"),
    0xC201: _auth("the port is locked with a remote password"),
    0xC202: _auth("another station is locked with a remote password"),
    0xC203: _auth("the remote password could not be checked"),
    0xC204: _auth("somebody else has unlocked the port"),
    0xC205: _auth("another station is locked with a remote password"),
    0xC810: _auth("wrong remote password"),
    0xC815: _auth("wrong remote password, ten times now"),
    0xC816: _auth("locked out after too many wrong remote passwords"),
    0xC86C: _busy("too many requests at the same time"),
    0xCEE0: _busy("devices are being detected"),
    0xCEE1: _broken("a wrong frame"),
    0xCEE2: _broken("a wrong frame"),
    0xCF10: _broken("a wrong frame"),
    0xCF20: _failure("a communication setting is out of range, or missing"),
}

RANGES: Final[tuple[tuple[int, int, Refusal], ...]] = (
    (0x3000, 0x3FFF, _silent("a network module on the way has failed")),
    (0x4000, 0x4FFF, Refusal("the CPU refuses", TagFault, "device_failure", Quality.DEVICE_FAILURE, narrow=True)),
    (0x7000, 0x7FFF, _silent("a serial module on the way has failed")),
    (0xB000, 0xBFFF, _silent("a CC-Link module on the way has failed")),
    (0xC000, 0xCFFF, _failure("the Ethernet port refuses")),
    (0xD000, 0xDFFF, _silent("a CC-Link IE field module on the way has failed")),
    (0xE000, 0xEFFF, _silent("a CC-Link IE controller module on the way has failed")),
    (0xF000, 0xFFFF, _silent("a MELSECNET module on the way has failed")),
)
"""First, last, meaning: who speaks in codes that are not listed one by one (E 3.5; MC 2)."""

UNKNOWN: Final = _failure("unknown end code")
"""Stands for every code that no edition defines."""


def _in_ranges(code: int, ranges: Iterable[tuple[int, int, Refusal]]) -> Refusal:
    return next((why for first, last, why in ranges if first <= code <= last), UNKNOWN)


def refusal(code: int) -> Refusal:
    """Meaning of an end code, known or not."""
    return END_CODES.get(code) or _in_ranges(code, RANGES)


def refusal_fault(code: int, what: str) -> Fault:
    """Fault for end code ``code`` in answer to ``what``."""
    why = refusal(code)
    message = f"{what}: end code {code:04X} ({why.title})"
    return why.as_fault(message)
