"""The reference agent of MTConnect (cppagent) as a process, and the machine behind it, which speaks SHDR to it.

SHDR is the text protocol between an agent and its adapters: the agent connects, and is told ``time|key|value``.
"""

import asyncio
import os
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.mtconnect import adapter
from adapters.mtconnect.tests.conftest import Kit
from gateway.testing.ports import free_port

PROGRAM = os.environ.get("XINGSHA_CPPAGENT", "")
needs_agent = pytest.mark.skipif(not PROGRAM, reason="XINGSHA_CPPAGENT does not name the program of cppagent")

START = 1_711_846_800_000_000_000
"""When the first of what is fed has happened: 2024-03-31T01:00:00Z."""

SETTINGS = """\
Devices = {devices}
BufferSize = {exponent}
ServerIp = 127.0.0.1
Port = {port}
ReconnectInterval = 100
MonitorConfigFiles = false

Adapters {{
  plant {{
    Device = lathe
    Host = 127.0.0.1
    Port = {shdr}
  }}
}}
"""

ITEMS = {
    "l_x": 'category="SAMPLE" name="Xabs" type="POSITION" subType="ACTUAL" units="MILLIMETER"',
    "l_exec": 'category="EVENT" name="exec" type="EXECUTION"',
    "l_parts": 'category="EVENT" name="parts" type="PART_COUNT"',
    "l_msg": 'category="EVENT" name="msg" type="MESSAGE"',
    "l_at": 'category="SAMPLE" name="at" type="PATH_POSITION" units="MILLIMETER_3D"',
    "l_volts": 'category="SAMPLE" name="volts" type="VOLTAGE" units="VOLT" representation="TIME_SERIES"',
    "l_vars": 'category="EVENT" name="vars" type="VARIABLE" representation="DATA_SET"',
    "l_sys": 'category="CONDITION" name="sys" type="SYSTEM"',
}
"""Data items of the path of the lathe; the press has only a force."""

DEVICES = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:1.7">
  <Header creationTime="2024-01-01T00:00:00Z" sender="hall" instanceId="1" version="1.7.0.0" bufferSize="8"
    assetBufferSize="8" assetCount="0"/>
  <Devices>
    <Device id="l" name="lathe" uuid="uuid-lathe">
      <DataItems><DataItem id="l_avail" category="EVENT" name="avail" type="AVAILABILITY"/></DataItems>
      <Components><Controller id="l_c" name="controller"><Components><Path id="l_p" name="path"><DataItems>
        {"".join(f'<DataItem id="{item}" {told}/>' for item, told in ITEMS.items())}
      </DataItems></Path></Components></Controller></Components>
    </Device>
    <Device id="p" name="press" uuid="uuid-press">
      <DataItems>
        <DataItem id="p_avail" category="EVENT" name="avail" type="AVAILABILITY"/>
        <DataItem id="p_force" category="SAMPLE" name="force" type="LINEAR_FORCE" units="NEWTON"/>
      </DataItems>
    </Device>
  </Devices>
</MTConnectDevices>
"""


def moment(number):
    """When the change with this number has happened, ns since the epoch: to the microsecond, which agents keep."""
    return START + number * 1_234_567_000


def stamp(number):
    """That time, as SHDR writes it."""
    whole = datetime.fromtimestamp(moment(number) // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{moment(number) // 1000 % 10**6:06d}Z"


class Feeder:
    """The machine's side of SHDR: the agent connects to it."""

    def __init__(self):
        self.port = free_port()
        self.told = 0
        """Changes that were fed."""
        self._server = None
        self._writer = None
        self._tasks = set()

    async def start(self):
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)

    async def stop(self):
        """Close; the agent takes all values of the machine for unavailable."""
        self._server.close()
        await self._server.wait_closed()
        self.hang_up()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def hang_up(self):
        if self._writer is not None:
            self._writer.transport.abort()

    @property
    def connected(self):
        return self._writer is not None

    async def tell(self, *words):
        """One line: a time, or the number of a change that has one, then keys and values."""
        first, *rest = words
        self._writer.write(
            "|".join([stamp(first) if isinstance(first, int) else first, *map(str, rest)]).encode() + b"\n"
        )
        await self._writer.drain()

    async def count(self, until, pause=0.0):
        """Feed numbers, one after the other, on three data items of two machines."""
        while self.told < until:
            self.told += 1
            number = self.told
            await self.tell(number, "parts", number, "Xabs", number / 4, "press:force", number * 2)
            if pause:
                await asyncio.sleep(pause)

    async def _talk(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writer = writer
        with suppress(OSError):
            while line := await reader.readline():
                if line.startswith(b"* PING"):
                    writer.write(b"* PONG 10000\n")
        if self._writer is writer:
            self._writer = None
        writer.transport.abort()


class Agent:
    """The agent as a process."""

    def __init__(self, folder, feeder, exponent, schema):
        self.port = free_port()
        self.feeder = feeder
        self._process = None
        self._began = 0
        self._folder = Path(folder)
        (self._folder / "Devices.xml").write_text(DEVICES, "utf-8")
        names = {"devices": self._folder / "Devices.xml", "port": self.port, "shdr": feeder.port}
        settings = SETTINGS.format(exponent=exponent, **names) + (f"SchemaVersion = {schema}\n" if schema else "")
        (self._folder / "agent.cfg").write_text(settings, "utf-8")

    async def start(self):
        """Start it, and wait until it answers and listens to the machine."""
        while int(time.time()) == self._began:  # its instanceId is the second of its start
            await asyncio.sleep(0.05)
        self._began = int(time.time())
        command = (PROGRAM, "debug", str(self._folder / "agent.cfg"))
        with (self._folder / "agent.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self._folder, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(20):
            while not (self.feeder.connected and await self._answers()):
                assert self._process.returncode is None, (self._folder / "agent.log").read_text("utf-8", "replace")
                await asyncio.sleep(0.02)

    async def kill(self):
        """End it in the midst of its work."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.wait()
            self._process._transport.close()
            self._process = None
        self.feeder.hang_up()
        while self.feeder.connected:
            await asyncio.sleep(0.01)

    async def has_read_all(self):
        """Wait until it knows what was fed last."""
        async with asyncio.timeout(20), adapter(Kit.connection(self.port)).open() as session:
            while True:
                now = {one.id: one.text for one in (await session.get("/current")).observations}
                if now["l_parts"] == str(self.feeder.told):
                    return
                await asyncio.sleep(0.01)

    async def _answers(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.transport.abort()
        return True


@asynccontextmanager
async def agent_at_work(folder, exponent=14, schema=""):
    """An agent that keeps 2 to the ``exponent`` observations; its documents are of its own edition, or of ``schema``."""
    feeder = Feeder()
    await feeder.start()
    agent = Agent(folder, feeder, exponent, schema)
    try:
        await agent.start()
        yield agent
    finally:
        await agent.kill()
        await feeder.stop()
