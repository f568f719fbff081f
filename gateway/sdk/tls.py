"""TLS with a device or a server: settings of the client, which verifies unless told otherwise; and that of a server."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from gateway.config.base import Model
from gateway.wire.connect import server_tls_context, tls_context


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

    async def context(self) -> ssl.SSLContext:
        """TLS as it is to be spoken; files are read beside the event loop.

        Raises ConfigFault for one that is missing or is not what it should be.
        """
        return await asyncio.to_thread(tls_context, self.ca, self.certificate, self.key, verify=self.verify)


async def server_context(certificate: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """TLS as it is spoken with devices that dial in, which must show a certificate of ``ca``, if there is one.

    Files are read beside the event loop. Raises ConfigFault for one that is missing or is not what it should be.
    """
    return await asyncio.to_thread(server_tls_context, certificate, key, ca)
