"""What a post from a machine costs: JSON over HTTP, through the gateway, to a broker and a verifying receiver.

    script/bench adapters http --seconds 8

Posters (one process, ``--peers`` kept connections, each with one post under way) send ``{"ts": …, "n": …, "t": …}`` of
one machine each: one sample by post, and then batches of 100. The gateway maps two tags and the machine's own time,
writes a journal that is fully synchronous, and answers 204 when what came is safe. The figure is CPU, user and system,
of the gateway's process by message (sample), and its inverse. Every ``n`` that was confirmed is looked for at the
receiver: those not found are lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.reader import Frames, Reader
from gateway.testing.ports import free_port

BATCH: Final = 100


async def _machine(port: int, name: int, batch: int, until: float) -> int:
    """Post until the time has come; returns how many samples were confirmed."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.1)
    sent, stamp = 0, int(time.time() * 1000)
    head = f"POST /m{name} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer bench\r\n"
    while time.monotonic() < until:
        samples = [f'{{"ts":{stamp},"n":{number},"t":{number % 97}.5}}' for number in range(sent, sent + batch)]
        body = f"[{','.join(samples)}]" if batch > 1 else samples[0]
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 204"):
            raise SystemExit(f"refused: {answer!r}")
        sent += batch
    writer.close()
    return sent


async def _post(port: int, peers: int, batch: int, seconds: float) -> list[int]:
    until = time.monotonic() + seconds
    return await asyncio.gather(*(_machine(port, name, batch, until) for name in range(peers)))


def configuration(port: int, broker: int, peers: int) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    tags = [
        {"name": "n", "type": "int64", "address": "$.n"},
        {"name": "t", "type": "float32", "address": "$.t", "unit": "°C"},
    ]
    device = {"connection": "posts", "profile": "machine", "time": {"path": "$.ts"}, "report": "always"}
    connection = {"adapter": "http", "listen": True, "port": port, "token": "bench"}
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "profiles": {"machine": {"adapter": "http", "tags": tags}},
        "connections": {"posts": connection},
        "devices": {f"m{number}": device | {"path": f"/m{number}"} for number in range(peers)},
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": broker}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def measure(seconds: float, peers: int, batch: int) -> dict[str, object]:
    """Post for some seconds, and wait until all has arrived."""
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        receiver = Receiver(broker.port)
        port = free_port()
        (folder / "gateway.yaml").write_text(json.dumps(configuration(port, broker.port, peers)))
        gateway = stack.enter_context(Gateway(folder, folder / "gateway.yaml"))
        time.sleep(2.0)
        before, began = gateway.cpu_seconds(), time.monotonic()
        numbers = [f"--post={port}", f"--peers={peers}", f"--batch={batch}", f"--seconds={seconds}"]
        command = [sys.executable, "-m", "benchmarks.adapters.http", *numbers]
        posted = stack.enter_context(Child("posters", command, folder)).hear()["sent"]
        receiver.settle(2.0, began)
        used, memory = gateway.cpu_seconds() - before, gateway.memory_mb()[1]
        gateway.stop(10.0)
        time.sleep(0.5)
        lost = _lost(receiver, posted)
    sent = sum(posted)
    return {
        "batch": batch,
        "messages": sent,
        "messages_per_second": round(sent / seconds),
        "gateway_cpu_us_per_message": round(used / sent * 1e6, 2),
        "messages_per_second_per_core": round(sent / used),
        "rss_mb": round(memory, 1),
        "lost": lost,
    }


def _lost(receiver: Receiver, posted: list[int]) -> int:
    receiver.close()
    reader = Reader()
    seen: list[set[int]] = [set() for _ in posted]
    for topic, payload in receiver.messages:
        for event in reader.feed(topic, payload):
            if isinstance(event, Frames):
                for row in event.rows():
                    if row.tag == "n" and row.value is not None:
                        seen[int(row.device.removeprefix("m"))].add(row.value)
    return sum(count - len(own & set(range(count))) for count, own in zip(posted, seen, strict=True))


def run(seconds: float, peers: int = 250) -> dict[str, object]:
    """Measure single posts, then batches."""
    return {"single": measure(seconds, peers, 1), "batches": measure(seconds, peers, BATCH)}


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    names = {"single": "one sample, answered when it is safe", "batches": f"batches of {BATCH}"}
    return [
        Row(
            "HTTP, posts",
            f"sample of two values and a time, {words}",
            found[name]["gateway_cpu_us_per_message"],
            found[name]["messages_per_second"],
            found[name]["lost"],
        )
        for name, words in names.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--peers", type=int, default=250)
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--post", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.post:
        sent = asyncio.run(_post(options.post, options.peers, options.batch, options.seconds))
        print(json.dumps({"sent": sent}))
        return 0
    found = run(options.seconds, options.peers)
    print(json.dumps({"adapter": "http", **found}))
    return int(any(part["lost"] for part in found.values()))  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())
