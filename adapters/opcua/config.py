"""What a configuration file can say about OPC UA: server and security, devices within it, tags."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from adapters.opcua.address import Address
from gateway.config.fields import Deadband, Duration, Interval, Secret
from gateway.model.types import DataType
from gateway.sdk import ConnectionConfig, DeviceConfig, TagConfig

DEFAULT_PORT: Final = 4840


class Policy(StrEnum):
    """Security policies (Part 7): how messages are signed and encrypted."""

    NONE = "none"
    BASIC256SHA256 = "basic256sha256"
    AES128 = "aes128_sha256_rsaoaep"
    AES256 = "aes256_sha256_rsapss"


class Mode(StrEnum):
    """What is done to messages."""

    SIGN = "sign"
    SIGN_AND_ENCRYPT = "sign_and_encrypt"


class Delivery(StrEnum):
    """How values come."""

    SUBSCRIBE = "subscribe"
    POLL = "poll"


class Limit(StrEnum):
    """Sets of limits for servers that do not tell their own; see `plan.PROFILES`."""

    AUTO = "auto"
    S7_1500 = "s7_1500"
    SMALL = "small"


def _url(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme != "opc.tcp" or not parts.hostname or port == 0:
        raise ValueError("a URL such as opc.tcp://10.0.0.5:4840, as the server's manual has it")
    if parts.username or parts.password:
        raise ValueError("no user name or password in the URL: give them as user and password")
    return value


Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]


class OpcUaConnection(ConnectionConfig):
    """A server and the session that this gateway has with it."""

    url: Url
    """The server's endpoint, such as opc.tcp://10.0.0.5:4840."""
    policy: Policy = Policy.BASIC256SHA256
    """Security policy; none: nothing is signed, encrypted or verified."""
    mode: Mode = Mode.SIGN_AND_ENCRYPT
    """Whether messages are signed only, or encrypted as well."""
    user: Annotated[str, Field(max_length=256)] = ""
    """User name; without user and user_certificate the session is anonymous."""
    password: Annotated[Secret, Field(max_length=1024)] | None = None
    """Password; write ${env:NAME} or ${file:path}."""
    login_in_clear: bool = False
    """true: the password may travel readable by anyone, where the server wants it so and nothing is encrypted."""
    user_certificate: Path | None = None
    """Certificate of a user (DER or PEM), in place of user and password."""
    user_key: Path | None = None
    """Private key of that certificate (PEM)."""
    pki: Path = Path("var/pki/opcua")
    """Folder with our own certificate, made on first use, and those of the servers that are trusted."""
    application_uri: Annotated[str, Field(max_length=256, pattern=r"^[\x21-\x7e]+$")] = "urn:xingsha:gateway"
    """Name of this application, as its certificate has it."""
    timeout: Interval = 4.0
    """How long one request may stay unanswered."""
    delivery: Delivery = Delivery.SUBSCRIBE
    """subscribe: the server sends what changes; poll: everything is read at the scan rate."""
    keepalive: Interval = 5.0
    """Time after which a subscription without changes shows a sign of life; down after three times that."""
    session_timeout: Annotated[Interval, Field(le=3600)] = 60.0
    """How long the server keeps session and subscriptions for a gateway whose connection is cut."""
    limits: Limit = Limit.AUTO
    """Limits for servers that tell none: auto (careful), s7_1500, small (embedded servers)."""
    max_nodes: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most nodes in one request; default: as the server, or limits, says."""

    @model_validator(mode="after")
    def _sound(self) -> OpcUaConnection:
        if self.password is not None and not self.user:
            raise ValueError("password needs user")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key belong together")
        if self.user and self.user_certificate is not None:
            raise ValueError("either user and password, or user_certificate and user_key")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or DEFAULT_PORT

    @property
    def full_url(self) -> str:
        """The URL with its port."""
        host, port = self.address
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"[{host}]:{port}" if ":" in host else f"{host}:{port}").geturl()

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once: a server takes many sessions, one per endpoint and user is ours."""
        return f"{self.url} {self.user}".strip()

    @property
    def secure(self) -> bool:
        """True when messages are signed at least."""
        return self.policy is not Policy.NONE


class OpcUaDevice(DeviceConfig):
    """A machine behind a server: all its tags with one scan rate share a subscription."""

    root: Annotated[str, Field(max_length=1024)] = ""
    """What `xingsha browse` begins with, a node id or browse path; default: /Objects."""
    sampling: Duration | None = None
    """How often the server looks at a value; default: the scan rate; 0s: as fast as it can."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Values of a tag that the server keeps between two messages, and while the connection is cut."""
    discard_oldest: bool = True
    """When the queue is full: true drops the oldest value, false the newest but one."""

    @model_validator(mode="after")
    def _root(self) -> OpcUaDevice:
        if self.root:
            Address.parse(self.root)
        return self


class OpcUaTag(TagConfig):
    """One variable of a server."""

    address: Address
    """nsu=http://plant.example/press;s=Oil, ns=2;i=1001, or a path: /Objects/2:Press/2:Oil."""
    index: Annotated[str, Field(max_length=64, pattern=r"^(\d{1,9}(:\d{1,9})?(,\d{1,9}(:\d{1,9})?)*)?$")] = ""
    """Part of an array: 3 (the fourth element), 0:2."""
    sampling: Duration | None = None
    """How often the server looks at the value; default: the device's."""
    queue: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Values that the server keeps between two messages; default: the device's."""
    server_deadband: Deadband = Deadband()
    """Least change that the server sends: 0.5 (raw units), or 1% of the range that the server has for the variable."""

    @model_validator(mode="after")
    def _filters(self) -> OpcUaTag:
        filtered = self.server_deadband != Deadband()
        if filtered and (not self.type.packed or self.type is DataType.BOOL):
            raise ValueError(f"server_deadband needs a numeric type, which {self.type} is not")
        return self
