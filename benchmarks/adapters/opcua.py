"""What a value of an OPC UA subscription costs: 10,000 variables that all change every second, to a verifying receiver.

    script/bench adapters opcua --seconds 15

node-opcua is the server, in a process of its own: every variable has the value of the tick, 1, 2, 3 …, with the time at
which it was set. The gateway subscribes to all of them with one device, publishing every second, and writes a journal
that is fully synchronous; Mosquitto carries its batches to a receiver which checks that no tick of any variable is
missing, wrong, twice or out of order between the first and the last it has seen. The figure is CPU, user and system, of
the gateway's process by value. In the same run, against the same server, a subscription of asyncua alone: its own
client with a handler that counts, nothing behind it.

The same once more with signed and encrypted messages (``--secure``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import ROOT, Unfit, run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.reader import Frames, Reader

VARIABLES: Final = 10_000
PEER: Final = ROOT / "adapters/opcua/tests/peers"
WARM_UP: Final = 4.0
"""Seconds after the subscription stands before CPU is counted."""


class Verifier(Receiver):
    """Keeps what arrives while the clock runs, and judges afterwards: every tick of every variable."""

    def ticks(self) -> dict[str, Any]:
        """Count what is missing, wrong, out of order."""
        self.close()
        reader = Reader()
        last = np.zeros(VARIABLES, np.int64)
        first = np.zeros(VARIABLES, np.int64)
        lost = wrong = values = 0
        for topic, payload in self.messages:
            for event in reader.feed(topic, payload):
                if not isinstance(event, Frames):
                    continue
                for row in event.rows():
                    if row.value is None:
                        continue
                    place, tick = int(row.tag[1:]), int(row.value)
                    values += 1
                    if not first[place]:
                        first[place] = last[place] = tick
                    elif tick <= last[place]:
                        wrong += 1
                    else:
                        lost += tick - int(last[place]) - 1
                        last[place] = tick
        behind = int((last.max() - last).sum())
        gaps = reader.report(from_start=True).gaps
        return {"values": values, "lost": lost + behind, "wrong": wrong, "gaps": gaps, "unseen": int((last == 0).sum())}


def configuration(folder: Path, url: str, port: int, secure: bool) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    tags = [{"name": f"w{at}", "type": "float64", "address": f"nsu=urn:peer;s=w{at}"} for at in range(VARIABLES)]
    connection: dict[str, Any] = {"adapter": "opcua", "url": url, "pki": str(folder / "pki"), "policy": "none"}
    if secure:
        connection |= {"policy": "basic256sha256", "mode": "sign_and_encrypt"}
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "connections": {"plant": connection},
        "devices": {"machine": {"connection": "plant", "scan": "1s", "tags": tags}},
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": port}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def run(seconds: float, secure: bool = False) -> dict[str, object]:
    """Measure for some seconds. Raises Unfit when node or node-opcua is missing."""
    if shutil.which("node") is None or not (PEER / "node_modules").is_dir():
        raise Unfit("node and node-opcua are needed: script/peers")
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        options = json.dumps({"pki": str(folder / "peer"), "limit": 1000})
        home = {"HOME": str(folder)}
        peer = stack.enter_context(Child("peer", ["node", str(PEER / "server.mjs"), options], folder, home))
        url = f"opc.tcp://127.0.0.1:{peer.hear()['port']}"
        peer.ask(json.dumps({"wave": {"count": VARIABLES, "every": 1000, "type": "Double"}}))
        verifier = Verifier(broker.port)
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(configuration(folder, url, broker.port, secure)))
        if secure:
            _trust(path)
        gateway = stack.enter_context(Gateway(folder, path))
        deadline = time.monotonic() + 60
        while not verifier.last:
            if time.monotonic() > deadline:
                raise Unfit(f"nothing arrives:\n{gateway.tail()}")
            time.sleep(0.1)
        time.sleep(WARM_UP)
        began, cpu, ticks = time.monotonic(), gateway.cpu_seconds(), _sent(peer)
        time.sleep(seconds)
        took, cpu, ticks = time.monotonic() - began, gateway.cpu_seconds() - cpu, _sent(peer) - ticks
        memory = gateway.memory_mb()[1]
        gateway.stop(10.0)
        time.sleep(0.5)
        found: dict[str, object] = {
            "secure": secure,
            "variables": VARIABLES,
            "values_per_second": round(ticks * VARIABLES / took),
            "gateway_cpu_us_per_value": round(cpu / (ticks * VARIABLES) * 1e6, 3),
            "gateway_cores": round(cpu / took, 4),
            "rss_mb": round(memory, 1),
        } | verifier.ticks()
        if not secure:
            command = [sys.executable, "-m", "benchmarks.adapters.opcua", "--alone", url, f"--seconds={seconds}"]
            alone = stack.enter_context(Child("asyncua", command, folder)).hear()
            found |= {f"asyncua_alone_{name}": value for name, value in alone.items()}
        return found


def _sent(peer: Child) -> int:
    return int(peer.ask('{"state": true}')["sent"])


def _trust(path: Path) -> None:
    """Approve the server's certificate, as a person would with `xingsha trust`."""
    from adapters.opcua import trust
    from adapters.opcua.config import OpcUaConnection
    from gateway.runtime.making import load_configuration

    connection = cast("OpcUaConnection", load_configuration(path).connections["plant"])
    for one in asyncio.run(trust(connection)):
        if one.state == "refused":
            asyncio.run(trust(connection, one.thumbprint))


async def alone(url: str, seconds: float) -> dict[str, float]:
    """A subscription of asyncua's own client, with a handler that counts."""
    from asyncua.client.client import Client

    class Handler:
        count = 0

        def datachange_notification(self, _node: object, _value: object, _data: object) -> None:
            self.count += 1

    async with Client(url, timeout=60) as client:
        index = await client.get_namespace_index("urn:peer")
        handler = Handler()
        subscription = await client.create_subscription(1000, handler)
        nodes = [client.get_node(f"ns={index};s=w{at}") for at in range(VARIABLES)]
        for first in range(0, len(nodes), 1000):
            await subscription.subscribe_data_change(nodes[first : first + 1000])
        await asyncio.sleep(WARM_UP)
        count, cpu = handler.count, time.process_time()
        await asyncio.sleep(seconds)
        count, cpu = handler.count - count, time.process_time() - cpu
    return {"cpu_us_per_value": round(cpu / max(count, 1) * 1e6, 2), "values": count}


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    words = f"subscription of {VARIABLES:,} values that all change at 1 s{', encrypted' * found['secure']}"
    beside = f"asyncua alone {found['asyncua_alone_cpu_us_per_value']} µs" if not found["secure"] else ""
    cpu, rate = found["gateway_cpu_us_per_value"], found["values_per_second"]
    return [Row("OPC UA", f"value, {words}", cpu, rate, found["lost"], beside)]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--secure", action="store_true", help="signed and encrypted as well")
    parser.add_argument("--alone", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.alone:
        print(json.dumps(asyncio.run(alone(options.alone, options.seconds))), flush=True)
        return 0
    sound = True
    for secure in (False, True) if options.secure else (False,):
        try:
            found = run(options.seconds, secure)
        except Unfit as error:
            print(f"opcua: {error}", file=sys.stderr)
            return 2
        print(json.dumps({"adapter": "opcua", **found}))
        sound &= not (found["lost"] or found["wrong"] or found["unseen"])
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
