"""Settings of TLS for a connection to a device or a server, as the client; it is verified unless told otherwise."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.config.base import Model
from gateway.wire.connect import tls_context


class ClientTls(Model):
    """Adapters extend it, if only by a docstring that says what TLS is in their protocol."""

    ca: Path | None = None
    """File of certificates that are trusted; default: those of the system."""
    certificate: Path | None = None
    """Our own certificate (PEM), where the peer asks for one."""
    key: Path | None = None
    """Its private key (PEM)."""
    verify: bool = True
    """false: any certificate is taken; for the commissioning table only."""

    def context(self) -> ssl.SSLContext:
        """TLS as it is to be spoken. Raises ConfigFault for a file that is missing or is not what it should be."""
        return tls_context(self.ca, self.certificate, self.key, verify=self.verify)
