"""The bus contract: one writer, many consumers, each with its own durable position.

* `publish` never blocks and never fails for a full disk: the frame joins the open batch. A batch closes by linger,
  bytes or rows, is committed, gets ``(gateway, epoch, seq)``, and only then becomes visible to consumers.
* What is visible survives `kill -9` and, with ``synchronous=FULL``, a power cut. What was published less than one
  commit window ago may be lost; the next start declares that interval as a gap.
* seq counts 1, 2, 3 … without holes within an epoch. An epoch is one journal file's life: it changes only when the
  journal had to be begun anew (quarantine, deleted file), and then it grows.
* A batch leaves the bus when every consumer has acknowledged it, or when a limit forces it out by the named policy.
  What is forced out before a consumer had it becomes a Gap, committed in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from gateway.config.root import Order
from gateway.model.batch import Batch, Gap
from gateway.model.frame import Frame
from gateway.model.schema import Schema, SchemaId
from gateway.observe.status import BusStatistics


class BusFailed(RuntimeError):
    """The bus cannot go on, and no call to it makes sense any more: the gateway is to end and be started again."""


class Consumer(Protocol):
    """A named reader with its own durable position."""

    name: str

    async def fetch(self) -> Batch:
        """Wait for the next batch that was neither fetched since `open` nor acknowledged, in this consumer's order."""

    def live(self, batch: Batch) -> bool:
        """True when the batch was committed since this consumer opened and is not backlog (for rate limits)."""

    def acknowledge(self, seq: int) -> None:
        """The platform has it. Becomes durable with the next commit or within a second, whichever is first."""

    def restart(self) -> None:
        """Forget what was fetched and not acknowledged: it will be fetched again (the link was lost)."""

    @property
    def backlog(self) -> int:
        """Batches committed and not acknowledged."""


class Bus(Protocol):
    """See the module. Made by `open_bus`; used in one event loop."""

    gateway: str
    epoch: int
    statistics: BusStatistics

    def define(self, schema: Schema) -> SchemaId:
        """Make a schema known; durable no later than the first batch whose frames name it. Idempotent and cheap."""

    def schema(self, identity: SchemaId) -> bytes | None:
        """Encoded schema by id, None if unknown."""

    def publish(self, frame: Frame, points: int) -> None:
        """Take a frame of ``points`` values into the open batch."""

    def declare(self, gap: Gap) -> None:
        """Take a gap into the open batch."""

    @property
    def has_room(self) -> bool:
        """False when readers should wait in `room`: limit reached with STOP_READING, or too much not committed yet."""

    async def room(self) -> None:
        """Wait until there is room."""

    def when_durable(self, then: Callable[[], None], lost: Callable[[], None]) -> None:
        """Call ``then`` once all that was published by now is committed; ``lost`` when some of it had to be given up.

        Neither closes the open batch nor hurries it. Called in the loop, never from within this call.
        """

    async def flush(self) -> None:
        """Close the open batch now and wait until it is committed."""

    def consumer(self, name: str, order: Order = Order.OLDEST_FIRST) -> Consumer:
        """Open a consumer by name; a new name starts at the oldest batch held. One holder per name at a time."""

    async def watch(self) -> NoReturn:
        """Raise BusFailed when the bus cannot go on; otherwise wait for ever."""

    def forget(self, name: str) -> None:
        """Remove a consumer and its position, so that it holds nothing back any more."""

    def stale_consumers(self) -> list[str]:
        """Names known from earlier runs and not opened in this one: they hold batches back until a limit forces."""


BusContext = AbstractAsyncContextManager[Bus]
