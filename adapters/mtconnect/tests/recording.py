"""What the reference agent said, byte by byte, to be played back where there is no such agent.

    XINGSHA_CPPAGENT=/path/to/agent python -m adapters.mtconnect.tests.recording [SCHEMA]

writes ``recorded/cppagent-<version>.json``. Requests are written here and answers are kept as they came off the socket,
without any code of the adapter, except that the name of the host in ``sender="..."`` becomes as many x. SCHEMA is
the edition of the documents: 2.5 for agent 2.5.0.11; the others speak the one that they choose by themselves.
"""

import asyncio
import json
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters.mtconnect.tests.reference import agent_at_work, stamp

FOLDER = Path(__file__).parent / "recorded"
COUNT, INTERVAL, HEARTBEAT = 40, 500, 1000
"""Of the requests; the last two in ms. The interval is long enough for the agent's buffer to be overrun within one."""
BUFFER = 7
"""The agent keeps 2 to the power of this."""
QUIET = 0.2
"""Seconds after which nothing more belongs to what has arrived; less than the interval."""

LIFE = (
    (1, "Xabs", "-0.125", "exec", "ACTIVE", "parts", 1207, "at", "1.5 -2 3"),
    (2, "msg", "A7", "door <open> & 门"),
    (3, "volts", 3, 100, "1 2.5 3"),
    (4, "vars", "a=1 b=2"),
    (5, "press:force", 42),
    (6, "sys", "NORMAL", "", "", "", ""),
    (7, "sys", "WARNING", "W1", "", "", "coolant is low"),
    (8, "sys", "FAULT", "E1", "", "", "door"),
    (9, "sys", "FAULT", "E2", "", "", "spindle"),
    (10, "sys", "NORMAL", "E1", "", "", ""),
    (11, "sys", "NORMAL", "E2", "", "", ""),
    (12, "parts", "UNAVAILABLE"),
)
"""Changes before the first interruption; what follows is counted, but for these."""
MISSED = (
    (61, "sys", "WARNING", "W1", "", "", "coolant is low"),
    (62, "sys", "FAULT", "E1", "", "", "door"),
    (63, "exec", "READY"),
)
"""Changes that happen while the link is down."""


@dataclass
class Exchange:
    """One request, and all that came back."""

    chapter: str
    target: str
    answer: bytes = b""
    closed: bool = False
    """The agent has closed the connection after it."""

    @property
    def streams(self):
        return "heartbeat=" in self.target


def load(path):
    """Exchanges of a recording, in order."""
    found = json.loads(path.read_text("utf-8"))
    return [Exchange(**one | {"answer": "".join(one["answer"]).encode()}) for one in found]


def save(path, exchanges):
    """Line by line, so that people can read what has changed."""
    found = [asdict(one) | {"answer": one.answer.decode().splitlines(keepends=True)} for one in exchanges]
    path.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", "utf-8")


def scrubbed(answer):
    """Without the name of the host, and as long as before."""
    return re.sub(rb'(?<=sender=")[^"]*', lambda found: b"x" * len(found[0]), answer)


class Listener:
    """Asks the agent, and writes down."""

    def __init__(self, port):
        self.port = port
        self.chapter = ""
        self.exchanges = []
        self._reader = self._writer = None

    async def ask(self, target):
        """A request whose answer has an end. Returns the sequence number that comes next, if the answer tells it."""
        await self._send(target)
        one = self.exchanges[-1]
        while not self._whole(one.answer) and await self._hear(20):
            pass
        await self._hear(QUIET)
        if one.closed:
            self.hang_up()
        following = re.search(rb'nextSequence="(\d+)"', one.answer)
        return int(following[1]) if following else 0

    async def follow(self, start):
        """Begin a stream."""
        await self._send(f"/sample?from={start}&count={COUNT}&interval={INTERVAL}&heartbeat={HEARTBEAT}")

    async def until(self, found):
        """Hear the stream until this is so, and what belongs to it."""
        while not found(self.exchanges[-1].answer):
            assert await self._hear(20), "the agent has ended the stream"
        while await self._hear(QUIET):
            pass

    async def until_ended(self):
        while not self.exchanges[-1].closed:
            await self._hear(20)
        self.hang_up()

    def hang_up(self):
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = None

    async def _send(self, target):
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.exchanges.append(Exchange(self.chapter, target))
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: agent\r\nAccept: text/xml\r\n\r\n".encode())

    async def _hear(self, seconds):
        """True when something has arrived in time."""
        one = self.exchanges[-1]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                data = await self._reader.read(65536)
                one.answer += data
                one.closed = not data
                return bool(data)
        assert seconds == QUIET, f"no answer to {one.target}"
        return False

    @staticmethod
    def _whole(answer):
        head, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return bool(found and length) and len(body) >= int(length[1])


