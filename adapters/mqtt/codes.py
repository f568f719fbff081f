"""What a broker's reason codes mean for the gateway: tables from the standard to faults.

MQTT 5.0 clause 2.4 (reason codes), 3.2.2.2 (CONNACK), 3.9.3 (SUBACK), 3.14.2.1 (DISCONNECT); MQTT 3.1.1 clause 3.2.2.3
(CONNACK) and 3.9.3 (SUBACK). A code that stands in no table is a ProtocolFault.
"""

from __future__ import annotations

from typing import Final

from adapters.mqtt.codec import V5, Answer
from gateway.model.faults import AuthFault, ConfigFault, Fault, LinkLost, ProtocolFault

_Row = tuple[type[Fault], str, str]

_VERSION: Final[_Row] = (ConfigFault, "mqtt_version_refused", "the broker does not speak this version of MQTT")
_CLIENT_ID: Final[_Row] = (ConfigFault, "client_id_refused", "the broker does not accept the client id")
_CREDENTIALS: Final[_Row] = (AuthFault, "auth_refused", "the broker refuses user name or password")
_NOT_AUTHORISED: Final[_Row] = (AuthFault, "auth_refused", "the broker does not authorise this client")
_UNAVAILABLE: Final[_Row] = (LinkLost, "broker_unavailable", "the broker says that it is not available")
_BUSY: Final[_Row] = (LinkLost, "broker_busy", "the broker is busy")
_QUOTA: Final[_Row] = (LinkLost, "broker_quota", "the broker says that a quota is used up")
_BANNED: Final[_Row] = (AuthFault, "auth_banned", "the broker has banned this client")
_MOVED: Final[_Row] = (ConfigFault, "broker_moved", "the broker asks to use another server")
_RATE: Final[_Row] = (LinkLost, "broker_busy", "the broker limits the rate of connections")
_BROKEN: Final[_Row] = (ProtocolFault, "protocol_broken", "the broker says that we broke the protocol")
_UNSPECIFIED: Final[_Row] = (LinkLost, "link_lost", "the broker gives no reason")
_NO_WILDCARDS: Final[_Row] = (ConfigFault, "subscription_refused", "the broker has no wildcards in subscriptions")
_NO_SHARED: Final[_Row] = (ConfigFault, "subscription_refused", "the broker has no shared subscriptions")

CONNACK_311: Final[dict[int, _Row]] = {
    1: _VERSION,
    2: _CLIENT_ID,
    3: _UNAVAILABLE,
    4: _CREDENTIALS,
    5: _NOT_AUTHORISED,
}
CONNACK: Final[dict[int, _Row]] = {
    0x80: _UNSPECIFIED,
    0x81: _BROKEN,
    0x82: _BROKEN,
    0x83: (LinkLost, "broker_unavailable", "the broker refuses, for a reason of its own"),
    0x84: _VERSION,
    0x85: _CLIENT_ID,
    0x86: _CREDENTIALS,
    0x87: _NOT_AUTHORISED,
    0x88: _UNAVAILABLE,
    0x89: _BUSY,
    0x8A: _BANNED,
    0x8C: (AuthFault, "auth_refused", "the broker does not accept this way of authentication"),
    0x90: _BROKEN,
    0x95: _BROKEN,
    0x97: _QUOTA,
    0x99: _BROKEN,
    0x9A: _BROKEN,
    0x9B: _BROKEN,
    0x9C: _MOVED,
    0x9D: _MOVED,
    0x9F: _RATE,
}
SUBACK: Final[dict[int, _Row]] = {
    0x80: (AuthFault, "subscription_refused", "the broker refuses the subscription"),
    0x83: (AuthFault, "subscription_refused", "the broker refuses the subscription, for a reason of its own"),
    0x87: (AuthFault, "subscription_refused", "this client may not subscribe to it"),
    0x8F: (ConfigFault, "subscription_refused", "the broker does not accept the topic filter"),
    0x91: (ProtocolFault, "packet_id_in_use", "the packet id is in use"),
    0x97: _QUOTA,
    0x9E: _NO_SHARED,
    0xA1: _BROKEN,
    0xA2: _NO_WILDCARDS,
}
DISCONNECT: Final[dict[int, _Row]] = {
    0x00: (LinkLost, "link_lost", "the broker closed the connection"),
    0x80: _UNSPECIFIED,
    0x81: _BROKEN,
    0x82: _BROKEN,
    0x83: (LinkLost, "broker_unavailable", "the broker closed the connection, for a reason of its own"),
    0x87: _NOT_AUTHORISED,
    0x89: _BUSY,
    0x8B: (LinkLost, "broker_stopped", "the broker is being shut down"),
    0x8D: (LinkLost, "keepalive_expired", "the broker heard nothing from us in time"),
    0x8E: (LinkLost, "client_id_taken", "another client has connected with the same client id"),
    0x8F: _BROKEN,
    0x90: _BROKEN,
    0x93: _BROKEN,
    0x94: _BROKEN,
    0x95: _BROKEN,
    0x96: _RATE,
    0x97: _QUOTA,
    0x98: (LinkLost, "broker_unavailable", "the broker's operator closed the connection"),
    0x99: _BROKEN,
    0x9A: _BROKEN,
    0x9B: _BROKEN,
    0x9C: _MOVED,
    0x9D: _MOVED,
    0x9E: _NO_SHARED,
    0x9F: _RATE,
    0xA0: (LinkLost, "broker_quota", "the broker allows no longer connections"),
    0xA1: _BROKEN,
    0xA2: _NO_WILDCARDS,
}


def connect_fault(where: str, found: Answer, level: int) -> Fault | None:
    """Fault of a CONNACK; None when it accepts."""
    return _fault(CONNACK if level == V5 else CONNACK_311, where, found.reasons[0], found) if found.reasons[0] else None


def subscribe_fault(where: str, reason: int, found: Answer) -> Fault | None:
    """Fault of one filter's reason in a SUBACK; None when it was granted, with any quality of service."""
    return None if reason <= 2 else _fault(SUBACK, where, reason, found)


def disconnect_fault(where: str, found: Answer) -> Fault:
    """Fault of a DISCONNECT that the broker sent."""
    return _fault(DISCONNECT, where, found.reasons[0], found)


def _fault(table: dict[int, _Row], where: str, reason: int, found: Answer) -> Fault:
    unknown = (ProtocolFault, "protocol_broken", f"a reason that does not exist, {reason:#04x}")
    kind, code, words = table.get(reason, unknown)
    return kind(f"{where}: {words}{found.words}", code=code)
