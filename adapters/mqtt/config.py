"""What a configuration file can say about MQTT as a source: the broker, devices with their topics, tags."""

from __future__ import annotations

from datetime import tzinfo
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from adapters.mqtt.address import WHOLE, Address
from adapters.mqtt.codec import V5, V311
from adapters.mqtt.times import parse_zone
from adapters.mqtt.topics import check_filter
from gateway.config.fields import Duration, Interval, Port, Secret, Size
from gateway.model.types import DataType
from gateway.sdk import Access, ConnectionConfig, DeviceConfig, Model, TagConfig
from gateway.sdk.source_time import TimeFormat
from gateway.sdk.tls import ClientTls

TopicFilter = Annotated[str, AfterValidator(check_filter)]
_LEVEL: Final = r"^[^/+#\x00-\x1f\x7f]*$"
Level = Annotated[str, Field(max_length=128, pattern=_LEVEL)]
"""One level of a topic, as Sparkplug's ids are."""
LONGEST_SESSION: Final = 4_294_967_294
"""Seconds: MQTT 5.0 clause 3.1.2.11.2; one more would mean for ever."""


class Tls(ClientTls):
    """Transport encryption. The broker is verified unless told otherwise."""


class MqttConnection(ConnectionConfig):
    """A broker to which machines publish."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]
    """Name or IP address of the broker."""
    port: Port | None = None
    """Default: 8883 with tls, 1883 without."""
    client_id: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """Name of this subscriber. The broker keeps its session by it, and two clients with one id throw each other out."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Version of MQTT; "3.1.1" for brokers that do not speak 5."""
    username: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """User name."""
    password: Annotated[Secret, Field(max_length=8192)] | None = None
    """Password; write ${env:NAME} or ${file:path}."""
    tls: Tls | None = None
    """Set it, even to {}, for TLS."""
    timeout: Interval = 5.0
    """How long connecting, and each answer of the broker, may take."""
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = 30.0
    """Longest time without a sign of life from either side."""
    qos: Literal[0, 1, 2] = 1
    """Highest quality of service asked for. 1 and 2 are acknowledged when what they brought is safe in the journal."""
    session: Annotated[Duration, Field(le=LONGEST_SESSION)] = 86_400.0
    """How long the broker keeps messages (QoS 1 and 2) for a gateway that is away; 0s: not at all."""
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 65_535
    """Messages that the broker may send ahead of our acknowledgements (MQTT 5)."""
    max_payload: Annotated[Size, Field(ge=16, le=64 << 20)] = 1_000_000
    """Largest payload in bytes; a larger one makes its tags bad, and is skipped."""
    announce: Annotated[tuple[TopicFilter, ...], Field(max_length=64)] = ()
    """Topic filters to watch for devices that nobody configured; they are reported as unknown."""
    browse_for: Annotated[Interval, Field(le=300)] = 5.0
    """How long `xingsha browse` listens."""

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once: the session, not the broker."""
        return f"mqtt://{self.host}:{self.effective_port}/{self.client_id}"

    @property
    def effective_port(self) -> int:
        """The port, default filled in."""
        return self.port if self.port is not None else 8883 if self.tls else 1883

    @property
    def level(self) -> int:
        """Protocol level as it stands in CONNECT."""
        return V5 if self.protocol == "5" else V311

    @model_validator(mode="after")
    def _sound(self) -> MqttConnection:
        if self.password is not None and self.username is None and self.level == V311:
            raise ValueError("password without username: MQTT 3.1.1 does not have that")
        return self


class PayloadFormat(StrEnum):
    """How values stand in messages."""

    JSON = "json"
    TEXT = "text"
    SPARKPLUG = "sparkplug"


class TimeSetting(Model):
    """Where a JSON message, or each sample of a batch, says when it was measured."""

    path: Address
    """Path of the time, such as $.ts."""
    format: TimeFormat = TimeFormat.MS
    """s, ms, us or ns since 1970 (UTC); or iso8601."""
    zone: str = "UTC"
    """Time zone of iso8601 times that carry none: Asia/Shanghai, or +08:00."""

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        parse_zone(zone)
        return zone

    @model_validator(mode="after")
    def _is_path(self) -> TimeSetting:
        if self.path.metric:
            raise ValueError("path: a path begins with $, such as $.ts")
        return self

    @property
    def tzinfo(self) -> tzinfo:
        """The zone itself."""
        return parse_zone(self.zone)


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


class MqttDevice(DeviceConfig):
    """A machine, and where it publishes."""

    topic: Annotated[
        TopicFilter | Annotated[tuple[TopicFilter, ...], Field(max_length=64)], AfterValidator(_listed)
    ] = ()
    """Topic filter, or several; + and # as in MQTT, $share/GROUP/FILTER for a shared subscription."""
    format: PayloadFormat = PayloadFormat.JSON
    """json: tags have a path in the message; text: the whole message is one value; sparkplug: Sparkplug B."""
    time: TimeSetting | None = None
    """json: where the message says when it was measured. Default: the time of arrival."""
    batch: Address | None = None
    """json: path of an array of samples ($: the message itself); paths of tags and time then start at each sample."""
    retained: Literal["ignore", "use"] = "ignore"
    """What to do with messages that the broker had kept when we subscribed: they tell of some earlier time."""
    on_change: bool = False
    """true: the machine sends a value only when it changes; while it shows signs of life, the last one holds."""
    silence: Duration = 0.0
    """How long nothing may come before the device counts as down; 0s: for ever."""
    group: Level = ""
    """sparkplug: group id."""
    node: Level = ""
    """sparkplug: edge node id."""
    device: Level = ""
    """sparkplug: device id; empty for the metrics of the edge node itself."""
    rebirth: bool = True
    """sparkplug: the edge node may be asked for a rebirth, which is a command that is published to it."""

    @property
    def topics(self) -> tuple[str, ...]:
        """All topic filters."""
        return _listed(self.topic)

    @model_validator(mode="after")
    def _complete(self) -> MqttDevice:
        sparkplug = self.format is PayloadFormat.SPARKPLUG
        if sparkplug and not (self.group and self.node):
            raise ValueError("format sparkplug needs group and node")
        if not sparkplug and (self.group or self.node or self.device):
            raise ValueError("group, node and device belong to format sparkplug")
        if sparkplug and self.topics:
            raise ValueError("topic does not go with format sparkplug, whose topics follow from group, node and device")
        if not sparkplug and not self.topics:
            raise ValueError(f"format {self.format} needs topic")
        if self.format is not PayloadFormat.JSON and (self.time is not None or self.batch is not None):
            raise ValueError("time and batch belong to format json")
        if self.batch is not None and self.batch.metric:
            raise ValueError("batch: a path begins with $, such as $.samples")
        return self


class MqttTag(TagConfig):
    """One value in the messages of a device."""

    address: Address = WHOLE
    """json: path such as $.motor.temp or $.phases[0].u ($: the whole message); sparkplug: name of the metric."""
    topic: Annotated[TopicFilter, Field(max_length=512)] | None = None
    """Topic levels below the device's, where this value has messages of its own."""

    @model_validator(mode="after")
    def _readable(self) -> MqttTag:
        if self.access is not Access.READ:
            raise ValueError("MQTT sources are read only")
        if self.topic is not None and self.topic.startswith(("$", "/")):
            raise ValueError("topic: levels below the topic of the device, without a leading / or $")
        if self.address.steps and self.type is DataType.BYTES:
            raise ValueError(f"{self.address}: JSON holds no bytes")
        return self
