"""A gateway at work, with a real broker and a subscriber behind it, and what has arrived there."""

import asyncio
from contextlib import asynccontextmanager

from gateway.model.quality import is_good
from gateway.reader import Declared, Frames
from gateway.runtime import Gateway
from gateway.runtime.making import load_configuration
from gateway.testing.broker import embedded_broker
from gateway.testing.subscriber import Subscriber


class Platform:
    """Good values and gaps, as they came."""

    def __init__(self, gateway, stop):
        self.gateway = gateway
        self.rows, self.gaps = [], []
        self.subscriber = Subscriber(self._hear)
        self.running = None
        self._stop = stop

    def heard(self, tag):
        """Values of a tag with their times; one that is told again counts once."""
        found = [(value, time) for name, value, time in self.rows if name == tag]
        return [one for one, before in zip(found, [None, *found], strict=False) if one != before]

    async def stop(self):
        """Stop the gateway in order; it delivers what it has."""
        self._stop.set()
        await self.running

    def _hear(self, event):
        if isinstance(event, Declared):
            self.gaps.append(event.gap)
        elif isinstance(event, Frames):
            self.rows.extend((row.tag, row.value, row.time) for row in event.rows() if is_good(row.quality))


@asynccontextmanager
async def at_platform(folder, configuration, port):
    """Run a gateway with this configuration, whose agent is at ``port``, and stop it in the end."""
    async with embedded_broker() as broker:
        path = folder / "plant.yaml"
        names = {"path": folder / "journal.db", "port": port, "broker": broker.port_v5}
        path.write_text(configuration.format(**names), "utf-8")
        stop = asyncio.Event()
        here = Platform(Gateway(load_configuration(path)), stop)
        hearing = asyncio.create_task(here.subscriber.run("127.0.0.1", broker.port_v5))
        await here.subscriber.subscribed.wait()
        here.running = asyncio.create_task(here.gateway.run(stop, 5))
        try:
            yield here
        finally:
            await here.stop()
            hearing.cancel()
            await asyncio.wait([hearing])
