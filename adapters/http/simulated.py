"""Machines that post, for demonstrations: every second each tells all it holds, and again when nobody confirmed."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Final, Self

from gateway.sdk import ConfigFault
from gateway.wire.connect import tls_context

from .config import HttpConnection, HttpDevice
from .reception import authorization
from .simulator import Device

EVERY: Final = 1.0
"""Seconds between two posts of a machine."""


class Poster:
    """A simulator (see `gateway.sdk.simulator`) of the machines that post to a connection with ``listen``.

    With TLS they trust just the certificate that the gateway is to show, whatever name it is made out to. Raises
    ConfigFault where machines must show one of their own: the configuration does not have their keys.
    """

    def __init__(self, connection: HttpConnection) -> None:
        if connection.tls and connection.tls.ca is not None:
            raise ConfigFault("machines with certificates of their own are not simulated", code="no_simulator")
        self.devices: dict[str, Device] = {}
        self.confirmed = 0
        """Posts that were answered with 204."""
        self._host, self._port = connection.host, connection.effective_port
        shown = authorization(connection)
        self._authorization = b"" if shown is None else b"Authorization: " + shown + b"\r\n"
        self._shown = connection.tls.certificate if connection.tls else None
        self._tls: ssl.SSLContext | None = None
        self._task: asyncio.Task[None] | None = None

    def device(self, config: HttpDevice) -> Device:
        """Return the machine that posts to a path, made on first use."""
        return self.devices.setdefault(config.path, Device(config))

    async def __aenter__(self) -> Self:
        if self._shown is not None:
            self._tls = await asyncio.to_thread(tls_context, self._shown)
            self._tls.check_hostname = False
            self._tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer need not be known
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        while True:
            for path, device in tuple(self.devices.items()):
                if path in device.values and not device.silent:
                    with suppress(OSError, EOFError, TimeoutError):
                        async with asyncio.timeout(5 * EVERY):
                            await self._post(path, device.document(path))
            await asyncio.sleep(EVERY)

    async def _post(self, path: str, body: bytes) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n".encode()
            length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head + self._authorization + length + body)
            self.confirmed += (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 204 ")
        finally:
            writer.close()
