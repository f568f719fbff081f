"""The whole way, from a machine behind the reference agent to the platform: what is lost is declared, and nothing else."""

import asyncio

from adapters.mtconnect.tests.conftest import until
from adapters.mtconnect.tests.platform import at_platform
from adapters.mtconnect.tests.reference import agent_at_work, moment, needs_agent
from gateway.observe.status import DeviceState
from gateway.testing.chaos import ChaosLink

pytestmark = needs_agent

CONFIGURATION = """
gateway: {{id: hall-5}}
observe: {{http: "off"}}
bus: {{path: {path}, linger: 20ms}}
connections:
  agent: {{adapter: mtconnect, host: 127.0.0.1, port: {port}, retry: 100ms, timeout: 1s, heartbeat: 1s, count: 100}}
devices:
  lathe:
    connection: agent
    device: lathe
    tags:
      - {{name: parts, address: parts, type: int64}}
      - {{name: none, address: no_such_item, type: int64}}
  press:
    connection: agent
    device: press
    tags: [{{name: force, address: p_force, type: int32}}]
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


def test_from_machines_to_platform(run, tmp_path):
    """Cut off again and again; cut off for longer than the buffer lasts; and the agent killed."""

    async def work():
        async with (
            agent_at_work(tmp_path, exponent=10) as agent,
            ChaosLink(agent.port) as link,
            at_platform(tmp_path, CONFIGURATION, link.port) as here,
        ):

            def gaps():
                return sorted(gap.device for gap in here.gaps)

            async def arrived(number):
                await agent.feeder.count(number, pause=0.001)
                await until(
                    lambda: all((number * by, moment(number)) in here.heard(tag)[-1:] for tag, by in factors), 30
                )

            factors = (("parts", 1), ("force", 2))
            await until(lambda: [one.state for one in here.gateway.status().devices] == [DeviceState.DEGRADED] * 2)
            await arrived(10)
            for _ in range(5):
                feeding = asyncio.create_task(agent.feeder.count(agent.feeder.told + 100, pause=0.002))
                await asyncio.sleep(0.1)
                link.hang_up()
                await feeding
                await arrived(agent.feeder.told + 20)
            assert (agent.feeder.told, gaps()) == (610, []), "a tag that is refused is no gap either"
            link.refusing = True
            link.hang_up()
            await asyncio.sleep(0.2)
            await agent.feeder.count(1200)
            await agent.has_read_all()
            link.refusing = False
            await until(lambda: gaps() == ["lathe", "press"])
            await arrived(1300)
            await agent.kill()
            await agent.start()
            await until(lambda: gaps() == ["lathe", "lathe", "press", "press"], 20)
            await arrived(1400)
            await here.stop()
            numbers = [*range(1, 611), *range(1200, 1401)]
            for tag, by in factors:
                assert here.heard(tag) == [(number * by, moment(number)) for number in numbers]
            assert here.subscriber.reader.report().lost == 0

    run(work, limit=90)
