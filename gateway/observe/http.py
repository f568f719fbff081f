"""Metrics and health over HTTP: /metrics, /health/live, /health/ready, /status. Read-only, loopback unless told.

Runs in the gateway's own loop, on a socket of its own; takes no signals, logs no access, accepts no body.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.model.faults import ConfigFault
from gateway.observe.metrics import CONTENT_TYPE, registry, render
from gateway.observe.status import DeviceState, GatewayStatus

Status = Callable[[], GatewayStatus | Awaitable[GatewayStatus]]
"""Whoever knows at once says so; whoever must ask other processes first gives something to wait for."""

_LONGEST_HEAD: Final = 16_384
_MOST_CONNECTIONS: Final = 32
_SICK: Final = frozenset({DeviceState.DOWN, DeviceState.PARKED, DeviceState.DEGRADED, DeviceState.CONNECTING})


@asynccontextmanager
async def serve_http(address: str, status: Status) -> AsyncIterator[str]:
    """Serve on ``host:port`` while the context lasts; gives the address bound (port 0 picks a free one).

    Raises ConfigFault: ``port_in_use``, ``address_unusable``.
    """
    listening = await _listen(address)
    config = uvicorn.Config(
        application(status),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    host, port = listening.getsockname()[:2]
    # startup and shutdown without serve(): no signal handlers, and no loop that wakes ten times a second
    await server.startup(sockets=[listening])
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        await server.shutdown(sockets=[listening])


def application(status: Status) -> Starlette:
    """Build the ASGI application that `serve_http` serves."""

    async def metrics(_request: Request) -> Response:
        snapshot = await _now(status)
        text = await asyncio.to_thread(lambda: render(registry(lambda: snapshot)))
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def live(_request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(_request: Request) -> Response:
        body = readiness(await _now(status))
        return _json(body, 200 if body["ready"] else 503)

    async def whole(_request: Request) -> Response:
        return _json(await _now(status))

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/status", whole),
        ]
    )


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


def _json(body: object, code: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body), code, headers={"content-type": "application/json", "cache-control": "no-store"}
    )


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
