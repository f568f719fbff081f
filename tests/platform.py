"""The far end of a lane: a subscriber on a thread of its own, with a durable session, that feeds the reader."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any, Self

import paho.mqtt.client as paho

from gateway.reader import Frames, Reader


async def until(condition, seconds: float = 20.0) -> None:
    """Wait until ``condition()`` holds; the deadline is generous, because the machine may be busy."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        await asyncio.sleep(0.01)


class Platform:
    def __init__(self, port: int, *, user: tuple[str, str] | None = None) -> None:
        self.reader = Reader()
        self.rows: list[tuple[str, Any]] = []
        self.seqs: list[int] = []
        self.sizes: list[int] = []
        self.topics: list[str] = []
        self.statuses: list[tuple[str, dict[str, Any]]] = []
        self.events: list[Any] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "platform", clean_session=False)
        if user:
            self._client.username_pw_set(*user)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def lost(self) -> int:
        return self.reader.report(from_start=True).lost

    def last_status(self, ending: str = "/status") -> dict[str, Any] | None:
        return next((record for topic, record in reversed(self.statuses) if topic.endswith(ending)), None)

    def _take(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        self.topics.append(message.topic)
        if "/status" in message.topic:
            self.statuses.append((message.topic, json.loads(message.payload)))
            return
        if message.topic.endswith("/data"):
            self.sizes.append(len(message.payload))
        for event in self.reader.feed(message.topic, message.payload):
            self.events.append(event)
            if isinstance(event, Frames):
                self.seqs.append(event.seq)
                self.rows += [(row.tag, row.value) for row in event.rows()]
