"""A bus in a folder of its own, with batches that close only when told to, and frames that say who they are."""

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.bus import ledger, local, open_bus, writer
from gateway.config.root import BusConfig
from gateway.model.batch import decode_body
from gateway.model.frame import Frame

SCHEMA = b"schema-1"


def config(**settings):
    """Batches close by `flush` alone, unless told otherwise; no disk guard."""
    quick = {"path": Path("journal.db"), "linger": "1h", "min_free": 0}
    return BusConfig(**{**quick, **settings})


def frame(number, size=8, schema=SCHEMA):
    """A frame whose time is its number, with bytes that do not compress."""
    return Frame(schema, number, [os.urandom(size)])


def times(batch):
    """Numbers of the frames in a batch."""
    return [each.time for each in decode_body(batch.body).frames]


def gaps(batch):
    return decode_body(batch.body).gaps


class Bench:
    """What most tests do, in few words."""

    config, frame, times, gaps = staticmethod(config), staticmethod(frame), staticmethod(times), staticmethod(gaps)

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        self.path = folder / "journal.db"

    def open(self, clock=None, gateway="plant", monotonic=None, **settings):
        """``monotonic``: by which batches grow old; the clock when there is one and it is not given."""
        clocked = {} if clock is None else {"clock": clock, "monotonic": monotonic or clock}
        return open_bus(config(kind=self.kind, **settings), gateway, self.folder, **clocked)

    @staticmethod
    async def put(bus, *numbers, size=8, points=1):
        """One batch of one frame for each number."""
        for number in numbers:
            bus.publish(frame(number, size), points)
            await bus.flush()

    @staticmethod
    async def take(consumer, count, *, acknowledge=True):
        """So many batches."""
        found = []
        for _ in range(count):
            batch = await asyncio.wait_for(consumer.fetch(), 10)
            found.append(batch)
            if acknowledge:
                consumer.acknowledge(batch.seq)
        return found

    async def drain(self, consumer):
        """All there is, acknowledged."""
        found = []
        while consumer.backlog:
            try:
                found.append((await self.take(consumer, 1))[0])
            except TimeoutError:
                break
        return found

    @staticmethod
    async def eventually(condition, seconds=10):
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    @staticmethod
    @asynccontextmanager
    async def nothing_to_fetch(consumer):
        """Show that fetch waits; what happens inside must not change that."""
        waiting = asyncio.create_task(consumer.fetch())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        yield
        waiting.cancel()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What is done now and then is done five times as often."""
    for module, name in (
        (ledger, "REMOVE_SECONDS"),
        (ledger, "GUARD_SECONDS"),
        (writer, "RETRY_SECONDS"),
        (local, "POSITION_SECONDS"),
        (local, "READ_AGAIN_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) / 5)


@pytest.fixture(params=["memory", "journal"])
def bench(request, tmp_path):
    """Runs the test once for each store."""
    return Bench(request.param, tmp_path)


@pytest.fixture
def journal(tmp_path):
    """The journal alone."""
    return Bench("journal", tmp_path)


@pytest.fixture
def mounted():
    """Mounts a tmpfs with the given options; skips where that is not allowed."""
    folders = []

    def mount(options, folder):
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False)
        if done.returncode:
            pytest.skip("mounting is not allowed here")
        folders.append(folder)

    yield mount
    for folder in folders:
        subprocess.run(["umount", "-l", folder], check=True)
