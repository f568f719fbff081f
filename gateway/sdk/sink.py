"""What a sink is: the code for one destination. It sends messages and says what became of them; lanes do the rest."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a platform."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = ""


class Rejected(Exception):
    """The platform will never take this message (too large, not allowed): set it aside, count it, go on."""

    def __init__(self, message: str, *, code: str = "rejected_by_platform") -> None:
        super().__init__(message)
        self.code = code


class SinkSession(Protocol):
    """Lives as long as one established connection to the platform."""

    max_payload: int
    """Largest payload in bytes that the platform takes, as told by it or configured."""

    async def send(self, message: Message) -> None:
        """Return when the platform has acknowledged it (QoS 1: PUBACK). May be awaited many times at once.

        Raises Rejected (poison), LinkLost or Timeout (keep and send again), AuthFault.
        """


class Sink(Protocol):
    """Lives as long as one lane's configuration."""

    in_flight: int
    """Messages that may be unacknowledged at the same time."""

    def open(self, *, will: Message, birth: Message) -> AbstractAsyncContextManager[SinkSession]:
        """Connect with a last will; send the birth once connected, and the will's payload when leaving in order.

        Raises LinkLost, AuthFault, ConfigFault. When the connection is lost, pending sends raise LinkLost.
        """
