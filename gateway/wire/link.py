"""A link: one stream of bytes to one endpoint, over TCP, TLS or serial, with the clock that protocols must not have.

A link knows nothing of any protocol. `exchange` sends bytes, gives what arrives to a sans-io receiver until that says
"complete", and keeps the time-out. The oddities that belong to the line and not to the protocol live here too: the
silence that some devices want between an answer and the next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from gateway.model.faults import Fault, LinkLost, ProtocolFault, Timeout

WRITE_BUFFER: Final = 64 * 1024
"""Bytes that may wait for a peer that takes none; then the link is given up."""
POST_BUFFER: Final = 1024 * 1024
"""… and of what is posted, which comes in bursts: acknowledgements of all that was just made safe."""
LAST_LOOK: Final = 0.01
"""Seconds between the end of a time-out and the verdict: bytes that lie in the socket while the loop was busy count."""
CLOSE_WITHIN: Final = 1.0
"""Seconds after which `StreamLink.close` no longer waits for the transport to confirm."""


class Receiver(Protocol):
    """What an exchange gives its bytes to. Pure: no I/O, no clock; the same result however the bytes were split."""

    answered: int
    """Answers completed since the exchange began; as long as it grows, the time-out starts anew."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when all that was asked for has arrived. Raises a Fault, mostly ProtocolFault."""


