"""A platform in memory: a sink that keeps what lanes send, and refuses what a test wants refused. No broker, no socket.

    sink = MemorySink()
    gateway = Gateway(configuration, make_sink=sink.made)
    ...
    assert sink.values("press-1", "oil")[-1] == 41.7

It lives in the process of the gateway: for loss and duplicates across a kill, use a broker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from gateway.config.base import SinkConfig
from gateway.model.batch import Gap
from gateway.model.faults import Fault, LinkLost
from gateway.reader import Declared, DeviceRow, Frames, Reader
from gateway.sdk.sink import Message, Topics

KEPT: Final = 100_000
"""Messages, values and gaps; the oldest go first."""


class MemorySink:
    """See the module. It may serve several lanes, with a session for each."""

    def __init__(self, *, in_flight: int = 16, max_payload: int = 1_000_000) -> None:
        self.in_flight = in_flight
        self.topics = Topics()
        self.max_payload = max_payload
        self.messages: deque[Message] = deque(maxlen=KEPT)
        """What was acknowledged, with births, farewells and last wills."""
        self.rows: deque[DeviceRow] = deque(maxlen=KEPT)
        """Values in these messages."""
        self.gaps: deque[Gap] = deque(maxlen=KEPT)
        """Gaps that were declared in them."""
        self.reader = Reader()
        """Its report() tells what is missing, and what came twice."""
        self.refusals: deque[Exception] = deque()
        """Raised by the next sends, one each: Rejected, Busy, Timeout, AuthFault ..."""
        self.away: Fault | None = None
        """Raised by open() for as long as it is set."""
        self.sessions: set[MemorySession] = set()

    def made(self, _identity: str, _config: SinkConfig, _gateway: str, _lane: str, *, folder: Path = Path()) -> Self:
        """In place of `gateway.sinks.make_sink`: this sink, whatever is configured."""
        del folder
        return self

    def lose(self, fault: Fault | None = None) -> None:
        """Cut every session off; lanes hear of ``fault``, otherwise of a lost link."""
        for session in self.sessions:
            session.cut(fault or LinkLost("the platform is gone"))

    def values(self, device: str, tag: str) -> list[Any]:
        """Values of a tag, in the order of their arrival."""
        return [row.value for row in self.rows if (row.device, row.tag) == (device, tag)]

    @asynccontextmanager
    async def open(
        self, *, will: Message | None = None, birth: Message | None = None, farewell: Message | None = None
    ) -> AsyncIterator[MemorySession]:
        """See `gateway.sdk.sink.Sink.open`."""
        if self.away is not None:
            raise type(self.away)(str(self.away), code=self.away.code)
        session = MemorySession(self)
        self.sessions.add(session)
        self.take(birth)
        try:
            yield session
        finally:
            self.sessions.discard(session)
            self.take(will if session.lost else farewell)

    def take(self, message: Message | None) -> None:
        """Keep a message, and what it says."""
        if message is None:
            return
        self.messages.append(message)
        for event in self.reader.feed(message.topic, message.payload):
            if isinstance(event, Frames):
                self.rows.extend(event.rows())
            elif isinstance(event, Declared):
                self.gaps.append(event.gap)


class MemorySession:
    """One lane's session."""

    def __init__(self, sink: MemorySink) -> None:
        self.max_payload = sink.max_payload
        self._sink = sink
        self._end: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    @property
    def lost(self) -> bool:
        """True when it was cut off."""
        return self._end.done()

    def cut(self, fault: Fault) -> None:
        """End it."""
        if not self._end.done():
            self._end.set_exception(fault)
            self._end.exception()  # a lane that is just leaving does not ask for it

    async def send(self, message: Message) -> None:
        """See `gateway.sdk.sink.SinkSession.send`."""
        if self._end.done():
            await self._end
        if self._sink.refusals:
            raise self._sink.refusals.popleft()
        self._sink.take(message)

    async def watch(self) -> NoReturn:
        """See `gateway.sdk.sink.SinkSession.watch`."""
        await asyncio.shield(self._end)
        raise AssertionError("a session ends with a fault")
