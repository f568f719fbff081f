"""The bus of one process: gathers frames, has the writer commit them, wakes the consumers. Lives in one event loop.

The event loop never touches the store: commits run in the writer's thread, reads of older batches in another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, NoReturn

from gateway.bus.age import Nanoseconds
from gateway.bus.batcher import GAP_BYTES, Sealed, frame_size
from gateway.bus.consumer import READ_BYTES, READ_ROWS, LocalConsumer, Scan
from gateway.bus.cursor import Position, Range, in_all
from gateway.bus.ledger import Ledger, Outcome
from gateway.bus.protocol import BusFailed
from gateway.bus.rate import Rate
from gateway.bus.recent import Recent
from gateway.bus.retention import merge
from gateway.bus.store import Row, State, Store, StoreDamaged, StoreStuck
from gateway.bus.waiting import Waiting
from gateway.bus.writer import Writer
from gateway.config.root import BusConfig, Order, WhenFull
from gateway.model.batch import Gap
from gateway.model.frame import Frame
from gateway.model.schema import Schema, SchemaId, schema_id
from gateway.observe.status import BusStatistics

PENDING_BATCHES: Final = 8
"""Readers wait while this many full batches are closed and not committed …"""
PENDING_MOST: Final = 64
"""… and when so many are, the oldest are given up, counted and declared: memory is bounded too."""
POSITION_SECONDS: Final = 0.5
GO_ON: Final = 0.9
"""stop_reading: readers go on when so much of the limit is used (or two batches less than the limit)."""
NEARLY: Final = 0.95
READ_AGAIN_SECONDS: Final = 0.5


class LocalBus:
    """See `gateway.bus.protocol.Bus`."""

    def __init__(self, store: Store, config: BusConfig, clock: Nanoseconds, age: Nanoseconds, reader: Executor) -> None:
        state = store.state
        self.gateway = state.gateway
        self.epoch = state.epoch
        self.newest = state.place
        self.recent = Recent(config.cache)
        self.now, self._clock = age, clock
        self.statistics = BusStatistics(kind=store.kind, limit_bytes=config.limit, quarantined=store.rebuilt)
        self._loop = asyncio.get_running_loop()
        self._store, self._config, self._reader = store, config, reader
        self._bases: dict[int, int] = {}
        self._schemas, self._new_schemas = store.schemas(), dict[SchemaId, bytes]()
        self._positions = store.positions()
        self._unread = {name: store.unread(position) for name, position in self._positions.items()}
        self._consumers: dict[str, LocalConsumer] = {}
        self._open = Sealed()
        self._linger: asyncio.TimerHandle | None = None
        self._pending = 0
        """Estimated bytes closed and not committed."""
        self._turn = self._done = 0
        """Batches closed, and the last of them that was committed, in this run."""
        self._moved: set[str] = set()
        self._save: asyncio.TimerHandle | None = None
        self._held_back = self._closing = False
        self._room = asyncio.Event()
        self._waiting = Waiting()
        self._lost: Gap | None = None
        self._rate = Rate(time.monotonic())
        self._failure: BaseException | None = None
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._note_state(state)
        self._writer = Writer(
            Ledger(store, config, clock, age),
            lambda outcome: self._in_loop(partial(self._committed, outcome)),
            lambda error: self._in_loop(partial(self._writer_ended, error)),
        )
        self._writer.put_positions({}, self._removable())
        self._writer.start()

    # Writing

    def define(self, schema: Schema) -> SchemaId:
        """See the protocol."""
        encoded = schema.encode()
        identity = schema_id(encoded)
        if identity not in self._schemas:
            self._schemas[identity] = self._new_schemas[identity] = encoded
        return identity

    def schema(self, identity: SchemaId) -> bytes | None:
        """See the protocol."""
        return self._schemas.get(identity)

    def publish(self, frame: Frame, points: int) -> None:
        """See the protocol."""
        if self._closing:
            raise RuntimeError("the bus is closed: nothing can be published any more")
        batch = self._open
        batch.frames.append(frame)
        batch.points += points
        batch.size += frame_size(frame)
        if batch.size >= self._config.batch_bytes or len(batch.frames) >= self._config.batch_frames:
            self._seal()
        elif self._linger is None:
            self._linger = self._loop.call_later(self._config.linger, self._seal)

    def declare(self, gap: Gap) -> None:
        """See the protocol."""
        self._open.gaps.append(gap)
        self._open.size += GAP_BYTES + len(gap.detail)
        if self._linger is None:
            self._linger = self._loop.call_later(self._config.linger, self._seal)

    def _seal(self) -> None:
        """Close the open batch and hand it to the writer."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        batch, self._open = self._open, Sealed()
        if self._lost is not None:
            batch.gaps.append(self._lost)
            self._lost = None
        self._turn += 1
        batch.turn, batch.closed, batch.ran = self._turn, self._clock(), self.now()
        self._pending += batch.size
        schemas, self._new_schemas = self._new_schemas, {}
        self._save_positions()
        self._writer.put(batch, schemas)
        while self._pending > PENDING_MOST * self._config.batch_bytes and self._give_up():
            pass

    @property
    def _anything_open(self) -> bool:
        return bool(self._open.frames or self._open.gaps or self._lost is not None)

    def _give_up(self) -> bool:
        """Let go of the oldest batch that could not be written: the store is stuck, and memory is bounded."""
        batch = self._writer.give_up_oldest()
        if batch is None:
            return False
        self._pending -= batch.size
        self.statistics.dropped_batches += 1
        self.statistics.dropped_points += batch.points
        since = min((frame.time for frame in batch.frames), default=batch.closed)
        count = batch.points
        if self._lost is not None:
            since, count = min(since, self._lost.since), count + self._lost.count
        self._lost = Gap("overflow", since, batch.closed, count=count, detail="could not be written")
        if self._linger is None:
            self._linger = self._loop.call_later(self._config.linger, self._seal)
        self._open.gaps = merge([*self._open.gaps, *batch.gaps])
        self._waiting.given_up(batch.turn)
        return True

    @property
    def has_room(self) -> bool:
        """See the protocol."""
        return not self._held_back and self._pending < PENDING_BATCHES * self._config.batch_bytes

    async def room(self) -> None:
        """See the protocol."""
        while not self.has_room:
            self.check()
            self._room.clear()
            await self._room.wait()

    async def flush(self) -> None:
        """See the protocol."""
        self.check()
        if self._anything_open:
            self._seal()
        if self._done < self._turn:
            await self._waiting.until(self._turn)
            self.check()

    def when_durable(self, then: Callable[[], None], lost: Callable[[], None]) -> None:
        """See the protocol."""
        turn = self._turn + self._anything_open
        if self._failure is not None:
            self._loop.call_soon(lost)
        elif turn <= self._done:
            self._loop.call_soon(then)
        else:
            self._waiting.add(turn, then, lost)

    # Reading

    def consumer(self, name: str, order: Order = Order.OLDEST_FIRST) -> LocalConsumer:
        """See the protocol. Opening a name again takes it over from whoever had it."""
        self._retire(name)
        if name not in self._positions:
            self._positions[name] = Position()
            self._unread[name] = self.statistics.depth_batches
            self._moved.add(name)
            self._save_positions()
        opened = LocalConsumer(self, name, order, self._positions[name], self._unread[name])
        self._consumers[name] = opened
        return opened

    def forget(self, name: str) -> None:
        """See the protocol."""
        self._retire(name)
        if self._positions.pop(name, None) is not None:
            self._moved.discard(name)
            self._writer.put_positions({name: None}, self._removable())

    def _retire(self, name: str) -> None:
        if (former := self._consumers.pop(name, None)) is not None:
            self._unread[name] = former.backlog
            former.retired = True
            former.wake()

    def stale_consumers(self) -> list[str]:
        """See the protocol."""
        return sorted(self._positions.keys() - self._consumers.keys())

    def base(self, epoch: int) -> int:
        """Place before the first batch of an epoch."""
        return self._bases.get(epoch, 0)

    def acknowledged(self, consumer: LocalConsumer) -> None:
        """A position has changed: save it with the next commit, or soon."""
        self._moved.add(consumer.name)
        if self._save is None:
            self._save = self._loop.call_later(POSITION_SECONDS, self._save_positions)

    def _save_positions(self) -> None:
        if self._save is not None:
            self._save.cancel()
            self._save = None
        if self._moved:
            moved, self._moved = self._moved, set()
            self._writer.put_positions({name: self._positions[name].encode() for name in moved}, self._removable())

    def _removable(self) -> list[Range]:
        return in_all(list(self._positions.values()))

    def read(self, consumer: LocalConsumer, scan: Scan, first: int, last: int) -> None:
        """Read rows from the store in the reader's thread."""
        rebuilt = self._store.rebuilt
        reading = self._loop.run_in_executor(self._reader, self._store.read, first, last, READ_ROWS, READ_BYTES)
        reading.add_done_callback(lambda done: self._was_read(consumer, scan, (first, last), rebuilt, done))

    def _was_read(
        self,
        consumer: LocalConsumer,
        scan: Scan,
        places: Range,
        rebuilt: int,
        reading: asyncio.Future[list[Row | int]],
    ) -> None:
        if reading.cancelled():
            return
        match reading.exception():
            case None:
                found = reading.result()
                for place in found:
                    if isinstance(place, int):
                        consumer.damaged(place)
                        self._writer.set_aside(place)
                scan.arrived(places, found)
                consumer.wake()
            case StoreDamaged():
                scan.reading = False
                self._writer.rebuild(rebuilt)
                self._loop.call_later(READ_AGAIN_SECONDS, consumer.wake)
            case StoreStuck():
                scan.reading = False
                self._loop.call_later(READ_AGAIN_SECONDS, consumer.wake)
            case unexpected:
                self._fail(unexpected)

    # What the writer reports

    def _in_loop(self, report: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(report)

    def _committed(self, outcome: Outcome) -> None:
        """One attempt of the writer is over."""
        if outcome.rebuilt:
            self.recent.clear()
            self._moved.update(self._positions)
            self._save_positions()
        for row in outcome.rows:
            self.recent.add(row)
            self.newest = row.place
        self._note_state(outcome.state)
        self._removed(outcome.removed)
        self._count(outcome)
        for name in self.stale_consumers():
            self._unread[name] += len(outcome.rows)
        for consumer in self._consumers.values():
            consumer.committed(len(outcome.rows))
        self._pending -= outcome.weight
        self._done = max(self._done, outcome.turn)
        self._waiting.reached(self._done)
        self._hold_back(outcome)

    def _note_state(self, state: State) -> None:
        self.epoch = state.epoch
        self._bases = dict([*state.past, (state.epoch, state.base)])
        self.statistics.depth_batches = state.batches
        self.statistics.depth_bytes = state.bytes

    def _removed(self, places: list[int]) -> None:
        if not places:
            return
        gone, last = set(places), max(places)
        self.recent.remove(places)
        for name in self.stale_consumers():
            position = self._positions[name]
            self._unread[name] -= sum(place not in position for place in places)
        for consumer in self._consumers.values():
            consumer.removed(gone, last)

    def _count(self, outcome: Outcome) -> None:
        count, size = self.statistics, 0
        for row in outcome.rows:
            count.frames += row.batch.frames
            count.points += row.batch.points
            size += row.batch.size
        count.batches += len(outcome.rows)
        count.gaps += outcome.gaps
        count.commits += outcome.commits
        count.commit_seconds += outcome.seconds if outcome.commits else 0.0
        count.dropped_batches += outcome.dropped_batches
        count.dropped_points += outcome.dropped_points
        count.quarantined += outcome.aside
        count.oldest_time = outcome.oldest_time
        count.disk_free = outcome.disk_free
        count.limit_bytes = outcome.allowed
        room = outcome.allowed - count.depth_bytes
        if outcome.disk_free:
            room = min(room, outcome.disk_free - self._config.min_free)
        self._rate.add(size, now := time.monotonic())
        count.hours_left = self._rate.hours(room, now)

    def _hold_back(self, outcome: Outcome) -> None:
        """Decide whether readers are to wait, and say whether the bus is full."""
        depth, allowed = self.statistics.depth_bytes, outcome.allowed
        if self._config.when_full is WhenFull.STOP_READING:
            enough = max(allowed - 2 * self._config.batch_bytes, int(GO_ON * allowed))
            self._held_back = outcome.full or depth >= (enough if self._held_back else allowed)
        guarded = allowed < self._config.limit and depth >= min(NEARLY * allowed, allowed - self._config.batch_bytes)
        self.statistics.full = self._held_back or outcome.full or outcome.cramped or guarded
        if self.has_room:
            self._room.set()

    # Ending

    def check(self) -> None:
        """Raise when the bus cannot go on."""
        if self._failure is not None:
            raise BusFailed(f"the bus has failed and takes nothing any more: {self._failure!r}") from self._failure

    async def watch(self) -> NoReturn:
        """See the protocol."""
        while True:
            await asyncio.shield(self._broken)
            self.check()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        if not self._broken.done():
            self._broken.set_result(None)
        self._waiting.end()
        self._room.set()
        for consumer in self._consumers.values():
            consumer.wake()

    def _writer_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
        if not self._ended.done():
            self._ended.set_result(None)

    async def close(self) -> None:
        """Commit what is open, save positions, end the threads, close the store."""
        if self._anything_open:
            self._seal()
        self._closing = True
        self._save_positions()
        self._writer.stop()
        await self._ended
        stopped = 0 if self._done < self._turn else self._clock()
        await self._loop.run_in_executor(self._reader, self._store.close, stopped)
        if self._save is not None:
            self._save.cancel()
        for consumer in self._consumers.values():
            consumer.retired = True
            consumer.wake()
