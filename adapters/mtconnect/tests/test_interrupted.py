"""A link that is lost again while the agent tells what was missed: a gap is declared when something is lost, and only then."""

import asyncio
from contextlib import asynccontextmanager
from time import time_ns

import pytest

from adapters.mtconnect.simulator import Simulator
from adapters.mtconnect.tests.conftest import until
from gateway.model.quality import is_good
from gateway.reader import Declared, Frames
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.chaos import ChaosLink, Mischief
from gateway.testing.subscriber import Subscriber

CONFIGURATION = """
gateway: {{id: hall-5}}
observe: {{http: "off"}}
bus: {{path: {path}, linger: 20ms}}
connections:
  agent:
    {{adapter: mtconnect, host: 127.0.0.1, port: {port}, retry: 50ms, retry_max: 50ms, timeout: 500ms, interval: 5ms,
      heartbeat: 100ms, count: 3}}
devices:
  one: {{connection: agent, device: machine, tags: [{{name: n, address: n, type: int32}}]}}
  two: {{connection: agent, device: press, tags: [{{name: p, address: p, type: int32}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


class Hall:
    """A gateway, its agent behind a link, and what has arrived at the platform."""

    def __init__(self, plant, link):
        self.plant, self.link = plant, link
        self.told, self.gaps, self.stop = {"n": [], "p": []}, [], asyncio.Event()
        self.running = None

    def hear(self, event):
        if isinstance(event, Declared):
            self.gaps.append(event.gap)
        elif isinstance(event, Frames):
            for row in event.rows():
                if is_good(row.quality) and self.told[row.tag][-1:] != [row.value]:
                    self.told[row.tag].append(row.value)

    def of(self, device):
        return [gap for gap in self.gaps if gap.device == device]

    def change(self, first, last):
        for number in range(first, last + 1):
            self.plant.device().observe("n", str(number))
            self.plant.agent.machine("press").observe("p", str(number))

    async def miss(self, first, last, mischief=Mischief.CUT):
        """Let changes happen while the link is down, and lose it again, for a while, when some of them were told."""
        self.link.refusing = True
        self.link.hang_up()
        await asyncio.sleep(0.1)
        self.change(first, last)
        self.link.next(mischief, after=4)
        self.link.refusing = False
        await until(lambda: self.link.done)
        self.link.refusing = True
        await until(lambda: first < self.told["n"][-1] < last)
        await asyncio.sleep(0.2)  # what was told is at the platform


@asynccontextmanager
async def hall(tmp_path, buffer=500):
    async with embedded_broker() as broker, Simulator(buffer=buffer) as plant, ChaosLink(plant.port) as link:
        path = tmp_path / "plant.yaml"
        names = {"path": tmp_path / "journal.db", "port": link.port, "broker": broker.port_v5}
        path.write_text(CONFIGURATION.format(**names), "utf-8")
        here = Hall(plant, link)
        subscriber = Subscriber(here.hear)
        hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
        await subscriber.subscribed.wait()
        here.change(1, 1)
        here.running = asyncio.create_task(Gateway(load_configuration(path)).run(here.stop, 5))
        await until(lambda: here.told == {"n": [1], "p": [1]})
        try:
            yield here
        finally:
            here.stop.set()
            await here.running
            hearing.cancel()
            await asyncio.wait([hearing])


@pytest.mark.parametrize("mischief", [Mischief.CUT, Mischief.RESET, Mischief.STALL])
def test_told_in_the_next_session_is_no_gap(run, tmp_path, mischief):
    async def work():
        async with hall(tmp_path) as here:
            await here.miss(2, 30, mischief)
            here.change(31, 31)
            here.link.refusing = False
            await until(lambda: here.told["n"][-1] == here.told["p"][-1] == 31)
            await asyncio.sleep(0.3)
            assert here.told == {"n": [*range(1, 32)], "p": [*range(1, 32)]}
        assert (here.link.done, here.gaps) == ([mischief], [])

    run(work, limit=60)


def anew(here):
    here.plant.agent.restart()
    here.change(31, 31)


def overrun(here):
    here.change(31, 131)


@pytest.mark.parametrize("happens", [anew, overrun])
def test_what_the_agent_cannot_tell_any_more_is_one_gap(run, tmp_path, happens):
    async def work():
        async with hall(tmp_path, buffer=100) as here:
            began = time_ns()
            await here.miss(2, 30)
            told = here.told["n"][-1]
            happens(here)
            last = 31 if happens is anew else 131
            here.link.refusing = False
            await until(lambda: here.told["n"][-1] == here.told["p"][-1] == last)
            await until(lambda: here.gaps)
            here.change(132, 132)
            await until(lambda: here.told["n"][-1] == here.told["p"][-1] == 132)
            assert here.told["n"] == [*range(1, told + 1), last, 132]
        assert sorted(gap.device for gap in here.gaps) == ["one", "two"]
        assert {gap.reason for gap in here.gaps} == {"outage"}
        assert all(gap.since < began + 10**8 < gap.until for gap in here.gaps), (
            "all the time is missing, from its begin"
        )

    run(work, limit=60)


def test_a_gateway_that_ends_before_it_is_told_all_declares_a_gap(run, tmp_path):
    async def work():
        async with hall(tmp_path) as here:
            await here.miss(2, 30)
            here.stop.set()
            await here.running
            await until(lambda: len(here.gaps) == 2)
        assert sorted(gap.device for gap in here.gaps) == ["one", "two"]

    run(work, limit=60)


def test_a_machine_that_the_agent_did_not_have_meanwhile_has_a_gap(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device().observe("n", "0")
            plant.agent.machine("press").observe("p", "5")
            devices = plant.agent.devices
            plant.agent.devices = lambda: devices().replace(b"press", b"other")
            made = kit.adapter(plant)
            here, away = kit.feed(kit.tag("n", "int32")), kit.feed(kit.tag("p", "int32"), device="press")
            async with kit.subscribed(made, here, away):
                await until(lambda: here.signs)
            assert (len(away.faults), away.settled) == (1, [])
            plant.agent.devices = devices
            for number in (1, 2):
                plant.device().observe("n", str(number))
                async with kit.subscribed(made, here, away):
                    await until(lambda number=number: here.last == {"n": number} and away.last == {"p": 5})
            assert here.settled == [True, False, False], "the first time, nothing was known"
            assert away.settled == [True, False]

    run(work)
