"""What a configuration file can say about HTTP: a server that is asked, or a place where machines post to."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from gateway.config.fields import Duration, Interval, Port, Secret, Size
from gateway.model.types import DataType
from gateway.sdk import Access, ConfigFault, ConnectionConfig, DeviceConfig, Model, TagConfig
from gateway.sdk.source_time import TimeFormat
from gateway.sdk.tls import ClientTls, server_context

from .address import Address, DocumentFormat

OPEN: Final = "none"
"""Token of a receiver that takes posts from anybody."""
_TARGET: Final = r"^/[!-\"$-~]*$"
_FIELD: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
Target = Annotated[str, Field(max_length=2000, pattern=_TARGET)]
"""Path and query, percent-encoded where need be."""
FieldName = Annotated[str, Field(max_length=128, pattern=_FIELD)]


class Tls(ClientTls):
    """Transport encryption, of either side. A server that is asked is verified unless told otherwise."""

    ca: Path | None = None
    """File of certificates that are trusted; default: those of the system. With listen: who may post."""
    certificate: Path | None = None
    """Our own certificate (PEM), where the peer asks for one; with listen: what machines see."""

    async def server_context(self) -> ssl.SSLContext:
        """TLS as it is spoken with machines that post; see `context`. Raises ConfigFault."""
        if self.certificate is None or self.key is None:
            raise ConfigFault("tls: with listen, certificate and key are needed")
        return await server_context(self.certificate, self.key, self.ca)


class Basic(Model):
    """HTTP Basic authentication (RFC 7617); over TLS only, if it is to be a secret."""

    username: Annotated[str, Field(max_length=256, pattern=r"^[^:\x00-\x1f\x7f]*$")]
    """User name."""
    password: Annotated[Secret, Field(max_length=1024)]
    """Password; write ${env:NAME} or ${file:path}."""


class HttpConnection(ConnectionConfig):
    """A server that is asked, or with listen: a place where machines post to."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")] = "127.0.0.1"
    """Name or IP address of the server; with listen, the local address that machines can post to."""
    port: Port | None = None
    """Default: 443 with tls, 80 without; with listen: 8443 with tls, 8080 without."""
    listen: bool = False
    """true: machines post their values here (webhook)."""
    timeout: Interval = 5.0
    """How long connecting, and each answer, may take."""
    tls: Tls | None = None
    """Set it, even to {}, for TLS; with listen, it must name certificate and key."""
    basic: Basic | None = None
    """User name and password."""
    bearer: Annotated[Secret, Field(max_length=8192)] | None = None
    """Bearer token (RFC 6750)."""
    headers: Annotated[dict[FieldName, Annotated[Secret, Field(max_length=8192)]], Field(max_length=32)] = {}  # noqa: RUF012
    """Further header fields, such as X-API-Key; kept secret."""
    token: Annotated[Secret, Field(min_length=1, max_length=1024)] | None = None
    """With listen: what machines must send as Authorization: Bearer TOKEN; "none": anybody may post."""
    max_body: Annotated[Size, Field(ge=64, le=64 << 20)] = 1_000_000
    """Largest body in bytes, also after unpacking; a longer one is refused while it is read."""

    @property
    def effective_port(self) -> int:
        """The port, default filled in."""
        if self.port is not None:
            return self.port
        return (8443 if self.tls else 8080) if self.listen else (443 if self.tls else 80)

    @property
    def endpoint(self) -> str:
        """Identity of what can only be owned once."""
        return f"{'listen' if self.listen else 'http'}://{self.host}:{self.effective_port}"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.listen:
            self._sound_to_listen()
        elif self.token is not None:
            raise ValueError("token goes with listen; to send one, use bearer")
        if self.basic is not None and self.bearer is not None:
            raise ValueError("basic and bearer are two ways to say the same thing; choose one")
        fields = {name.lower() for name in self.headers}
        if taken := fields & {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}:
            raise ValueError(f"headers: {', '.join(sorted(taken))} is ours to set")
        for name, secret in self.headers.items():
            if not secret.get_secret_value().isprintable() or not secret.get_secret_value().isascii():
                raise ValueError(f"headers: {name} must be printable ASCII")
        return self

    def _sound_to_listen(self) -> None:
        if self.token is None:
            raise ValueError('token: with listen, machines must show one; "none" if anybody may post')
        if self.basic or self.bearer or self.headers:
            raise ValueError("listen: basic, bearer and headers are for servers that are asked")
        if self.tls and not self.tls.verify:
            raise ValueError("tls: verify is for servers that are asked; with listen, ca says which machines may post")
        if self.tls and (self.tls.certificate is None or self.tls.key is None):
            raise ValueError("tls: with listen, certificate and key are needed: files of what we show to machines")


class TimeSetting(Model):
    """Where a document, or each sample of a batch, says when it was measured."""

    path: Address
    """Path of the time, such as $.ts."""
    format: TimeFormat = TimeFormat.MS
    """s, ms, us or ns since 1970 (UTC); or iso8601."""


class HttpDevice(DeviceConfig):
    """A machine: the document that tells of it, or the path that it posts to."""

    path: Target = "/"
    """Path and query of the document; with listen, the path that the machine posts to."""
    format: DocumentFormat = DocumentFormat.JSON
    """json, xml or csv (with a header line)."""
    delimiter: Annotated[str, Field(pattern=r"^[,;|\t]$")] = ","
    """csv: what stands between two cells: a comma, ;, | or "\\t"."""
    time: TimeSetting | None = None
    """Where the document says when it was measured. Default: the time of arrival."""
    silence: Duration = 0.0
    """With listen: how long nothing may come before the device counts as down; 0s: for ever."""
    kept: bool = True
    """With listen: the machine keeps what was not answered with 2xx, and posts it again."""


class HttpTag(TagConfig):
    """One value in the documents of a device."""

    address: Address
    """JSON: $.motor.temp, $.phases[0].u, $['odd name']; XML: /m/axis[2]/@pos; CSV: temp, temp[0], temp[id=press-1]."""
    path: Target | None = None
    """Path of another document of the same device, where the value stands in that. Not with listen."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.access is not Access.READ:
            raise ValueError("HTTP sources are read only")
        if self.type is DataType.BYTES:
            raise ValueError("documents hold no bytes")
        return self
