"""TLS context of the MQTT sink: verified, TLS 1.2 at least; made for each connection, so that renewed files work."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from gateway.model.faults import ConfigFault
from gateway.sinks.mqtt.config import TlsConfig


class BrokerContext(ssl.SSLContext):
    """Verifies the configured name, and remembers its socket: paho leaves it open when the handshake fails."""

    server_name: str | None = None
    _wrapped: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Wrap with the configured name."""
        if self.server_name is not None:
            kwargs["server_hostname"] = self.server_name
        self._wrapped = super().wrap_socket(*args, **kwargs)
        return self._wrapped

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self._wrapped is not None:
            self._wrapped.close()
            self._wrapped = None


def tls_context(config: TlsConfig, folder: Path) -> BrokerContext:
    """Make the context; relative paths start at ``folder``. Reads files. Raises ConfigFault that names the file."""
    context = BrokerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = config.server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    path = config.ca
    try:
        if path is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(folder / path)
        if config.cert is not None and config.key is not None:
            path = config.cert
            secret = config.key_password
            context.load_cert_chain(
                folder / config.cert, folder / config.key, secret.get_secret_value().encode if secret else _no_password
            )
    except (OSError, ValueError) as error:
        raise ConfigFault(f"tls: {path}: {_explain(error)}", code="tls_files") from error
    return context


def _no_password() -> bytes:
    """OpenSSL would ask on the terminal; a service has none."""
    raise ValueError("the private key is encrypted and key_password is missing")


def _explain(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not a usable certificate and key ({error.reason or error})"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
