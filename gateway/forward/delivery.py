"""Delivery over one connection: a window of batches under way, each acknowledged to the bus when the platform has it.

A few workers share the consumer. They take turns up to the point where a batch is handed to the sink, so that batches
leave in the order of the bus; waiting for the platform is done side by side. No task is made per batch or message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from gateway.bus.protocol import Bus, Consumer
from gateway.config.root import LaneConfig
from gateway.forward.announce import News, fill
from gateway.forward.ceiling import Ceiling
from gateway.forward.deadletters import DeadLetter, Spool, write_letter
from gateway.forward.payload import Encoded, Layouts, Payload, Poison, Schemas
from gateway.model.batch import Batch, Gap, decode_body, encode_body
from gateway.model.faults import Busy
from gateway.model.schema import SchemaId, decode_schema
from gateway.observe.status import LaneStatus
from gateway.sdk.sink import Message, Rejected, SinkSession, Topics

log = structlog.get_logger("lane")

BESIDE: Final = 5000
"""Points from which a batch is encoded beside the event loop."""
REJECT_PAUSE: Final = 1.0
"""Seconds before a message that was rejected is tried again, where the configuration asks for more than one try."""
_MOST_PUBLISHED: Final = 100_000
_MOST_UNSURE: Final = 10_000
_NEWS_AT_ONCE: Final = 16
_SIZE_SUSPECTED: Final = frozenset({"link_lost", "no_acknowledgement"})
"""Ways to lose a link that a message can cause by its size."""


@dataclass(slots=True)
class Shared:
    """What a lane keeps from one connection to the next."""

    lane: str
    gateway: str
    config: LaneConfig
    bus: Bus
    topics: Topics
    payload: Payload
    spool: Spool
    status: LaneStatus
    delivered: Callable[[], None]
    """Called after each batch that the platform has acknowledged."""
    ceiling: Ceiling = field(default_factory=Ceiling)
    rejects: dict[int, int] = field(default_factory=dict)
    """How often a batch was rejected, by seq."""
    stuck: set[int] = field(default_factory=set)
    """Batches that were under way at the last loss of a link that a message may have caused by its size."""
    unsure: set[int] = field(default_factory=set)
    """Batches that were under way when a link was lost: the platform may have them."""
    refused: set[SchemaId] = field(default_factory=set)
    """Schemas that the platform will not take."""
    next_backfill: float = 0.0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)
    spool_full: bool = False

    async def drained(self, done: Callable[[], bool]) -> None:
        """Wait until ``done`` holds; looked at whenever a batch has been settled."""
        while not done():
            self.settled.clear()
            await self.settled.wait()


class Delivery:
    """See the module. Lives as long as one connection."""

    def __init__(self, shared: Shared, consumer: Consumer, session: SinkSession) -> None:
        self._shared = shared
        self._consumer = consumer
        self._session = session
        self._status = shared.status
        self._turn = asyncio.Lock()
        self._published: set[SchemaId] = set()
        self._under_way: dict[int, int] = {}
        self._progress = False
        self._data_topic = fill(shared.topics.data, gateway=shared.gateway)
        self._log = log.bind(lane=shared.lane)

    async def work(self) -> None:
        """Deliver batch after batch; run as many of these as the window is wide. Raises what ends the connection."""
        while True:
            async with self._turn:
                batch = await self._consumer.fetch()
                await self._pace(batch)
                batch, poison = await self._publish_schemas(batch)
                encoded = await self._encode(batch)
                if self._shared.ceiling.alone:
                    await self._deliver(batch, encoded, poison)
                    continue
            await self._deliver(batch, encoded, poison)

    async def tell(self, news: News) -> None:
        """Publish status messages of devices as they come."""
        while True:
            messages = await news.take(_NEWS_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for message in messages:
                    group.create_task(self._tell(message), name=message.topic)

    async def _tell(self, message: Message) -> None:
        try:
            await self._patient(message)
        except Rejected as why:
            self._log.warning("status_rejected", topic=message.topic, reason=why.code, message=str(why))

    def lost(self, code: str) -> None:
        """The link is gone, for this reason: note what it leaves open, and learn from it."""
        shared, ceiling = self._shared, self._shared.ceiling
        shared.unsure = {*self._under_way, *list(shared.unsure)[:_MOST_UNSURE]}
        largest = max(self._under_way.values(), default=0)
        told = code == "packet_too_large"
        suspected = 0
        if code in _SIZE_SUSPECTED:
            # where others get through, such as live data before backlog, it is one that was under way last time as well
            again = [size for seq, size in self._under_way.items() if seq in shared.stuck]
            suspected = max(again, default=0) if self._progress else largest
            shared.stuck = set(self._under_way)
        if (told and ceiling.refused(largest)) or (suspected and ceiling.lost(suspected)):
            self._log.warning("message_size_lowered", from_bytes=largest, to_bytes=ceiling.limit(largest))

    async def _pace(self, batch: Batch) -> None:
        """Hold back backlog to its rate. Whoever waits here has the turn, so live batches wait as long at most."""
        rate = self._shared.config.backfill_rate
        if not rate or self._consumer.live(batch):
            return
        now = time.monotonic()
        due = max(now, self._shared.next_backfill)
        self._shared.next_backfill = due + 1 / rate
        if due > now:
            await asyncio.sleep(due - now)

    async def _publish_schemas(self, batch: Batch) -> tuple[Batch, list[Poison]]:
        """Publish the schemas that this connection has not seen yet; set apart frames whose schema is refused."""
        shared = self._shared
        new = [identity for identity in batch.schemas if identity not in self._published]
        if new:
            if len(self._published) > _MOST_PUBLISHED:
                self._published.clear()
            async with asyncio.TaskGroup() as group:
                for identity in new:
                    group.create_task(self._publish_schema(identity), name=f"schema {identity.hex()}")
        if not shared.refused or shared.refused.isdisjoint(batch.schemas):
            return batch, []
        return without(batch, shared.refused, self._schemas(batch.schemas))

    async def _publish_schema(self, identity: SchemaId) -> None:
        shared = self._shared
        encoded = shared.bus.schema(identity)
        self._published.add(identity)
        if encoded is None:
            self._log.warning("schema_unknown", schema=identity.hex())
            return
        topic = fill(shared.topics.schema, gateway=shared.gateway, schema=identity.hex())
        try:
            await self._patient(Message(topic, shared.payload.schema(encoded), True, shared.payload.content_type))
            shared.refused.discard(identity)
        except (Rejected, ValueError) as why:
            if identity not in shared.refused:
                shared.refused.add(identity)
                self._log.warning("schema_rejected", schema=identity.hex(), message=str(why))

    async def _encode(self, batch: Batch) -> Encoded | ValueError:
        shared = self._shared
        limit = shared.ceiling.limit(self._session.max_payload)
        message = shared.payload.direct(batch, limit)
        if message is not None:
            return Encoded([message])
        schemas = self._schemas(batch.schemas)
        try:
            if batch.points < BESIDE:
                return shared.payload.encode(batch, limit, schemas)
            return await asyncio.to_thread(shared.payload.encode, batch, limit, schemas)
        except ValueError as error:
            return error

    def _schemas(self, identities: Iterable[SchemaId]) -> dict[SchemaId, bytes]:
        known = {identity: self._shared.bus.schema(identity) for identity in identities}
        return {identity: encoded for identity, encoded in known.items() if encoded is not None}

    async def _deliver(self, batch: Batch, encoded: Encoded | ValueError, poison: list[Poison]) -> None:
        """Bring a batch to its end: acknowledged by the platform, or set aside."""
        shared = self._shared
        if isinstance(encoded, ValueError):
            await self._bury(batch, "batch_unreadable", str(encoded), [])
            self._settle(batch, 0)
            return
        if batch.seq in shared.unsure:
            shared.unsure.discard(batch.seq)
            self._status.resent += 1
        while True:
            try:
                size = await self._send(batch, encoded)
                break
            except Rejected as why:
                if await self._give_up(batch, why):
                    self._settle(batch, 0)
                    return
        poison = [*poison, *encoded.poison]
        if poison:
            await self._bury(batch, poison[0].code, poison[0].reason, poison)
        self._progress = True
        self._settle(batch, size)

    async def _send(self, batch: Batch, encoded: Encoded) -> int:
        """Send all parts; returns their bytes."""
        largest = max(map(len, encoded.parts), default=0)
        self._under_way[batch.seq] = largest
        self._status.in_flight = len(self._under_way)
        content_type = self._shared.payload.content_type
        for part in encoded.parts:
            await self._patient(Message(self._data_topic, part, False, content_type))
            self._progress = True
        self._shared.ceiling.passed(largest)
        del self._under_way[batch.seq]
        self._status.in_flight = len(self._under_way)
        return sum(map(len, encoded.parts))

    async def _patient(self, message: Message) -> None:
        while True:
            try:
                await self._session.send(message)
            except Busy as why:
                if self._status.reason != why.code:
                    self._log.warning("lane_held_back", reason=why.code, message=str(why))
                    self._status.reason, self._status.message = why.code, str(why)
                await asyncio.sleep(why.wait)
                continue
            if self._status.reason:
                self._status.reason = self._status.message = ""
            return

    async def _give_up(self, batch: Batch, why: Rejected) -> bool:
        """Note that a batch was rejected. True: it was set aside; False: try again, after a pause."""
        shared = self._shared
        self._under_way.pop(batch.seq, None)
        times = shared.rejects[batch.seq] = shared.rejects.get(batch.seq, 0) + 1
        if times < shared.config.max_rejects:
            await asyncio.sleep(REJECT_PAUSE)
            return False
        await self._bury(batch, why.code, str(why), [])
        return True

    async def _bury(self, batch: Batch, code: str, reason: str, poison: list[Poison]) -> None:
        """Set a batch, or some frames of it, aside; and declare on the bus that they will not come."""
        shared = self._shared
        schemas = self._schemas({*batch.schemas, *(one.frame.schema for one in poison)})
        letter = write_letter(shared.gateway, shared.lane, batch, schemas, code=code, reason=reason, poison=poison)
        kept = await self._keep(letter)
        points = letter.header.points
        if kept:
            self._status.dead_letters += 1
            self._log.warning("dead_letter", seq=batch.seq, points=points, reason=code, message=reason)
        else:
            self._status.dead_letters_dropped += 1
        for gap in _gaps(shared.lane, batch, code, poison, letter):
            shared.bus.declare(gap)

    async def _keep(self, letter: DeadLetter) -> bool:
        shared = self._shared
        async with shared.keeping:
            try:
                kept = await asyncio.to_thread(shared.spool.put, letter)
                message = "the folder has reached its limit: look at it with `xingsha deadletters list`"
            except OSError as error:
                kept, message = False, f"{shared.spool.folder}: {error.strerror}"
            if not kept and not shared.spool_full:
                self._log.error("dead_letters_full", message=message)
            shared.spool_full = not kept
        return kept

    def _settle(self, batch: Batch, size: int) -> None:
        """The batch is done with, one way or the other."""
        shared, status = self._shared, self._status
        shared.rejects.pop(batch.seq, None)
        shared.stuck.discard(batch.seq)
        self._under_way.pop(batch.seq, None)
        self._consumer.acknowledge(batch.seq)
        if size:
            status.batches += 1
            status.points += batch.points
            status.payload_bytes += size
            status.last_delivery = time.time_ns()
            shared.delivered()
        shared.settled.set()


def without(batch: Batch, refused: set[SchemaId], schemas: Schemas) -> tuple[Batch, list[Poison]]:
    """Return the batch without the frames of refused schemas, and those frames."""
    try:
        body = decode_body(batch.body)
    except ValueError:
        return batch, []  # what cannot be read is sent as it is
    layouts = Layouts()
    keep = [frame for frame in body.frames if frame.schema not in refused]
    poison = []
    for frame in body.frames:
        if frame.schema in refused:
            reason = f"the platform does not take the schema {frame.schema.hex()}"
            poison.append(Poison(frame, layouts.points(frame, schemas), "schema_rejected", reason))
    rest = tuple(identity for identity in batch.schemas if identity not in refused)
    packed = encode_body(keep, body.gaps)
    return msgspec.structs.replace(batch, body=packed, frames=len(keep), schemas=rest), poison


def _gaps(lane: str, batch: Batch, code: str, poison: list[Poison], letter: DeadLetter) -> list[Gap]:
    """Return the gaps to declare. None for a batch that holds nothing but gaps: that would go on for ever."""
    detail = f"lane {lane}: {code}"
    if not poison:
        if not batch.frames:
            return []
        return [
            Gap(
                "poison",
                batch.first_time,
                batch.last_time,
                count=batch.points,
                first_seq=batch.seq,
                last_seq=batch.seq,
                epoch=batch.epoch,
                detail=detail,
            )
        ]
    found: dict[SchemaId, Gap] = {}
    for one in poison:
        frame, so_far = one.frame, found.get(one.frame.schema)
        encoded = letter.schemas().get(frame.schema)
        schema = decode_schema(encoded) if encoded else None
        found[frame.schema] = Gap(
            "poison",
            min(frame.time, so_far.since) if so_far else frame.time,
            max(frame.time, so_far.until) if so_far else frame.time,
            device=schema.device if schema else "",
            group=schema.group if schema else "",
            count=one.points + (so_far.count if so_far else 0),
            epoch=batch.epoch,
            detail=detail,
        )
    return list(found.values())
