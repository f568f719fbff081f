"""Settings of the MQTT sink."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.config.base import Model, SinkConfig
from gateway.config.fields import Duration, Port, Secret, Size
from gateway.sdk.sink import Topics

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_NOT_IN_TOPIC: Final = re.compile(r"[+#\s\x00-\x1f\x7f]")
_MUST_HOLD: Final = {"data": (), "schema": ("schema",), "status": (), "device_status": ("device",)}
_DEFAULT: Final = Topics()
MAX_PACKET: Final = 268_435_460
"""Largest packet that MQTT can carry: MQTT 5 clause 2.1.4, remaining length 268,435,455 and the five bytes before."""


def _topic(template: str) -> str:
    if _NOT_IN_TOPIC.search(_PLACEHOLDER.sub("", template)) or template.startswith("$"):
        raise ValueError("a topic without +, #, white space or a leading $")
    return template


Topic = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_topic)]


class TopicsConfig(Model):
    """Topic templates. {gateway} may stand in each, {schema} in schema, {device} in device_status."""

    data: Topic = _DEFAULT.data
    """Batches."""
    schema_: Annotated[Topic, Field(alias="schema")] = _DEFAULT.schema
    """Schemas, retained; must contain {schema}."""
    status: Topic = _DEFAULT.status
    """Whether the gateway is there: retained, and the last will."""
    device_status: Topic = _DEFAULT.device_status
    """State of each device, retained; must contain {device}."""

    @model_validator(mode="after")
    def _placeholders(self) -> TopicsConfig:
        for name, required in _MUST_HOLD.items():
            template = getattr(self, "schema_" if name == "schema" else name)
            found = set(_PLACEHOLDER.findall(template))
            for unknown in sorted(found - {"gateway", *required}):
                raise ValueError(f"{name}: {{{unknown}}} is not known; there is {{gateway}}" + _also(required))
            for missing in sorted(set(required) - found):
                raise ValueError(f"{name}: must contain {{{missing}}}, or all would share one topic")
        return self

    def topics(self) -> Topics:
        """Return the templates as lanes use them."""
        return Topics(self.data, self.schema_, self.status, self.device_status)


def _also(required: tuple[str, ...]) -> str:
    return "".join(f", {{{name}}}" for name in required)


class TlsConfig(Model):
    """Transport encryption. The server is verified unless told otherwise."""

    ca: Path | None = None
    """PEM file of the certificate authorities to trust; default: the system's."""
    cert: Path | None = None
    """PEM file of the gateway's own certificate, for platforms that ask for one."""
    key: Path | None = None
    """PEM file of its private key."""
    key_password: Secret | None = None
    """Password of the private key."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name that the server's certificate must carry; default: the host."""
    verify: bool = True
    """false: believe whoever answers. For a test bench only."""

    @model_validator(mode="after")
    def _pairs(self) -> TlsConfig:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both or neither")
        return self


class MqttSinkConfig(SinkConfig):
    """An MQTT broker."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]
    """Name or address of the broker."""
    port: Port | None = None
    """Default: 8883 with tls, 1883 without."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Version of MQTT; "3.1.1" for brokers that do not speak 5."""
    client_id: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    """Default: made of the gateway's id and the lane's name. Two clients with one id throw each other out."""
    username: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """User name."""
    password: Annotated[Secret, Field(max_length=8192)] | None = None
    """Password; write ${env:NAME} or ${file:path}."""
    tls: TlsConfig | None = None
    """Absent: no encryption."""
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = 30.0
    """Longest silence before the broker is asked for a sign of life."""
    connect_timeout: Annotated[Duration, Field(ge=0.1, le=300)] = 10.0
    """How long connecting may take."""
    ack_timeout: Annotated[Duration, Field(ge=0.1, le=3600)] = 30.0
    """With messages waiting, how long the broker may acknowledge none before the link counts as lost."""
    max_packet: Annotated[Size, Field(ge=1024, le=MAX_PACKET)] | None = None
    """Largest packet the broker takes. MQTT 5 brokers say so themselves; give it for 3.1.1."""
    in_flight: Annotated[int, Field(ge=1, le=65_535)] = 100
    """Messages sent and not yet acknowledged, at most; an MQTT 5 broker may ask for fewer."""
    in_flight_bytes: Annotated[Size, Field(ge=1)] = 1 << 20
    """… and bytes, unless a single message is larger: so much is lost on the line when the link breaks."""
    topics: TopicsConfig = TopicsConfig()
    """Where to publish."""

    @property
    def effective_port(self) -> int:
        """The port, default filled in."""
        return self.port or (8883 if self.tls else 1883)

    @model_validator(mode="after")
    def _user(self) -> MqttSinkConfig:
        if self.password is not None and self.username is None and self.protocol == "3.1.1":
            raise ValueError("password without username: MQTT 3.1.1 does not have that")
        return self