class Transport(Protocol):
    """The part of an asyncio transport that a link uses."""

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent at once."""

    def abort(self) -> None:
        """Close at once; ``connection_lost`` follows."""


class StreamLink(asyncio.Protocol):
    """See the module. Made by the connectors in ``wire.connect``; used by one task at a time."""

    __slots__ = (
        "_answered", "_beat", "_clock", "_closed", "_due", "_fault", "_heard", "_held", "_loop", "_not_before",
        "_receiver", "_timeout", "_timer", "_transport", "_waiter", "_withheld", "min_gap", "name", "stray",
        "stray_bytes", "tap",
    )  # fmt: skip

    def __init__(self, name: str, *, min_gap: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock  # the loop's own may lag behind by a turn, and count in ms
        self.name = name
        """What it leads to, for messages: ``10.0.0.5:502``, ``/dev/ttyS1``."""
        self.min_gap = min_gap
        """Seconds of silence between the last byte received and the next request."""
        self.stray: Receiver | None = None
        """Is given bytes that arrive while nothing is asked, so that a framer stays in step; None: they are dropped."""
        self.stray_bytes = 0
        """Bytes that arrived while nothing was asked."""
        self.tap: Callable[[str, bytes], None] | None = None
        """Is called with ``">"`` or ``"<"`` and the bytes of every write and every arrival."""
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._receiver: Receiver | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fault: Fault | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._withheld = False
        self._held = False
        self._not_before = 0.0  # no request before this moment
        self._due = 0.0
        self._timeout = 0.0
        self._answered = 0
        self._heard = 0  # bytes towards the next answer

    @property
    def lost(self) -> bool:
        """True when no more exchange is possible."""
        return self._fault is not None

    async def exchange(self, data: bytes, receiver: Receiver, timeout: float) -> None:
        """Send ``data`` (nothing: only listen) and feed ``receiver`` until it is complete.

        Raises Timeout (no_answer, answer_incomplete) when no further answer comes for ``timeout`` seconds, LinkLost
        when the transport is gone, and the receiver's Fault. After a Timeout the link stands; what arrives late goes to
        ``stray``.
        """
        if self._not_before:
            await self._silence(timeout)
        transport = self._ready(0 if data else POST_BUFFER)
        if self._waiter is not None:
            raise RuntimeError(f"two exchanges at a time on {self.name}")
        waiter = self._waiter = self._loop.create_future()
        self._receiver = receiver
        self._answered = receiver.answered
        self._heard = 0
        self._timeout = timeout
        self._due = self._clock() + timeout
        self._timer = self._loop.call_later(timeout, self._expire, False)
        if data:
            if self.tap is not None:
                self.tap(">", data)
            transport.write(data)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # the caller went away in the very moment of a fault: nobody is left to tell
            raise
        finally:
            self._waiter = self._receiver = None
            self._timer.cancel()

    async def send(self, data: bytes, quiet: float) -> None:
        """Send what nobody answers (a broadcast); the next request waits for ``quiet`` seconds. Raises LinkLost."""
        if self._not_before:
            await self._silence(quiet)
        transport = self._ready()
        if self.tap is not None:
            self.tap(">", data)
        transport.write(data)
        self._not_before = self._clock() + max(quiet, self.min_gap)

    def post(self, data: bytes) -> None:
        """Send, beside an exchange, what nobody waits for: acknowledgements, keep-alives. Raises LinkLost."""
        transport = self._ready(POST_BUFFER)
        if self.tap is not None:
            self.tap(">", data)
        transport.write(data)

    def beat(self, data: bytes, every: float) -> None:
        """Post ``data`` every so many seconds from now on, for as long as the link stands: a keep-alive."""
        if self._beat is not None:
            self._beat.cancel()
        self._beat = self._loop.call_later(every, self._beaten, data, every)

    def hold(self, *, held: bool) -> None:
        """Read no more from the peer, which is thereby held up; or read on. Writing goes on."""
        act = getattr(self._transport, "pause_reading" if held else "resume_reading", None)
        if self._fault is None and act is not None and held is not self._held:
            self._held = held
            act()

    async def close(self) -> None:
        """Close at once. May be called any number of times, at any moment."""
        self._give_up(LinkLost(f"{self.name}: the link was closed"))
        if self._transport is not None and not self._closed.done():
            self._transport.abort()
            await asyncio.wait([self._closed], timeout=CLOSE_WITHIN)

    def abort(self, fault: Fault) -> None:
        """Close without waiting, and let the exchange under way fail with ``fault``."""
        self._give_up(fault)
        if self._transport is not None:
            self._transport.abort()

    # what the transport calls

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the transport."""
        self._transport = transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        """Give bytes to whom they belong."""
        if self.tap is not None:
            self.tap("<", data)
        if self.min_gap:
            self._not_before = self._clock() + self.min_gap
        waiter = self._waiter
        try:
            if waiter is not None:
                self._heard += len(data)
                if self._receiver.feed(data) and not waiter.done():  # type: ignore[union-attr]
                    waiter.set_result(None)
            else:
                self.stray_bytes += len(data)
                if self.stray is not None:
                    self.stray.feed(data)
        except Fault as fault:
            if waiter is None:
                self.abort(fault)
            elif not waiter.done():
                waiter.set_exception(fault)

    def pause_writing(self) -> None:
        """Note that the peer takes no bytes."""
        self._withheld = True

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._withheld = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the exchange under way fail."""
        reason = f": {exc}" if exc else " by the peer"
        self._give_up(LinkLost(f"{self.name}: the connection was closed{reason}"))
        if not self._closed.done():
            self._closed.set_result(None)

    # inside

    def _ready(self, waiting: int = 0) -> Transport:
        """Return the transport; ``waiting``: bytes that may wait already for a peer that takes none."""
        if self._fault is not None:
            raise type(self._fault)(str(self._fault), code=self._fault.code)
        if self._withheld and getattr(self._transport, "get_write_buffer_size", lambda: waiting + 1)() > waiting:
            self.abort(LinkLost(f"{self.name}: the peer takes no more bytes"))
            raise LinkLost(f"{self.name}: the peer takes no more bytes")
        if self._transport is None:
            raise LinkLost(f"{self.name}: not connected")
        return self._transport

    def _beaten(self, data: bytes, every: float) -> None:
        with suppress(LinkLost):  # whoever waits for something is told
            self.post(data)
            self.beat(data, every)

    def _give_up(self, fault: Fault) -> None:
        if self._fault is None:
            self._fault = fault
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(fault)

    def _expire(self, last_look: bool) -> None:
        if self._waiter is None or self._waiter.done() or self._receiver is None:
            return
        left = self._due - self._clock()
        if self._receiver.answered > self._answered:
            self._answered = self._receiver.answered
            self._heard = 0
            self._due += self._timeout
            left += self._timeout
            last_look = False
        if left > 0:
            self._timer = self._loop.call_later(left, self._expire, False)
        elif not last_look:
            self._timer = self._loop.call_later(LAST_LOOK, self._expire, True)
        elif self._heard:
            words = f"{self.name}: {self._heard} bytes, but no whole answer within {self._timeout:g} s"
            self._waiter.set_exception(Timeout(words, code="answer_incomplete"))
        else:
            self._waiter.set_exception(Timeout(f"{self.name}: no answer within {self._timeout:g} s"))

    async def _silence(self, limit: float) -> None:
        """Wait until the line has been silent long enough, at most ``limit`` seconds on one that babbles."""
        give_up = self._clock() + limit + self.min_gap
        while (left := self._not_before - self._clock()) > 0:
            if self._clock() > give_up:
                raise ProtocolFault(f"{self.name}: the line does not fall silent")
            await asyncio.sleep(left)
        self._not_before = 0.0
