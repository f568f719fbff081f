"""A link that is lost again while the agent tells what was missed: a gap is declared when something is lost, and only then."""

import asyncio
from contextlib import asynccontextmanager
from itertools import groupby
from time import time_ns

import pytest

from adapters.mtconnect.simulator import Simulator
from adapters.mtconnect.tests.conftest import until
from adapters.mtconnect.tests.platform import at_platform
from gateway.testing.chaos import ChaosLink, Mischief

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

    def __init__(self, plant, link, platform):
        self.plant, self.link, self.platform = plant, link, platform
        self.gaps = platform.gaps

    @property
    def told(self):
        """Values of each tag, in the order in which they came; the same again counts once."""
        found = {tag: [value for name, value, _ in self.platform.rows if name == tag] for tag in ("n", "p")}
        return {tag: [value for value, _ in groupby(values)] for tag, values in found.items()}

    def change(self, first, last):
        change(self.plant, first, last)

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


def change(plant, first, last):
    for number in range(first, last + 1):
        plant.device().observe("n", str(number))
        plant.agent.machine("press").observe("p", str(number))


@asynccontextmanager
async def hall(tmp_path, buffer=500):
    async with Simulator(buffer=buffer) as plant, ChaosLink(plant.port) as link:
        change(plant, 1, 1)
        async with at_platform(tmp_path, CONFIGURATION, link.port) as platform:
            here = Hall(plant, link, platform)
            await until(lambda: here.told == {"n": [1], "p": [1]})
            yield here


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
            await here.platform.stop()
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
