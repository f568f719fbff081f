"""A small MQTT broker that does what a script says: for refusals and limits that Mosquitto cannot be told to show.

Speaks just enough of MQTT 5 (and 3.1.1) for a publisher: CONNECT, PUBLISH QoS 1, PINGREQ, DISCONNECT.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

PROPERTY = {"receive_maximum": (0x21, "!H"), "maximum_packet_size": (0x27, "!I"), "server_keep_alive": (0x13, "!H")}


@dataclass
class Publish:
    topic: str
    payload: bytes
    retain: bool
    mid: int
    content_type: str = ""


Decide = Callable[[Publish], int | Awaitable[int]]
"""Reason code of the PUBACK; negative: none is sent; below −255: DISCONNECT with the code −n−256."""


@dataclass
class ScriptedBroker:
    decide: Decide = lambda publish: 0
    connack: int = 0
    properties: dict[str, int] = field(default_factory=dict)
    received: list[Publish] = field(default_factory=list)
    connects: int = 0
    most_unacknowledged: int = 0
    clean_ends: int = 0
    port: int = 0

    async def __aenter__(self):
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.drop()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    def drop(self):
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def data(self) -> list[Publish]:
        return [one for one in self.received if one.topic.endswith("/data")]

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        self._waiting = 0
        tasks = set()
        try:
            v5 = await self._connect(reader, writer)
            while v5 is not None:
                head = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await self._length(reader))
                if head >> 4 == 3:
                    publish = self._publish(head, body, v5)
                    self.received.append(publish)
                    self._waiting += 1
                    self.most_unacknowledged = max(self.most_unacknowledged, self._waiting)
                    tasks.add(asyncio.ensure_future(self._answer(publish, writer, v5)))
                elif head >> 4 == 12:
                    writer.write(b"\xd0\x00")
                elif head >> 4 == 14:
                    self.clean_ends += 1
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            for task in tasks:
                task.cancel()
            self._writers.discard(writer)
            writer.close()

    async def _connect(self, reader, writer):
        assert (await reader.readexactly(1))[0] == 0x10
        body = await reader.readexactly(await self._length(reader))
        v5 = body[6] == 5
        self.connects += 1
        packed = b"".join(
            bytes([PROPERTY[name][0]]) + struct.pack(PROPERTY[name][1], value)
            for name, value in self.properties.items()
        )
        answer = bytes([0, self.connack]) + (bytes([len(packed)]) + packed if v5 else b"")
        writer.write(bytes([0x20, len(answer)]) + answer)
        if self.connack:
            await writer.drain()
            return None
        return v5

    async def _length(self, reader) -> int:
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return length

    def _publish(self, head, body, v5) -> Publish:
        assert head >> 1 & 3 == 1, "QoS 1"
        size = struct.unpack_from("!H", body)[0]
        topic = body[2 : 2 + size].decode()
        mid = struct.unpack_from("!H", body, 2 + size)[0]
        start, content = 4 + size, ""
        if v5:
            properties = body[start + 1 : start + 1 + body[start]]
            start += 1 + body[start]
            if properties[:1] == b"\x03":
                content = properties[3:].decode()
        return Publish(topic, body[start:], bool(head & 1), mid, content)

    async def _answer(self, publish, writer, v5):
        code = self.decide(publish)
        if not isinstance(code, int):
            code = await code
        if code < -255:
            writer.write(bytes([0xE0, 2, -code - 256, 0]))
        elif code >= 0:
            self._waiting -= 1
            mid = struct.pack("!H", publish.mid)
            writer.write(b"\x40\x03" + mid + bytes([code]) if v5 and code else b"\x40\x02" + mid)
