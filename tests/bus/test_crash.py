"""kill -9 at any moment: what was visible to a consumer is there afterwards, byte for byte, with the same number."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

KILLS = int(os.environ.get("XINGSHA_TEST_KILLS", "10"))

CHILD = """
import asyncio, os, sys, zlib
from pathlib import Path
from gateway.bus import open_bus
from gateway.config.root import BusConfig
from gateway.model.batch import decode_body
from gateway.model.frame import Frame

async def main():
    config = BusConfig(path="journal.db", linger="2ms", batch_bytes=20_000, min_free=0, cache=50_000)
    async with open_bus(config, "plant", Path(sys.argv[1])) as bus:
        lane = bus.consumer("lane")
        bus.consumer("keeper")  # acknowledges nothing, so that nothing is deleted

        async def deliver():
            while True:
                batch = await lane.fetch()
                numbers = [frame.time for frame in decode_body(batch.body).frames]
                first, last = (numbers[0], numbers[-1]) if numbers else (0, -1)
                lane.acknowledge(batch.seq)
                os.write(1, b"%d %d %d %d %d\\n" % (batch.epoch, batch.seq, zlib.crc32(batch.body), first, last))

        delivering = asyncio.create_task(deliver())
        number = int(sys.argv[2])
        while True:
            for _ in range(7):
                bus.publish(Frame(b"schema-1", number, [os.urandom(300)]), 1)
                number += 1
            if not bus.has_room:
                await bus.room()
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


def run_and_kill(folder, number, seconds):
    """What the child saw committed before it was killed: (epoch, seq, crc, first, last) each."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(number)], stdout=subprocess.PIPE) as child:
        first = child.stdout.readline()  # it works: from now on any moment will do
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        lines = (first + child.stdout.read()).split(b"\n")[:-1]
    return [tuple(map(int, line.split())) for line in lines]


def test_nothing_that_was_visible_is_lost(journal):
    chance = random.Random(7)
    seen = {}
    number = 0

    async def look():
        """All batches held, the position of the lane, and the gaps."""
        async with journal.open() as bus:
            await bus.flush()
            keeper, lane = bus.consumer("keeper"), bus.consumer("lane")
            batches = await journal.take(keeper, keeper.backlog, acknowledge=False)
            return batches, lane.position.low

    for _ in range(KILLS):
        printed = run_and_kill(journal.folder, number, chance.uniform(0.0, 0.25))
        assert printed
        for epoch, seq, crc, _, last in printed:
            assert seen.get((epoch, seq), crc) == crc  # again, perhaps: the position may be a little behind
            seen[epoch, seq] = crc
            number = max(number, last + 1)
        batches, low = asyncio.run(look())
        held = {(batch.epoch, batch.seq): zlib.crc32(batch.body) for batch in batches}
        assert {key: held.get(key) for key in seen} == seen
        assert [batch.seq for batch in batches] == list(range(1, len(batches) + 1))
        # The position is not ahead of what was acknowledged, and at most a second behind.
        assert low <= max(seq for _, seq in seen) + 1
        restarts = [gap for batch in batches for gap in journal.gaps(batch) if gap.reason == "restart"]
        assert restarts[-1].detail == ""
        assert restarts[-1].since <= restarts[-1].until
        numbers = [time for batch in batches for time in journal.times(batch)]
        number = max(number, *numbers) + 1
        seen.update(held)


def test_an_example_of_a_kill_during_a_commit(journal):
    """The writer is in the middle of SQLite's own work when the process goes: SIGKILL from within, at an fsync."""
    code = CHILD.replace(
        "asyncio.run(main())",
        """
import sqlite3
from gateway.bus import journal
class Deadly(sqlite3.Connection):
    count = 0
    def execute(self, sql, *arguments):
        if sql == "COMMIT":
            Deadly.count += 1
            if Deadly.count == 20:
                import threading, signal
                threading.Timer(0.0002, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return super().execute(sql, *arguments)
real = sqlite3.connect
sqlite3.connect = lambda *a, **k: real(*a, **k, factory=Deadly)
asyncio.run(main())
""",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(journal.folder), "0"], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    printed = [tuple(map(int, line.split())) for line in done.stdout.split(b"\n")[:-1]]
    assert printed

    async def main():
        async with journal.open() as bus:
            keeper = bus.consumer("keeper")
            batches = await journal.take(keeper, keeper.backlog, acknowledge=False)
            held = {(batch.epoch, batch.seq): zlib.crc32(batch.body) for batch in batches}
            assert all(held[epoch, seq] == crc for epoch, seq, crc, _, _ in printed)

    asyncio.run(main())
    assert not list(Path(journal.folder).glob("*.damaged-*"))
