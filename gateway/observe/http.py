"""Metrics and health over HTTP: /metrics, /health/live, /health/ready, /status. Read-only, loopback unless told.

Runs in the gateway's own loop, on a socket of its own; takes no signals, logs no access, accepts no body.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NamedTuple, cast

import msgspec
import structlog

from gateway.model.faults import ConfigFault
from gateway.observe.status import DeviceState, GatewayStatus

Status = Callable[[], GatewayStatus | Awaitable[GatewayStatus]]
"""Whoever knows at once says so; whoever must ask other processes first gives something to wait for."""

log = structlog.get_logger("observe")

_PATIENCE: Final = 30.0
"""Seconds between two requests of a connection, and for one to arrive or to be taken."""
_CLOSE: Final = re.compile(r"\r\nconnection:[ \t]*close", re.IGNORECASE)
_BODY: Final = re.compile(r"\r\n(?:transfer-encoding|content-length):[ \t]*[^0\s]", re.IGNORECASE)
"""A request that brings what nobody reads: the connection ends with its answer."""
_LONGEST_HEAD: Final = 16_384
_MOST_CONNECTIONS: Final = 32
_SICK: Final = frozenset({DeviceState.DOWN, DeviceState.PARKED, DeviceState.DEGRADED, DeviceState.CONNECTING})


@asynccontextmanager
async def serve_http(address: str, status: Status) -> AsyncIterator[str]:
    """Serve on ``host:port`` while the context lasts; gives the address bound (port 0 picks a free one).

    Raises ConfigFault: ``port_in_use``, ``address_unusable``.
    """
    listening = await _listen(address)
    pages = _Pages(status)
    server = await asyncio.start_server(pages.visit, sock=listening, limit=_LONGEST_HEAD)
    host, port = listening.getsockname()[:2]
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        server.close()
        await pages.close()
        await server.wait_closed()


class Answer(NamedTuple):
    """What a page says."""

    body: bytes
    code: int = 200
    kind: str = "application/json"


class _Pages:
    """Four pages for programs. HTTP/1.1 as far as these need it: GET and HEAD, no bodies, connections that stay."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._visits: set[asyncio.Task[None]] = set()
        self._pages: dict[str, Callable[[], Awaitable[Answer]]] = {
            "/metrics": self._metrics,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/status": self._whole,
        }

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, until it ends or falls silent."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._visits.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone, or does not ask any more
        finally:
            self._visits.discard(task)
            writer.close()

    async def close(self) -> None:
        """End all connections."""
        visits = list(self._visits)
        for task in visits:
            task.cancel()
        if visits:
            await asyncio.wait(visits)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; True when the connection stays."""
        try:
            async with asyncio.timeout(_PATIENCE):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, version = head.partition("\r\n")[0].split(" ")
        except (asyncio.LimitOverrunError, ValueError):
            method, target, version, head = "", "", "", ""
        stays = version == "HTTP/1.1" and not _CLOSE.search(head) and method in ("GET", "HEAD")
        stays = stays and len(self._visits) <= _MOST_CONNECTIONS and not _BODY.search(head)
        answer = await self._answer(method, target.partition("?")[0])
        lines = [
            f"HTTP/1.1 {answer.code} {HTTPStatus(answer.code).phrase}",
            f"content-type: {answer.kind}",
            f"content-length: {len(answer.body)}",
            "cache-control: no-store",
            *([] if stays else ["connection: close"]),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else answer.body))
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()
        return stays

    async def _answer(self, method: str, path: str) -> Answer:
        if not method:
            return Answer(b"", 400, "text/plain")
        if path not in self._pages:
            return Answer(b"", 404, "text/plain")
        if method not in ("GET", "HEAD"):
            return Answer(b"", 405, "text/plain")
        if len(self._visits) > _MOST_CONNECTIONS:
            return Answer(b"", 503, "text/plain")
        try:
            return await self._pages[path]()
        except Exception:  # whoever asks for the state must not end the gateway
            log.exception("page_failed", path=path)
            return Answer(b"", 500, "text/plain")

    async def _metrics(self) -> Answer:
        return await asyncio.to_thread(_render, await _now(self._status))

    async def _live(self) -> Answer:
        return _json({"status": "ok"})

    async def _ready(self) -> Answer:
        body = readiness(await _now(self._status))
        return _json(body, 200 if body["ready"] else 503)

    async def _whole(self) -> Answer:
        return _json(await _now(self._status))


def _render(status: GatewayStatus) -> Answer:
    """In a thread of its own, and so is the import: nobody may ever ask for metrics."""
    from gateway.observe.metrics import CONTENT_TYPE, registry, render

    text = render(registry(lambda: status))
    return Answer(text, 200, CONTENT_TYPE)


async def _now(status: Status) -> GatewayStatus:
    found = status()
    return found if isinstance(found, GatewayStatus) else await found


def readiness(status: GatewayStatus) -> dict[str, object]:
    """Ready: the bus is open, each worker's, so what is read is kept. What else is wrong is told, and leaves it ready.

    A restart mends neither a machine that is switched off nor a platform that is away, so no supervisor may be led
    to try one.
    """
    down = [worker for worker in status.workers if not worker.up and not worker.leftover]
    reasons = [{"concerns": f"worker {worker.number}", "code": "worker_down"} for worker in down]
    if not status.bus.kind:
        reasons.append({"concerns": "bus", "code": "bus_closed"})
    if status.bus.full:
        reasons.append({"concerns": "bus", "code": "bus_full"})
    reasons += [
        {"concerns": f"lane {lane.name}", "code": lane.reason or "link_lost"}
        for lane in status.lanes
        if not lane.connected
    ]
    reasons += [
        {"concerns": f"device {device.name}", "code": device.reason or device.state.value}
        for device in status.devices
        if device.state in _SICK
    ]
    return {"ready": bool(status.bus.kind) and not down, "gateway": status.gateway, "reasons": reasons}


def _json(body: object, code: int = 200) -> Answer:
    return Answer(msgspec.json.encode(body), code)


async def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        if not 0 <= int(port) <= 65_535:
            raise ValueError("a port is a number from 1 to 65535")
        found = await asyncio.get_running_loop().getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, place = min(found)  # IPv4 first, where a name means both
        return socket.create_server(place[:2], family=family, backlog=_MOST_CONNECTIONS)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ConfigFault(f"observe.http: {address} is in use by another program", code="port_in_use") from error
        raise ConfigFault(f"observe.http: cannot listen on {address}: {error}", code="address_unusable") from error
