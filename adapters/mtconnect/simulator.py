"""An MTConnect agent for tests and demonstrations: HTTP, the standard's XML, streams, on a real socket.

``async with Simulator() as plant:`` serves at 127.0.0.1, port ``plant.port``, what ``plant.agent`` holds.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.wire.framing import delimited
from gateway.wire.serving import Peer, StreamServer

from .config import MtconnectConnection, MtconnectDevice
from .simulated import BUFFER, Agent, Machine

REQUESTS: Final = delimited(b"\r\n\r\n", 16 * 1024)
_GET: Final = re.compile(rb"GET (\S+) HTTP/1\.1(?:\r\n|$)")
_BOUNDARY: Final = "5df1a2f1d1b54b1e"


class Stream:
    """One client that listens to /sample."""

    def __init__(self, plant: Simulator, peer: Peer, query: dict[str, int]) -> None:
        self._plant = plant
        self._peer = peer
        self._next = query["from"]
        self._count = query["count"]
        self._interval = query["interval"] / 1000
        self._heartbeat = query.get("heartbeat", 10_000) / 1000
        self._due: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Send what is new, one interval from now."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._interval, self.send)

    def send(self) -> None:
        """Send what is new, or that nothing is."""
        self.end()
        self._beat = asyncio.get_running_loop().call_later(self._heartbeat, self.send)
        agent = self._plant.agent
        if agent.silent:
            return
        if self._next < agent.first:
            self.part(agent.error("INTERNAL_ERROR", "Client can't keep up with event stream, disconnecting"))
            self.end()
            self._peer.close()
            return
        document, self._next = agent.sample(self._next, self._count)
        self.part(document)
        if self._next < agent.next:
            self.changed()

    def part(self, document: bytes) -> None:
        """Send one document."""
        head = f"--{_BOUNDARY}\r\nContent-type: text/xml\r\nContent-length: {len(document)}\r\n\r\n"
        part = head.encode() + document + b"\r\n\r\n"
        self._peer.send(part if self._plant.unchunked else b"%x\r\n%s\r\n" % (len(part), part))

    def end(self) -> None:
        """Send nothing more."""
        for timer in (self._due, self._beat):
            if timer is not None:
                timer.cancel()
        self._due = self._beat = None


class Simulator(StreamServer):
    """See the module. Port 0: chosen at the start."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, path: str = "", buffer: int = BUFFER) -> None:
        super().__init__(host, port, REQUESTS, self.reply)
        self.agent = Agent(self._changed, self._restarted, buffer)
        self.path = path
        self.unchunked = False
        """Streams without chunks, and every other connection closed after its answer, as old agents do."""
        self.status = 0
        """Answer everything with this HTTP status; 0: as it should be."""
        self._streams: dict[Peer, Stream] = {}

    @classmethod
    def of(cls, connection: MtconnectConnection) -> Self:
        """Make the simulator that listens where a gateway with this connection connects to."""
        return cls(connection.host, connection.port, connection.path)

    def device(self, config: MtconnectDevice | None = None) -> Machine:
        """Return the machine that a configuration addresses."""
        return self.agent.machine((config.device if config else "") or "machine")

    def left(self, peer: Peer) -> None:
        """Forget a client that is gone."""
        if stream := self._streams.pop(peer, None):
            stream.end()
        super().left(peer)

    def reply(self, peer: Peer, frame: bytes) -> bytes:
        """Answer one request."""
        if self.agent.silent:
            return b""
        match = _GET.match(frame)
        if match is None:
            return self._written(400, self.agent.error("INVALID_REQUEST", "only GET"))
        if self.status:
            return self._written(self.status, b"<html>no agent</html>")
        url = urlsplit(match[1].decode("latin-1"))
        path = unquote(url.path)
        if path == f"{self.path}/probe":
            return self._written(200, self.agent.devices())
        if path == f"{self.path}/current":
            return self._written(200, self.agent.current())
        if path == f"{self.path}/sample":
            return self._sample(peer, parse_qsl(url.query))
        return self._written(404, self.agent.error("INVALID_URI", path))

    def _sample(self, peer: Peer, pairs: list[tuple[str, str]]) -> bytes:
        try:
            query = {name: int(value) for name, value in pairs}
        except ValueError:
            return self._written(400, self.agent.error("QUERY_ERROR", "a number was expected"))
        start = query.setdefault("from", self.agent.first)
        count = query.setdefault("count", 100)
        if streamed := "interval" in query:  # what the buffer has no more is passed over, as by cppagent 1
            start = query["from"] = max(start, self.agent.first)
        if not self.agent.first <= start <= self.agent.next or not 0 < count <= self.agent.size:
            return self._written(400, self.agent.error("OUT_OF_RANGE", f"from={start}, count={count}"))
        if not streamed:
            return self._written(200, self.agent.sample(start, count)[0])
        self._streams[peer] = stream = Stream(self, peer, query)
        asyncio.get_running_loop().call_soon(stream.send)
        kind, coding = ("x-mixed-replace", "") if self.unchunked else ("mixed", "Transfer-Encoding: chunked\r\n")
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: multipart/{kind};boundary={_BOUNDARY}\r\n"
        return f"{head}{coding}\r\n".encode()

    def _written(self, status: int, document: bytes) -> bytes:
        closing = "Connection: close\r\n" if self.unchunked else ""
        head = f"HTTP/1.1 {status} -\r\nContent-Type: text/xml\r\n{closing}Content-Length: {len(document)}\r\n\r\n"
        return head.encode() + document

    def _changed(self) -> None:
        for stream in self._streams.values():
            stream.changed()

    def _restarted(self) -> None:
        self.hang_up()
