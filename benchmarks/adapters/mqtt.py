"""What a message from a machine costs: JSON through a broker, the gateway and a second topic to a verifying receiver.

    script/bench adapters mqtt --seconds 10 --qos 1

A publisher with packets made by string formatting sends as fast as Mosquitto takes them, small JSON messages of 100
machines, ``{"ts": …, "n": …, "t": …}``; the gateway subscribes (MQTT 5), maps two tags and the machine's own time, and
writes a journal that is fully synchronous. The same broker carries its batches to the receiver, which counts every
``n`` of every machine. QoS 1: acknowledged when it is safe. The figure is CPU, user and system, of the gateway's
process by message, and its inverse; the broker, the publisher and the receiver share the other core.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.codec import Connect, disconnect, text, variable
from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import ROOT, Unfit, run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.reader import Frames, Reader

MACHINES: Final = 100
FIRST: Final = 100_000_000
"""The first ``n``: all have as many digits, so that all packets have one length."""
WINDOW: Final = 20_000
"""Messages the publisher sends ahead of the broker's acknowledgements."""
CHUNK: Final = 200


def publish(port: int, qos: int, seconds: float, rate: int) -> int:
    """Publish for some time; returns how many messages the broker has taken. One ``n`` for each machine in turn."""
    link = socket.create_connection(("127.0.0.1", port))
    link.sendall(Connect("publisher", keep_alive=0).encode())
    link.recv(1024)
    taken = [0]

    def acknowledged() -> None:
        rest = 0
        while data := link.recv(1 << 16):
            rest += len(data)
            taken[0] += rest // 4
            rest %= 4

    if qos:
        threading.Thread(target=acknowledged, daemon=True).start()
    heads = [text(f"machines/{number}/data") for number in range(MACHINES)]
    sent, began = 0, time.monotonic()
    until = began + seconds
    stamp = int(time.time() * 1000)
    while (now := time.monotonic()) < until or sent % MACHINES:
        if (qos and sent - taken[0] > WINDOW) or (rate and sent > (now - began) * rate):
            time.sleep(0.0005)
            continue
        packets = bytearray()
        for number in range(sent, sent + CHUNK):
            body = heads[number % MACHINES]
            identity = (number % 60_000 + 1).to_bytes(2, "big") if qos else b""
            payload = b'{"ts":%d,"n":%d,"t":%d.5}' % (stamp, FIRST + number // MACHINES, number % 97)
            packets += bytes((0x30 | qos << 1,)) + variable(len(body) + len(identity) + 1 + len(payload))
            packets += body + identity + b"\0" + payload
        link.sendall(packets)
        sent += CHUNK
    while qos and taken[0] < sent:
        time.sleep(0.01)
    link.sendall(disconnect(5))
    link.close()
    return sent


class Judge(Receiver):
    """Judges what has arrived."""

    def judge(self, sent: int) -> dict[str, Any]:
        """Count every ``n`` of every machine."""
        self.close()
        reader, wrong = Reader(), 0
        seen: list[dict[int, int]] = [{} for _ in range(MACHINES)]
        gaps = 0
        for topic, payload in self.messages:
            for event in reader.feed(topic, payload):
                if isinstance(event, Frames):
                    for row in event.rows():
                        if row.tag == "n" and row.value is not None:
                            own = seen[int(row.device.removeprefix("m"))]
                            own[row.value] = own.get(row.value, 0) + 1
                        elif row.tag == "n" or (row.value is not None and row.value % 1 != 0.5):
                            wrong += 1
        expected = set(range(FIRST, FIRST + sent // MACHINES))
        lost = sum(len(expected - own.keys()) for own in seen)
        strange = sum(len(own.keys() - expected) for own in seen)
        twice = sum(count - 1 for own in seen for count in own.values())
        gaps = reader.report(from_start=True).gaps
        return {"lost": lost, "wrong": wrong + strange, "duplicated": twice, "gaps": gaps}


def configuration(port: int, qos: int) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    tags = [
        {"name": "n", "type": "int64", "address": "$.n"},
        {"name": "t", "type": "float32", "address": "$.t", "unit": "°C"},
    ]
    device = {"connection": "plant", "profile": "machine", "time": {"path": "$.ts"}}
    connection = {"adapter": "mqtt", "host": "127.0.0.1", "port": port, "client_id": "bench-source", "qos": qos}
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "profiles": {"machine": {"adapter": "mqtt", "tags": tags}},
        "connections": {"plant": connection},
        "devices": {f"m{number}": device | {"topic": f"machines/{number}/data"} for number in range(MACHINES)},
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": port}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def run(seconds: float, qos: int = 1, rate: int = 0) -> dict[str, object]:
    """Measure for some seconds of publishing, and until all has arrived. ``rate``: messages/s; 0: as many as can be."""
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        receiver = Judge(broker.port)
        (folder / "gateway.yaml").write_text(json.dumps(configuration(broker.port, qos)))
        gateway = stack.enter_context(Gateway(folder, folder / "gateway.yaml"))
        _subscribed(broker.port)
        idle, began = gateway.cpu_seconds(), time.monotonic()
        publisher = stack.enter_context(_publisher(folder, broker.port, qos, seconds, rate))
        sent = int(publisher.hear()["sent"])
        receiver.settle(2.0, began)
        took, cpu = receiver.last - began, gateway.cpu_seconds() - idle
        memory = gateway.memory_mb()[1]
        gateway.stop(10.0)
        time.sleep(0.5)
        found: dict[str, object] = {
            "qos": qos,
            "messages": sent,
            "messages_per_second": round(sent / took),
            "gateway_cpu_us_per_message": round(cpu / sent * 1e6, 2),
            "gateway_cpu_us_per_point": round(cpu / sent / 2 * 1e6, 2),
            "messages_per_second_per_core": round(sent / cpu),
            "gateway_cores": round(cpu / took, 2),
            "rss_mb": round(memory, 1),
        }
        return found | receiver.judge(sent)


def _publisher(folder: Path, port: int, qos: int, seconds: float, rate: int) -> Child:
    numbers = [f"--port={port}", f"--qos={qos}", f"--seconds={seconds}", f"--rate={rate}"]
    return Child("publisher", [sys.executable, "-m", "benchmarks.adapters.mqtt", "--publish", *numbers], folder)


def _subscribed(port: int) -> None:
    """Wait until the gateway hears its machines: publish to none of them until a test message comes back."""
    heard = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "watch")
    client.on_message = lambda *_: heard.set()
    client.connect("127.0.0.1", port)
    client.subscribe("xingsha/v1/bench/data", 1)
    client.loop_start()
    try:
        for _ in range(200):
            client.publish(f"machines/{MACHINES - 1}/data", b'{"t": 0.5}', 1)
            if heard.wait(0.1):
                return
    finally:
        client.disconnect()
        client.loop_stop()
    raise Unfit("the gateway does not hear its machines")


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    words = f"JSON message of two values and a time, QoS {found['qos']}"
    cpu, rate = found["gateway_cpu_us_per_message"], found["messages_per_second"]
    return [Row("MQTT", words, cpu, rate, found["lost"])]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=None, help="default: both, one after the other")
    parser.add_argument("--rate", type=int, default=0, help="messages/s; 0: as many as the broker takes")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.publish:
        print(json.dumps({"sent": publish(options.port, options.qos, options.seconds, options.rate)}), flush=True)
        return 0
    sound = True
    for qos in (1, 0) if options.qos is None else (options.qos,):
        found = run(options.seconds, qos, options.rate)
        print(json.dumps({"adapter": "mqtt", **found}))
        sound &= not found["wrong"] and (qos == 0 or not found["lost"])
    return 0 if sound else 1


if __name__ == "__main__":
    assert ROOT.is_dir()
    sys.exit(main())
