"""The bus against a model of it: any order of publishing, fetching, acknowledging, restarts and crashes."""

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.config.root import Order
from tests.bus.conftest import Bench

ORDERS = {"old": Order.OLDEST_FIRST, "new": Order.FRESH_FIRST}


class BusMachine(RuleBasedStateMachine):
    """Two consumers, one for each order; batches are known by (epoch, seq), and hold the numbers of their frames."""

    kind = "memory"
    settings: ClassVar = {}

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.bench = Bench(self.kind, self.folder)
        self.next = 0
        self.open_numbers = []
        self.batches = {}
        """Committed: numbers by seq."""
        self.acknowledged = {name: set() for name in ORDERS}
        self.durable = {name: set() for name in ORDERS}
        self.in_flight = {name: {} for name in ORDERS}
        self.run(self.start())

    def run(self, work):
        return self.runner.run(asyncio.wait_for(work, 20))

    async def start(self):
        self.stack = AsyncExitStack()
        self.bus = await self.stack.enter_async_context(self.bench.open(**self.settings))
        self.consumers = {name: self.bus.consumer(name, order) for name, order in ORDERS.items()}
        self.in_flight = {name: {} for name in ORDERS}
        before = self.bus.statistics.batches
        await self.bus.flush()
        if self.bus.statistics.batches > before or self.batches:
            self.batches[len(self.batches) + 1] = []  # the gap of the restart
        self.durable = {name: set(each) for name, each in self.acknowledged.items()}

    async def commit(self):
        if self.open_numbers:
            self.batches[len(self.batches) + 1], self.open_numbers = self.open_numbers, []
            await self.bus.flush()
            self.durable = {name: set(each) for name, each in self.acknowledged.items()}

    def left(self, name):
        return self.batches.keys() - self.acknowledged[name]

    @rule(count=st.integers(1, 5), size=st.sampled_from([8, 300, 20_000]))
    def publish(self, count, size):
        for _ in range(count):
            self.run(self.publish_one(size))

    async def publish_one(self, size):
        self.bus.publish(self.bench.frame(self.next, size), 1)
        self.open_numbers.append(self.next)
        self.next += 1

    @rule()
    def flush(self):
        self.run(self.commit())

    @rule(count=st.integers(1, 6))
    def publish_batches(self, count):
        for _ in range(count):
            self.run(self.publish_one(200))
            self.run(self.commit())

    @rule(name=st.sampled_from(list(ORDERS)), count=st.integers(1, 8))
    def fetch(self, name, count):
        for _ in range(count):
            waiting = self.left(name) - self.in_flight[name].keys()
            if not waiting:
                return
            batch = self.run(self.consumers[name].fetch())
            assert batch.epoch == self.bus.epoch
            assert batch.seq in waiting
            if name == "old":
                assert batch.seq == min(waiting)
            assert self.bench.times(batch) == self.batches[batch.seq]
            assert batch.frames == batch.points == len(self.batches[batch.seq])
            self.in_flight[name][batch.seq] = batch

    @rule(name=st.sampled_from(list(ORDERS)), which=st.integers(0, 1000))
    def acknowledge(self, name, which):
        if seqs := sorted(self.in_flight[name]):
            self.run(self.acknowledge_one(name, seqs[which % len(seqs)]))

    async def acknowledge_one(self, name, seq):
        self.consumers[name].acknowledge(seq)
        del self.in_flight[name][seq]
        self.acknowledged[name].add(seq)

    @rule(name=st.sampled_from(list(ORDERS)))
    def acknowledge_all(self, name):
        for seq in list(self.in_flight[name]):
            self.run(self.acknowledge_one(name, seq))

    @rule(name=st.sampled_from(list(ORDERS)))
    def link_lost(self, name):
        self.run(self.restart_consumer(name))

    async def restart_consumer(self, name):
        self.consumers[name].restart()
        self.in_flight[name].clear()

    @rule(name=st.sampled_from(list(ORDERS)))
    def take_over(self, name):
        self.run(self.open_again(name))

    async def open_again(self, name):
        self.consumers[name] = self.bus.consumer(name, ORDERS[name])
        self.in_flight[name].clear()

    @rule()
    def nothing_comes_twice(self):
        """With everything in flight, fetch waits."""
        for name in ORDERS:
            self.fetch(name, 10_000)
            with pytest.raises(TimeoutError):
                self.runner.run(asyncio.wait_for(self.consumers[name].fetch(), 0.01))

    @precondition(lambda self: self.kind == "journal")
    @rule()
    def reopen(self):
        self.run(self.commit())
        self.run(self.stack.aclose())
        self.run(self.start())

    @precondition(lambda self: self.kind == "journal")
    @rule()
    def crash(self):
        """The files as a kill would leave them; what was open is gone."""
        left = Path(tempfile.mkdtemp())
        with closing(sqlite3.connect(self.folder / "journal.db", isolation_level=None)) as pause:
            pause.execute("BEGIN IMMEDIATE")  # the two files as of one moment
            for suffix in ("", "-wal"):
                shutil.copy(self.folder / f"journal.db{suffix}", left)
            pause.execute("ROLLBACK")
        committed, sure, perhaps = dict(self.batches), self.durable, self.acknowledged
        self.run(self.stack.aclose())
        shutil.rmtree(self.folder)
        self.folder, self.open_numbers = left, []
        self.bench = Bench(self.kind, left)
        self.batches = committed
        self.run(self.start())
        for name in ORDERS:
            # Positions become durable a little later than they are given: they may be behind, never ahead.
            position = self.consumers[name].position
            kept = {seq for seq in self.batches if seq in position}
            assert sure[name] <= kept <= perhaps[name]
            self.acknowledged[name], self.durable[name] = kept, set(kept)

    @invariant()
    def counts_agree(self):
        for name, consumer in self.consumers.items():
            assert consumer.backlog == len(self.left(name))
        held = self.left("old") | self.left("new")
        assert len(held) <= self.bus.statistics.depth_batches <= len(self.batches)
        assert self.bus.statistics.dropped_batches == 0

    def teardown(self):
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.parametrize("cache", [0, 3000, 10**7])
@pytest.mark.parametrize("kind", ["memory", "journal"])
def test_the_bus_is_what_its_model_is(kind, cache):
    class Machine(BusMachine):
        pass

    Machine.kind, Machine.settings = kind, {"cache": cache, "batch_bytes": "1GB"}
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