def told(number, items=3):
    """The change with this number is in the stream, with all its data items."""
    mark = stamp(number).rstrip("0Z").encode()
    return lambda answer: answer.count(mark) == items


async def record(folder, schema):
    """The whole course. Returns what was heard."""
    async with agent_at_work(folder, BUFFER, schema) as agent:
        listener, feeder = Listener(agent.port), agent.feeder

        async def begin(chapter, since=0):
            listener.chapter = chapter
            await listener.ask("/probe")
            following = await listener.ask("/current")
            while 0 < since < following:
                since = await listener.ask(f"/sample?from={since}&count={min(COUNT, following - since)}")
            await listener.follow(following)

        def newest():
            return int(re.findall(rb'nextSequence="(\d+)"', listener.exchanges[-1].answer)[-1])

        await begin("begins")
        for change in LIFE:
            await feeder.tell(*change)
            await listener.until(told(change[0], 4 if change is LIFE[0] else 1))
        before = listener.exchanges[-1].answer.count(b"<Header ")
        await listener.until(lambda answer: answer.count(b"<Header ") >= before + 2)
        listener.hang_up()

        await agent.kill()
        await agent.start()
        feeder.told = LIFE[-1][0]
        await feeder.count(30)  # so that the number which came next has come again
        await agent.has_read_all()
        await begin("was started anew")
        await feeder.count(31)
        await listener.until(told(31))
        listener.hang_up()

        since = newest()
        await feeder.count(60)
        for change in MISSED:
            await feeder.tell(*change)
        feeder.told = MISSED[-1][0]
        await feeder.count(64)
        await agent.has_read_all()
        await begin("resumes", since)
        await feeder.count(65)
        await listener.until(told(65))
        listener.hang_up()

        await feeder.count(110)
        await agent.has_read_all()
        await begin("has lost the rest")
        await feeder.count(111)
        await listener.until(told(111))
        await feeder.count(410)
        await listener.until_ended()

        await agent.has_read_all()
        await begin("was overrun")
        await feeder.count(411)
        await listener.until(told(411))
        listener.hang_up()

        listener.chapter = "refuses"
        for target in ("/nothing", "/nowhere/probe", "/sample?from=1&count=10", "/sample?from=99999999&count=10",
                       "/sample?count=99999", "/current?path=//DataItem[", "/current?at=1"):  # fmt: skip
            await listener.ask(target)
        listener.hang_up()
    return listener.exchanges


def main():
    """Record the agent that the environment names."""
    with tempfile.TemporaryDirectory() as folder:
        exchanges = asyncio.run(record(folder, "".join(sys.argv[1:])))
        for one in exchanges:
            one.answer = scrubbed(one.answer)
            assert folder.encode() not in one.answer, "a path of this machine"
    version = re.search(rb'<Header [^>]*version="([\d.]+)"', exchanges[0].answer)[1].decode()
    FOLDER.mkdir(exist_ok=True)
    save(path := FOLDER / f"cppagent-{version}.json", exchanges)
    sys.stdout.write(f"{path.name}: {len(exchanges)} answers\n")


if __name__ == "__main__":
    main()
