"""The subscriber of a benchmark: one MQTT client in its own process that hands everything to the verifier.

    python -m benchmarks.receiver --port 1883 --gateway bench --devices 100 --registers 1000 --change all --board b

prints ``{"ready": true}`` once it is subscribed, then answers each line on standard input with one JSON line:

``mark``      running totals, at this very moment
``window``    the same, and ages are measured anew from here
``report``    totals, loss, gaps, holes in the numbering, ages since the last ``window``

The session outlives broken links and a broker that keeps sessions (clean_session is false). Ends at end of input.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from time import time_ns
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.pattern import Pattern, Scoreboard, parse_change
from benchmarks.verify import Verifier


class Receiver:
    """MQTT on paho's own thread; questions on the main thread; one lock between them."""

    def __init__(self, verifier: Verifier, gateway: str, prefix: str, client_id: str) -> None:
        self.verifier = verifier
        self.subscribed = threading.Event()
        self.lock = threading.Lock()
        self._subscriptions = 0
        self._window = 0
        self._schemas = f"{prefix}/{gateway}/schema/"
        self._data = f"{prefix}/{gateway}/data"
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_message = self._message

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(self._schemas + "+", 1), (self._data, 1)])

    def _subscribed(self, *_: Any) -> None:
        self._subscriptions += 1
        self.subscribed.set()

    def _message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        now = time_ns()
        with self.lock:
            if message.topic.startswith(self._schemas):
                self.verifier.schema(message.topic.removeprefix(self._schemas), bytes(message.payload))
            else:
                size = 2 + len(message.topic.encode()) + 2 + len(message.payload)
                self.verifier.data(bytes(message.payload), now, size + 1 + max(1, (size.bit_length() + 6) // 7))

    def answer(self, question: str) -> dict[str, Any]:
        """Answer one line of standard input."""
        with self.lock:
            verifier = self.verifier
            found: dict[str, Any] = {"now": time_ns(), "subscriptions": self._subscriptions, **asdict(verifier.tally)}
            if question == "window":
                self._window = len(verifier.ages)
            elif question == "report":
                lost, runs = verifier.loss()
                found |= {
                    "lost": lost,
                    "missing": runs,
                    "gaps": verifier.gaps,
                    "holes": verifier.holes(),
                    "epochs": sorted({epoch for epoch, _, _ in verifier.batches}),
                    "ages": self._ages(),
                }
            elif question != "mark":
                found = {"error": f"{question!r}: expected mark, window or report"}
            return found

    def _ages(self) -> dict[str, dict[str, float]]:
        found = {}
        for index, name in enumerate(("since_stamp_ms", "since_answer_ms")):
            parts = [ages[index] for ages in self.verifier.ages[self._window :]]
            ages = np.concatenate(parts) if parts else np.empty(0, np.int64)
            ages = ages[ages != 0] / 1e6
            if len(ages):
                p50, p99 = np.percentile(ages, [50, 99]).tolist()
                found[name] = {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(float(ages.max()), 2)}
        return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--prefix", default="xingsha/v1")
    parser.add_argument("--client-id", default="verifying-subscriber")
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--registers", type=int, required=True)
    parser.add_argument("--change", type=parse_change, default=Fraction(1))
    parser.add_argument("--board", type=Path, required=True)
    options = parser.parse_args()
    pattern = Pattern(options.devices, options.registers, options.change)
    verifier = Verifier(pattern, Scoreboard(options.board, pattern))
    receiver = Receiver(verifier, options.gateway, options.prefix, options.client_id)
    receiver.client.connect(options.host, options.port)
    receiver.client.loop_start()
    if not receiver.subscribed.wait(30):
        sys.exit("the broker did not confirm the subscription within 30 s")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(receiver.answer(line.strip())), flush=True)
    receiver.client.disconnect()
    receiver.client.loop_stop()


if __name__ == "__main__":
    main()
