"""The platform's end of these benchmarks: keeps what arrives while the clock runs, to be judged afterwards."""

from __future__ import annotations

import threading
import time
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.machine import Unfit

PATIENCE: Final = 60.0


class Receiver:
    """Subscribed to all that the gateway publishes, from its making on. Raises Unfit."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        """Topic and payload, as they came."""
        self.last = 0.0
        """When data came last, monotonic; 0: never."""
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "receiver", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("xingsha/v1/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not self._ready.wait(20):
            raise Unfit("the broker does not grant the receiver its subscription")

    def settle(self, quiet: float, since: float) -> None:
        """Wait until something has arrived since a moment (monotonic), and then nothing for a while. Raises Unfit."""
        while self.last < since or time.monotonic() - self.last < quiet:
            if self.last < since < time.monotonic() - PATIENCE:
                raise Unfit(f"nothing has arrived for {PATIENCE:g} s")
            time.sleep(0.1)

    def close(self) -> None:
        """Disconnect: nothing more arrives."""
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: object, _user: object, message: mqtt.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))
        if message.topic.endswith("/data"):
            self.last = time.monotonic()
