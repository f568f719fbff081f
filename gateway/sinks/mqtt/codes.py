"""What a broker's reason codes mean for a lane: tables from MQTT 5.0 clause 2.4 to faults.

MQTT 3.1.1 return codes of CONNACK (clause 3.2.2.3) arrive here translated to those of MQTT 5 by paho.
"""

from __future__ import annotations

import errno
import ssl
from typing import Final

from gateway.model.faults import AuthFault, Busy, ConfigFault, Fault, LinkLost
from gateway.sdk.sink import Rejected

_Row = tuple[type[Fault], str, str]

CONNACK: Final[dict[int, _Row]] = {
    0x84: (
        ConfigFault,
        "mqtt_version_refused",
        'the broker does not speak this version of MQTT: try protocol: "3.1.1"',
    ),
    0x85: (ConfigFault, "client_id_refused", "the broker does not accept the client id"),
    0x86: (AuthFault, "auth_refused", "the broker refuses user name or password"),
    0x87: (AuthFault, "auth_refused", "the broker does not authorise this client"),
    0x88: (LinkLost, "broker_unavailable", "the broker says that it is not available"),
    0x89: (LinkLost, "broker_busy", "the broker is busy"),
    0x8A: (AuthFault, "auth_banned", "the broker has banned this client"),
    0x8C: (AuthFault, "auth_refused", "the broker does not accept this way of authentication"),
    0x90: (ConfigFault, "topic_refused", "the broker refuses the topic of the status message (last will)"),
    0x95: (ConfigFault, "packet_too_large", "the broker finds even the connect packet too large"),
    0x97: (LinkLost, "broker_quota", "the broker says that a quota is used up"),
    0x9A: (ConfigFault, "retain_not_supported", "the broker keeps no retained messages, which status and schemas need"),
    0x9B: (ConfigFault, "qos_not_supported", "the broker has no QoS 1, without which nothing can be delivered safely"),
    0x9C: (ConfigFault, "broker_moved", "the broker asks to use another server"),
    0x9D: (ConfigFault, "broker_moved", "the broker has moved to another server"),
    0x9F: (LinkLost, "broker_busy", "the broker limits the rate of connections"),
}
"""Refusals of a connection."""

DISCONNECT: Final[dict[int, _Row]] = {
    0x87: (AuthFault, "auth_refused", "the broker ended the session: not authorised"),
    0x8B: (LinkLost, "broker_stopped", "the broker is shutting down"),
    0x8D: (LinkLost, "keepalive_expired", "the broker heard nothing in time"),
    0x8E: (LinkLost, "client_id_taken", "another client has connected with the same client id"),
    0x90: (ConfigFault, "topic_refused", "the broker refuses a topic"),
    0x93: (LinkLost, "receive_maximum_exceeded", "the broker says that too much was sent at once"),
    0x95: (LinkLost, "packet_too_large", "the broker says that a packet was too large"),
    0x97: (LinkLost, "broker_quota", "the broker says that a quota is used up"),
    0x98: (LinkLost, "broker_stopped", "the broker's operator ended the session"),
    0x9A: (ConfigFault, "retain_not_supported", "the broker keeps no retained messages, which status and schemas need"),
    0x9B: (ConfigFault, "qos_not_supported", "the broker has no QoS 1, without which nothing can be delivered safely"),
    0x9C: (LinkLost, "broker_moved", "the broker asks to use another server"),
    0x9D: (ConfigFault, "broker_moved", "the broker has moved to another server"),
}
"""Ends of a session that the broker explains."""

PUBACK: Final[dict[int, _Row]] = {
    0x87: (AuthFault, "publish_not_authorised", "the broker does not let this client publish to {topic}"),
    0x90: (ConfigFault, "topic_refused", "the broker refuses the topic {topic}"),
    0x91: (LinkLost, "packet_id_in_use", "the broker and this client disagree on what is in flight"),
    0x97: (Busy, "broker_quota", "the broker says that a quota is used up"),
}
"""Refusals of one message that do not speak against the message. All others do: the message is rejected."""

TLS_VERIFY: Final[dict[int, tuple[str, str]]] = {
    9: ("tls_not_yet_valid", "the broker's certificate is not valid yet: is this machine's clock right?"),
    10: ("tls_expired", "the broker's certificate has expired"),
    62: ("tls_hostname", "the broker's certificate is for another name"),
    64: ("tls_hostname", "the broker's certificate is for another address"),
}
"""OpenSSL's X509_V_ERR codes; all others: not signed by an authority that we trust."""


def connect_fault(code: int, name: str) -> Fault:
    """Fault of a CONNACK that says no."""
    kind, reason, text = CONNACK.get(code, (LinkLost, "connect_refused", f"the broker refuses the connection: {name}"))
    return kind(text, code=reason)


def disconnect_fault(code: int, name: str) -> Fault:
    """Fault of a DISCONNECT that the broker sent."""
    kind, reason, text = DISCONNECT.get(code, (LinkLost, "link_lost", f"the broker ended the session: {name}"))
    return kind(text, code=reason)


def publish_error(code: int, name: str, topic: str) -> Fault | Rejected:
    """Fault or rejection of a PUBACK from 0x80 on."""
    if code in PUBACK:
        kind, reason, text = PUBACK[code]
        return kind(text.format(topic=topic), code=reason)
    reason = "payload_refused" if code == 0x99 else "rejected_by_platform"
    return Rejected(f"the broker rejects a message to {topic}: {name} ({code:#04x})", code=reason)


def transport_fault(error: BaseException | None, where: str) -> Fault:
    """Fault of an error met while connecting."""
    if isinstance(error, ssl.SSLCertVerificationError):
        untrusted = ("tls_untrusted", f"the broker's certificate is not trusted: {error.verify_message}")
        code, text = TLS_VERIFY.get(error.verify_code, untrusted)
        return AuthFault(f"{where}: {text}", code=code)
    if isinstance(error, ssl.SSLError):
        return LinkLost(f"{where}: TLS failed: {error.reason or error}", code="tls_failed")
    if isinstance(error, TimeoutError):
        return LinkLost(f"{where}: no answer", code="connect_timeout")
    if isinstance(error, ConnectionRefusedError):
        return LinkLost(f"{where}: connection refused", code="connect_refused")
    if isinstance(error, OSError):
        code = "descriptors_exhausted" if error.errno in {errno.EMFILE, errno.ENFILE} else "link_lost"
        return LinkLost(f"{where}: {error.strerror or error}", code=code)
    return LinkLost(f"{where}: {error}", code="link_lost")
