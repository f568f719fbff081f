"""What goes wrong between gateway and broker, at each state of a session: it recovers, and no wrong value comes out."""

import asyncio
import random
from pathlib import Path

import pytest

from adapters.mqtt import adapter
from adapters.mqtt.simulator import Simulator
from adapters.mqtt.tests.conftest import until
from gateway.sdk import Fault, LinkLost, ProtocolFault


class Line:
    """Between gateway and broker: passes bytes on, until it is told otherwise. Packets of the broker are counted."""

    def __init__(self, port):
        self.target = port
        self.port = 0
        self.act = None
        """Called with each piece from the broker; returns what is passed on, None: hang up."""
        self.stalled = False
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, up_writer, lambda data: data))
                group.create_task(self._pass(up_reader, writer, lambda data: self.act(data) if self.act else data))
        except (ExceptionGroup, asyncio.CancelledError, OSError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            for end in (writer, up_writer):
                end.transport.abort()

    async def _pass(self, reader, writer, act):
        while data := await reader.read(1 << 16):
            passed = act(data)
            if passed is None:
                raise ConnectionError
            if not self.stalled:
                writer.write(passed)
        raise ConnectionError


async def persist(kit, connection, feeds, stop):
    """What the runtime does, in short: open, subscribe, and begin anew after a fault."""
    made = adapter(connection)
    faults = []
    while not stop.is_set():
        try:
            async with made.open() as session:
                await session.subscribe(feeds)
        except Fault as fault:
            faults.append(fault)
        await asyncio.sleep(0.02)
    return faults


STATES = {"connecting": 1, "subscribing": 2, "at work": 3, "long at work": 6}
"""In which piece, of those that the broker sends."""
PROTOCOLS = {"connecting": "3.1.1", "subscribing": "5", "at work": "5", "long at work": "3.1.1"}


def cut(_chance):
    return lambda _data: None


def half(_chance):
    """Cut in the middle of a packet."""
    passed = []

    def act(data):
        if passed:
            return None
        passed.append(data)
        return data[: max(1, len(data) // 2)]

    return act


def noise(chance):
    """Other bytes instead of packets."""
    return lambda data: bytes(chance.choice((0x00, 0x0F, 0xF0, 0x33, 0x40, 0x90)) for _ in data)


def twice(_chance):
    """The same bytes again: a message twice is one too many, an answer twice is one that nobody asked for."""
    return lambda data: data + data


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("trouble", [cut, half, noise, twice, "stall", "restart"])
def test_it_recovers_and_tells_no_lies(run, kit, state, trouble):
    async def work():
        chance = random.Random(7)
        async with Simulator() as plant, Line(plant.port) as line:
            pieces = [0]
            done = []

            def act(data):
                pieces[0] += 1
                if done or pieces[0] < STATES[state]:
                    return data
                done.append(True)
                if trouble == "stall":
                    line.stalled = True
                    asyncio.get_running_loop().call_later(2.0, setattr, line, "stalled", False)
                    return b""
                if trouble == "restart":
                    plant.hang_up()
                    return data
                line.act = spoil = trouble(chance)
                asyncio.get_running_loop().call_later(0.1, setattr, line, "act", None)
                return spoil(data)

            line.act = act
            connection = kit.connection(line.port, protocol=PROTOCOLS[state], timeout="200ms", keepalive="1s")
            feed = kit.feed(kit.device(), kit.tag("n", "int32"))
            stop = asyncio.Event()
            working = asyncio.create_task(persist(kit, connection, kit.feeds(feed), stop))
            sent = 0
            while not done or len(feed.values) < 5 or sent < 100 or feed.values[-1]["n"] < sent - 20:
                kept = plant.broker.sessions.get("gw")
                if kept is not None and kept.filters and sent < 2000:
                    plant.broker.publish("m/1", b'{"n": %d}' % sent)
                    sent += 1
                await asyncio.sleep(0.005)
            await until(lambda: {value["n"] for value in feed.values} == set(range(sent)))
            assert not any(bad for _, bad, *_ in feed.samples)
            stop.set()
            plant.hang_up()
            faults = await working
            assert faults  # the last of them is the end of the test
            assert all(isinstance(fault, LinkLost | ProtocolFault) for fault in faults)

    run(work, limit=60)


def test_pieces_of_one_byte(run, kit, protocol):
    async def work():
        async with Simulator() as plant:
            feed = kit.feed(kit.device(), kit.tag("n", "int32"))
            made = adapter(kit.connection(plant.port, protocol=protocol))
            async with made.open() as session:
                receive = session.link.data_received
                whole = session.conversation.inbox.feed

                def drip(data):
                    for place in range(len(data)):
                        whole(data[place : place + 1])

                session.conversation.inbox.feed = drip
                assert receive is not None
                working = asyncio.create_task(session.subscribe(kit.feeds(feed)))
                await until(lambda: plant.broker.sessions["gw"].filters)
                for number in range(50):
                    plant.broker.publish("m/1", b'{"n": %d}' % number, qos=number % 2)
                await until(lambda: len(feed.values) == 50)
                working.cancel()
                await asyncio.wait([working])

    run(work)


def test_closing_leaves_nothing_behind(run, kit):
    async def work():
        async with Simulator() as plant:
            made = adapter(kit.connection(plant.port, timeout="200ms"))
            feed = kit.feed(kit.device(), kit.tag("n"))

            async def once(refuse):
                plant.faults.connack = 0x87 if refuse else 0
                try:
                    async with made.open() as session:
                        working = asyncio.create_task(session.subscribe(kit.feeds(feed)))
                        await asyncio.sleep(0.005)
                        working.cancel()
                        await asyncio.wait([working])
                        await session.link.close()
                        await session.link.close()
                except Fault:
                    assert refuse

            await once(False)
            await asyncio.sleep(0.05)
            before = len(list(Path("/proc/self/fd").iterdir()))
            for turn in range(100):
                await once(turn % 3 == 0)
            await asyncio.sleep(0.05)
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1

    run(work)
