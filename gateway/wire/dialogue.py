"""A dialogue: one question, one answer, on a link whose answers do not say to which question they belong.

With such a protocol an answer that comes late looks like the answer to the next question. So a dialogue that was broken
off, by a time-out for one, is over: the link is closed, and the session with it. Protocols with transaction ids can do
better, and use the link itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from gateway.model.faults import LinkLost, OutOfStep, Timeout
from gateway.wire.framing import Frames, Framing
from gateway.wire.link import StreamLink


class Dialogue:
    """See the module. Used by one task at a time; ``timeout``: seconds that an answer may take."""

    __slots__ = ("_frames", "_framing", "_timeout", "link")

    def __init__(self, link: StreamLink, framing: Framing, timeout: float) -> None:
        self.link = link
        self._framing = framing
        self._frames = Frames(framing)
        self._timeout = timeout
        link.stray = self._frames

    async def ask(self, question: bytes, answers: int = 1) -> bytes:
        """Send a question and return its answer, of several the last. Raises OutOfStep, LinkLost, ProtocolFault."""
        return (await self.ask_all(question, answers))[-1]

    async def ask_all(self, question: bytes, answers: int) -> list[bytes]:
        """Send a question, or several as one, and return all answers, in order. Raises as `ask`."""
        await self._exchange(question, self._frames, answers)
        return list(self._frames.found)

    async def listen(self, question: bytes, then: Callable[[bytes], object]) -> NoReturn:
        """Send what makes the peer send by itself, and call ``then`` with each frame, for ever.

        Raises OutOfStep when nothing comes for the length of the time-out, LinkLost, ProtocolFault, and any Fault that
        ``then`` raises.
        """
        await self._exchange(question, Frames(self._framing, then), 0)
        raise LinkLost(f"{self.link.name}: the peer ended")

    async def _exchange(self, question: bytes, frames: Frames, answers: int) -> None:
        whole = False
        try:
            if answers:
                frames.begin(answers)
            await self.link.exchange(question, frames, self._timeout)
            whole = True
        except Timeout as fault:
            raise OutOfStep(str(fault), code=fault.code) from fault
        finally:
            if not whole:
                self.link.abort(LinkLost(f"{self.link.name}: the link was closed, for an answer is overdue"))
