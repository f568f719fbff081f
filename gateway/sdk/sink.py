"""What a sink is: the code for one destination. It sends messages and says what became of them; lanes do the rest."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a platform."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where a lane's messages go: templates, in which {gateway}, {schema} and {device} are filled in by the lane.

    For a destination without topics they are keys, paths or stream names.
    """

    data: str = "xingsha/v1/{gateway}/data"
    schema: str = "xingsha/v1/{gateway}/schema/{schema}"
    status: str = "xingsha/v1/{gateway}/status"
    device_status: str = "xingsha/v1/{gateway}/status/{device}"


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

        Raises Rejected (poison), Busy (same session, send again later), LinkLost or Timeout (keep and send again),
        AuthFault or ConfigFault (keep, and do not hurry).
        """

    async def watch(self) -> NoReturn:
        """Raise the fault that ends the session, when it does; a link can be lost while nothing is being sent."""


class Sink(Protocol):
    """Lives as long as one lane's configuration."""

    in_flight: int
    """Messages that may be unacknowledged at the same time."""

    topics: Topics

    def open(
        self, *, will: Message | None = None, birth: Message | None = None, farewell: Message | None = None
    ) -> AbstractAsyncContextManager[SinkSession]:
        """Connect with a last will; send the birth once connected, and the farewell when leaving in order.

        Raises LinkLost, AuthFault, ConfigFault. When the connection is lost, pending sends raise LinkLost.
        """
