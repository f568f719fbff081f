"""One commit after another: numbers batches, decides what goes, writes all of it in one transaction. Knows no loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.bus.batcher import Packed, Sealed, pack
from gateway.bus.cursor import FAR, Range
from gateway.bus.retention import CHUNK, SLACK, THINNED, merge, overflow_gaps, policy_for, too_old
from gateway.bus.store import (
    Change,
    Extent,
    Row,
    State,
    Store,
    StoreDamaged,
    StoreFull,
    StoreStuck,
    identity_of,
    places_in,
)
from gateway.config.root import BusConfig, WhenFull
from gateway.model.batch import Batch, Gap, decode_body
from gateway.model.schema import SchemaId

FLOOR: Final = 16 * 1024 * 1024
"""The disk guard lets this many bytes be held in any case: a lane that keeps up is not starved by a low disk."""
REMOVE_SECONDS: Final = 1.0
REMOVE_BYTES: Final = 4 * 1024 * 1024
REMOVE_CHUNK: Final = 4096
"""Batches that everybody has are deleted in groups: when a second has passed, or at this many bytes or batches."""
PRESSED: Final = 0.9
"""… or when so much of the limit is used."""
MAKE_ROOM_TRIES: Final = 6
GUARD_SECONDS: Final = 1.0
AGE_SECONDS: Final = 600
SECOND: Final = 1_000_000_000
PATIENCE: Final = SECOND // 5
"""On a full disk a batch waits so long (ns) for older ones to be acknowledged, before they are given up for it."""
SET_ASIDE: Final = "a damaged batch was set aside"
OVERSHOOT: Final = 4
"""stop_reading takes this many times batch_bytes beyond the limit: what was already read when readers were stopped."""


@dataclass(slots=True)
class Outcome:
    """What became of one attempt to commit."""

    rows: list[Row] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    weight: int = 0
    """Estimated memory bytes of the batches committed, as the loop counted them."""
    turn: int = 0
    """Of the last closed batch committed; 0: none was."""
    commits: int = 0
    seconds: float = 0.0
    dropped_batches: int = 0
    dropped_points: int = 0
    gaps: int = 0
    aside: int = 0
    rebuilt: bool = False
    state: State = field(default_factory=lambda: State("", 0))
    disk_free: int = 0
    allowed: int = 0
    """Bytes of bodies that may be held now."""
    oldest_time: int = 0
    cramped: bool = False
    """True while the store may not grow because the disk is full."""
    full: bool = False
    """True when something waits in memory because the store does not take it."""
    message: str = ""

    def add(
        self, rows: list[Row], gone: list[int], packed: list[Packed], dropped: list[Extent], aside: list[Extent]
    ) -> None:
        """Take one transaction that was committed into account."""
        self.rows += rows
        self.removed += gone
        self.weight += sum(each.weight for each in packed)
        self.turn = packed[-1].turn if packed else self.turn
        self.commits += 1
        self.dropped_batches += len(dropped)
        self.dropped_points += sum(each.points for each in dropped)
        self.gaps += sum(row.gaps for row in rows)
        self.aside += len(aside)


class Ledger:
    """Lives in the writer's thread. ``held`` are packed batches that wait for the next attempt."""

    def __init__(self, store: Store, config: BusConfig, clock: Callable[[], int], age: Callable[[], int]) -> None:
        self.store = store
        self.held: list[Packed] = []
        self.schemas: dict[SchemaId, bytes] = {}
        self.positions: dict[str, str | None] = {}
        self.removable: list[Range] = []
        self.aside: set[int] = set()
        self.later = False
        """True when there is something to delete that is not due yet."""
        self._gaps: list[Gap] = []
        self._config = config
        self._clock = clock
        self._age = age
        self._policy = policy_for(config.when_full)
        self._detail = THINNED if config.when_full is WhenFull.THIN_OUT else ""
        self._allowed = config.limit
        self._free: int | None = None
        self._guard_due = 0.0
        self._tidy_due = 0.0
        self._remove_due = 0.0
        self._written = 0
        """Bytes committed since batches were last deleted."""
        self._age_due = age()
        self._oldest_time = 0
        self._full = False

    def take(self, sealed: Sealed) -> None:
        """Pack a batch; it is committed by the next attempt."""
        self.held.append(pack(sealed))

    def attempt(self, *, final: bool = False) -> Outcome:
        """Commit what is held, as far as the store takes it. ``final``: also delete what is due only later."""
        outcome = Outcome()
        started = time.perf_counter()
        try:
            self._rebuild_if_broken(outcome)
            try:
                self._attempt(outcome, final=final)
            except StoreDamaged as error:
                outcome.message = str(error)
                self.store.broken = True
                self._rebuild_if_broken(outcome)
        except StoreStuck as error:
            outcome.full, outcome.message = True, str(error)
        outcome.seconds = time.perf_counter() - started
        outcome.state = self.store.state
        outcome.disk_free = self._free or 0
        outcome.allowed = self._allowed
        outcome.cramped = self.store.cramped
        outcome.oldest_time = self._oldest_time
        return outcome

    def _rebuild_if_broken(self, outcome: Outcome) -> None:
        """Have the store begin anew. Raises StoreStuck."""
        if self.store.broken:
            self.store.rebuild()
            self._gaps += self.store.loss
            self.store.loss = []
            outcome.rebuilt = True
            outcome.aside += 1

    def _attempt(self, outcome: Outcome, *, final: bool) -> None:
        self._look_at_disk()
        if self._full:
            self.store.tidy()  # with space again, the file may grow: before anything is given up for the lack of it
        acknowledged = self._acknowledged(final=final)
        try:
            self._commit(outcome, list(self.held), acknowledged)
            self._full = False
        except StoreFull:
            self._full = True
            # One step at a time: first make room with as little writing as possible, then one batch after another.
            self.store.relieve()
            self._one_by_one(outcome)
        if (now := time.monotonic()) >= self._tidy_due:
            self._tidy_due = now + GUARD_SECONDS
            self.store.tidy()

    def _one_by_one(self, outcome: Outcome) -> None:
        """Raises StoreFull when that does not help either."""
        acknowledged = self._acknowledged(final=True)
        patient = bool(self.held) and 0 <= self._clock() - self.held[0].closed < PATIENCE
        need = self.held[0].weight - sum(each.size for each in acknowledged) if self.held and not patient else 0
        self._commit(outcome, [], acknowledged, need)
        tries = 0
        while self.held and not outcome.full:
            try:
                self._commit(outcome, self.held[:1], [])
                tries = 0
            except StoreFull:
                # Rows do not fit exactly into the pages of those that went: ask for more each time.
                if patient or (tries := tries + 1) > MAKE_ROOM_TRIES or self._config.when_full is WhenFull.STOP_READING:
                    raise
                self._commit(outcome, [], [], len(self.held[0].body) << tries)

    def _look_at_disk(self) -> None:
        if (now := time.monotonic()) < self._guard_due:
            return
        self._guard_due = now + GUARD_SECONDS
        self._free = self.store.disk_free()
        self._allowed = self._config.limit
        if self._free is not None and self._free < self._config.min_free:
            self._allowed = min(self._allowed, max(FLOOR, self.store.state.bytes + self.store.room_inside()))

    def _acknowledged(self, *, final: bool) -> list[Extent]:
        """Batches that every consumer has, when it is time to delete a group of them."""
        state, found = self.store.state, list[Extent]()
        self.later = bool(state.batches and self.removable and self.removable[-1][1] >= state.oldest)
        now = time.monotonic()
        pressed = state.bytes + sum(len(each.body) for each in self.held) > PRESSED * self._allowed
        due = final or pressed or now >= self._remove_due or self._written >= REMOVE_BYTES
        if not (self.later and due):
            return found
        for first, last in self.removable:
            if last >= state.oldest and len(found) < REMOVE_CHUNK:
                found += self.store.extents(max(first, state.oldest), last, REMOVE_CHUNK - len(found))
        self.later = len(found) >= REMOVE_CHUNK
        self._remove_due, self._written = now + REMOVE_SECONDS, 0
        return found

    def _commit(self, outcome: Outcome, packed: list[Packed], acknowledged: list[Extent], need: int = 0) -> None:
        """One transaction. Raises StoreStuck, and then nothing was done."""
        state = msgspec.structs.replace(self.store.state, stopped=0)
        room = self._allowed - state.bytes + sum(each.size for each in acknowledged)
        if self._config.when_full is WhenFull.STOP_READING:
            fitting = self._fitting(packed, room)
            if len(fitting) < len(packed):
                outcome.full, outcome.message = True, "the limit is reached and readers are to wait"
            packed = fitting
        dropped = self._given_up(max(need, sum(len(each.body) for each in packed) - room), acknowledged)
        aside = [each for place in sorted(self.aside) for each in self.store.extents(place, place, 1)]
        gaps = [*self._gaps, *self._declared(dropped, aside)]
        rows = [number(state, pack(Sealed(gaps=gaps, closed=self._clock(), ran=self._age())))] if gaps else []
        rows += [number(state, each) for each in packed]
        gone = {each.place: each.size for each in (*acknowledged, *dropped, *aside)}
        if not (rows or gone or self.positions or self.schemas):
            return
        state.batches += len(rows) - len(gone)
        state.bytes = max(0, state.bytes + sum(row.batch.size for row in rows) - sum(gone.values()))
        set_aside = places_in(aside)
        remove = sorted(gone.keys() - set(set_aside))
        self.store.apply(Change(state, rows, self.schemas, self.positions, remove, set_aside))
        self.schemas, self.positions, self._gaps = {}, {}, []
        self.aside.clear()
        del self.held[: len(packed)]
        self._written += sum(row.batch.size for row in rows)
        outcome.add(rows, list(gone), packed, dropped, aside)
        if gone or not self._oldest_time:
            self._find_oldest()

    def _fitting(self, packed: list[Packed], room: int) -> list[Packed]:
        """As many as there is room for, with what was already read when readers were stopped."""
        room += OVERSHOOT * self._config.batch_bytes
        for count, each in enumerate(packed):
            room -= len(each.body)
            if room < 0 and (count or self.store.state.batches):
                return packed[:count]
        return packed

    def _find_oldest(self) -> None:
        """Note where the oldest row is: a lower bound, written with the next commit."""
        state = self.store.state
        oldest = self.store.extents(state.oldest, FAR, 1)
        state.oldest = oldest[0].place if oldest else state.place + 1
        self._oldest_time = oldest[0].first_time if oldest else 0

    def _given_up(self, need: int, acknowledged: list[Extent]) -> list[Extent]:
        """What has to go by the limit and by age, although somebody has not had it."""
        held = _Less(self.store, set(places_in(acknowledged)))
        dropped: list[Extent] = []
        need += min(self._allowed, self.store.state.bytes) // SLACK if need > 0 else 0
        while need > 0 and len(dropped) < CHUNK and (more := self._policy(held, need)):
            dropped += more
            held.gone.update(places_in(more))
            need -= sum(each.size for each in more)
        if (now := self._age()) >= self._age_due:
            retain = int(self._config.retain * SECOND)
            old = too_old(held, now - retain)
            if len(old) < CHUNK:
                self._age_due = now + min(max(retain // SLACK, SECOND), AGE_SECONDS * SECOND)
            dropped += old
        return dropped

    def _declared(self, dropped: list[Extent], aside: list[Extent]) -> list[Gap]:
        """Gaps for what goes, together with those that stood in what goes."""
        state = self.store.state
        gaps = overflow_gaps(dropped, lambda place: identity_of(state, place), self._detail)
        for each in dropped:
            if each.gaps:
                gaps += self._gaps_in(each.place)
        lost = merge(gaps)
        for each in aside:
            epoch, seq = identity_of(state, each.place)
            lost.append(
                Gap("corruption", each.first_time, each.last_time, "", "", each.points, seq, seq, epoch, SET_ASIDE)
            )
        return lost

    def _gaps_in(self, place: int) -> list[Gap]:
        found = self.store.read(place, place, 1, 1)
        try:
            return [gap for row in found if isinstance(row, Row) for gap in decode_body(row.batch.body).gaps]
        except ValueError:
            return []


@dataclass(slots=True)
class _Less:
    """What a store holds, less what goes anyway."""

    store: Store
    gone: set[int]

    def extents(self, first: int, last: int, count: int) -> list[Extent]:
        found = self.store.extents(first, last, count + len(self.gone))
        return [each for each in found if each.place not in self.gone][:count]

    def median(self) -> int:
        return self.store.median()


def number(state: State, packed: Packed) -> Row:
    """Give a batch the next place and seq. Changes ``state``."""
    state.place += 1
    state.closed, state.ran = packed.closed, packed.ran
    last_time = packed.last_time if packed.frames else state.last_time
    first_time = packed.first_time if packed.frames else state.last_time
    state.last_time = last_time
    batch = Batch(
        epoch=state.epoch,
        seq=state.place - state.base,
        body=packed.body,
        frames=packed.frames,
        points=packed.points,
        first_time=first_time,
        last_time=last_time,
        schemas=packed.schemas,
    )
    return Row(state.place, batch, packed.ran, packed.gaps)
