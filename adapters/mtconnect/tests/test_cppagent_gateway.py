"""The whole way, from a machine behind the reference agent to the platform: what is lost is declared, and nothing else."""

import asyncio

from adapters.mtconnect.tests.conftest import until
from adapters.mtconnect.tests.reference import agent_at_work, moment, needs_agent
from gateway.model.quality import is_good
from gateway.observe.status import DeviceState
from gateway.reader import Declared, Frames
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.chaos import ChaosLink
from gateway.testing.subscriber import Subscriber

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
            embedded_broker() as broker,
            agent_at_work(tmp_path, exponent=10) as agent,
            ChaosLink(agent.port) as link,
        ):
            path = tmp_path / "plant.yaml"
            names = {"path": tmp_path / "journal.db", "port": link.port, "broker": broker.port_v5}
            path.write_text(CONFIGURATION.format(**names), "utf-8")
            rows, gaps = [], []

            def hear(event):
                if isinstance(event, Declared):
                    gaps.append(event.gap.device)
                elif isinstance(event, Frames):
                    rows.extend((row.tag, row.value, row.time) for row in event.rows() if is_good(row.quality))

            def heard(tag):
                found = [(value, time) for name, value, time in rows if name == tag]
                return [one for one, before in zip(found, [None, *found], strict=False) if one != before]

            async def arrived(number):
                await agent.feeder.count(number, pause=0.001)
                await until(lambda: all((number * by, moment(number)) in heard(tag)[-1:] for tag, by in factors), 30)

            subscriber, factors = Subscriber(hear), (("parts", 1), ("force", 2))
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            gateway, stop = Gateway(load_configuration(path)), asyncio.Event()
            running = asyncio.create_task(gateway.run(stop, 5))
            await until(lambda: [one.state for one in gateway.status().devices] == [DeviceState.DEGRADED] * 2)
            await arrived(10)
            for _ in range(5):
                feeding = asyncio.create_task(agent.feeder.count(agent.feeder.told + 100, pause=0.002))
                await asyncio.sleep(0.1)
                link.hang_up()
                await feeding
                await arrived(agent.feeder.told + 20)
            assert (agent.feeder.told, gaps) == (610, []), "a tag that is refused is no gap either"
            link.refusing = True
            link.hang_up()
            await asyncio.sleep(0.2)
            await agent.feeder.count(1200)
            await agent.has_read_all()
            link.refusing = False
            await until(lambda: sorted(gaps) == ["lathe", "press"])
            await arrived(1300)
            await agent.kill()
            await agent.start()
            await until(lambda: sorted(gaps) == ["lathe", "lathe", "press", "press"], 20)
            await arrived(1400)
            stop.set()
            await running
            hearing.cancel()
            await asyncio.wait([hearing])
            numbers = [*range(1, 611), *range(1200, 1401)]
            for tag, by in factors:
                assert heard(tag) == [(number * by, moment(number)) for number in numbers]
            assert subscriber.reader.report().lost == 0

    run(work, limit=90)
