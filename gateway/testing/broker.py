"""A real MQTT broker on loopback in one line, from a wheel: for the demonstration, for tests, for trying things out.

It is rumqttd (a broker written in Rust) as the `iotcore` wheel brings it. It keeps everything in memory, so it stands
in for a platform, not for a production broker. It runs as a child process: it ends with its parent, whatever
happens to that, and otherwise by its own process id.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.model.faults import ConfigFault, LinkLost
from gateway.testing.ports import free_ports

MAX_PAYLOAD = 4 * 1024 * 1024
"""Largest packet the broker takes, bytes. (The broker's own default of 20 kB would hang a batch.)"""

_ATTEMPTS = 3
_GRACE = 5.0
_CHILD = """
import logging, os, socket, sys, threading
from iotcore import Broker

def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)

logging.disable()
threading.Thread(target=end_with_parent, daemon=True).start()
broker = Broker(config_path=sys.argv[1])
for listener in broker.listeners:  # it would go on without a port that is taken
    host, port = listener.rsplit(":", 1)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as it does: old connections take no port
        probe.bind((host, int(port)))
broker.run_forever()
"""
"""The broker's process. Its stdin is a pipe that the parent holds: it closes when the parent is gone, however it went.
It has a session of its own, so that Ctrl-C in a terminal ends the parent first, which then ends the broker."""
_SETTINGS = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 8

[v4.1]
name = "mqtt-3.1.1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 5000
max_payload_size = {payload}
max_inflight_count = 500
dynamic_filters = true

[v5.1]
name = "mqtt-5"
listen = "127.0.0.1:{port_v5}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {payload}
max_inflight_count = 500
dynamic_filters = true
"""


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """Where the broker listens, on 127.0.0.1."""

    port: int
    """MQTT 3.1.1."""
    port_v5: int
    """MQTT 5."""
    pid: int
    """Process id of the broker."""


@asynccontextmanager
async def embedded_broker(*, max_payload: int = MAX_PAYLOAD) -> AsyncIterator[EmbeddedBroker]:
    """Run a broker for the length of the context, on free loopback ports.

    Raises ConfigFault when the wheel is not installed and LinkLost when the broker does not come up.
    """
    if find_spec("iotcore") is None:
        raise ConfigFault(
            "the embedded broker needs the module iotcore: pip install 'xingsha-gateway[demo]'", code="extra_missing"
        )
    with tempfile.TemporaryDirectory(prefix="xingsha-broker-") as folder:
        process, broker = await _start(Path(folder), max_payload)
        try:
            yield broker
        finally:
            await stop(process)


async def stop(process: Process) -> None:
    """End a child process that watches its stdin: close that, wait a while, insist."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _start(folder: Path, max_payload: int) -> tuple[Process, EmbeddedBroker]:
    """Start on free ports; somebody else may take a port in between, so try a few times."""
    settings, complaints = folder / "broker.toml", folder / "stderr"
    for _ in range(_ATTEMPTS):
        ports = free_ports(2)
        settings.write_text(_SETTINGS.format(port=ports[0], port_v5=ports[1], payload=max_payload), "utf-8")
        with complaints.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _CHILD, str(settings),
                stdin=PIPE, stdout=DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        if await _listening(process, ports):
            return process, EmbeddedBroker(port=ports[0], port_v5=ports[1], pid=process.pid)
        await stop(process)
    said = complaints.read_text("utf-8", "replace").strip().splitlines()
    raise LinkLost(f"the embedded broker does not come up: {said[-1] if said else 'no answer'}", code="broker_failed")


async def _listening(process: Process, ports: list[int]) -> bool:
    """Wait up to 10 s until all ports take connections; False when the process ends before that."""
    deadline = asyncio.get_running_loop().time() + 10.0
    missing = list(ports)
    while missing and process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", missing[0])
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            del missing[0]
    return not missing
