"""Rig: an adapter between its own simulator and the gateway's own collector, on real sockets, with chaos between them.

The simulator counts: every tag of the rig gets values that only grow and that no other tag has. So whatever reaches the
bus can be judged: a value that was never set, that is another tag's, or that is older than one already told, is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.bus import open_bus
from gateway.bus.protocol import Bus
from gateway.collect.collector import Collector
from gateway.config.base import ConnectionConfig, DeviceConfig, TagConfig
from gateway.config.root import BusConfig, BusKind, Configuration, Device, GatewayConfig, ObserveConfig
from gateway.model.batch import Gap, decode_body
from gateway.model.frame import FrameFlag
from gateway.model.schema import Schema, decode_schema
from gateway.model.view import FrameView
from gateway.observe.status import DeviceState, DeviceStatus
from gateway.runtime.reading import TagReading, read_with
from gateway.sdk.adapter import Adapter
from gateway.sdk.manifest import Manifest
from gateway.testing.chaos import ChaosLink
from gateway.testing.conformance.result import Short
from gateway.testing.conformance.subject import Settings, Subject
from gateway.testing.ports import free_port

TIMEOUT: Final = 0.3
"""Seconds that a request may take, in all dynamic rules."""
PATIENCE: Final = 10.0
"""Seconds that whatever is waited for may take on a busy machine."""
STEP: Final = 0.02
"""Seconds between two steps of the simulated values."""
HIGHEST: Final = 30_000
QUICK: Final = {"retry": "50ms", "retry_max": "200ms"}


@dataclass(frozen=True, slots=True)
class Row:
    """One value that reached the bus."""

    device: str
    tag: str
    value: Any
    quality: int
    time: int
    flags: int


@dataclass(slots=True)
class Made:
    """Configuration of a rig."""

    configuration: Configuration
    connection: ConnectionConfig
    devices: dict[str, Device]


def configure(
    manifest: Manifest, subject: Subject, port: int, tags: Sequence[Settings], *, timeout: float = TIMEOUT, **more: Any
) -> Made:
    """Configuration of one connection with the subject's devices, as a file would give it.

    ``timeout``: of the connection, seconds, where the subject does not say another.
    """
    models = manifest.load().models
    quick = {"timeout": f"{timeout * 1000:.0f}ms", **QUICK}
    wanted = {"adapter": manifest.id, **quick, **subject.connection, **subject.at(port), **more}
    connection = models.connection.model_validate(wanted)
    made = tuple(models.tag.model_validate(tag) for tag in tags)
    devices: dict[str, Device] = {}
    for number, settings in enumerate((subject.device, *subject.others)):
        base = {"connection": "line", "scan": "50ms", "report": "always", "heartbeat": "0s"}
        devices[f"d{number}"] = Device(f"d{number}", models.device.model_validate({**base, **settings}), made)
    configuration = Configuration(
        GatewayConfig(id="rig", clock="always"),
        {"line": connection},
        devices,
        {},
        {},
        BusConfig.model_validate({"kind": BusKind.MEMORY, "linger": "10ms"}),
        ObserveConfig(),
        Path(),
    )
    return Made(configuration, connection, devices)


@dataclass(slots=True)
class Rig:
    """See the module. Made by `rig`."""

    manifest: Manifest
    subject: Subject
    simulator: Any
    link: ChaosLink
    made: Made
    adapter: Adapter
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    """Last value given to each tag."""
    rows: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    states: list[tuple[str, DeviceState]] = field(default_factory=list)
    collector: Collector | None = None
    _step: int = 0

    @property
    def tags(self) -> tuple[TagConfig, ...]:
        """Tags of every device."""
        return self.made.devices["d0"].tags

    def simulated(self, device: str = "d0") -> Any:
        """The simulated device."""
        return self.simulator.device(self.made.devices[device].config)

    def config(self, device: str = "d0") -> DeviceConfig:
        """Configuration of a device."""
        return self.made.devices[device].config

    def status(self, device: str = "d0") -> DeviceStatus:
        """What the collector says of a device."""
        if self.collector is None:
            raise RuntimeError("nothing is collected")
        return next(status for status in self.collector.statuses() if status.name == device)

    def advance(self) -> None:
        """Give every tag of every device its next value: larger than all before, and no other tag's."""
        names = [(device, tag) for device in self.made.devices for tag in self.tags]
        self._step = (self._step + 1) % (HIGHEST // len(names))
        for place, (device, tag) in enumerate(names):
            value = self._step * len(names) + place
            with suppress(ConnectionError):
                self.simulated(device).set(tag, value)
            self.held[device, tag.name] = value

    async def read(self, wait: float = PATIENCE) -> list[TagReading]:
        """Read every tag once, past bus and policies."""
        return await read_with(self.adapter, self.made.configuration, list(self.made.devices), wait)

    @asynccontextmanager
    async def collecting(self) -> AsyncIterator[None]:
        """Collect with the real collector, while simulated values advance."""
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(open_bus(self.made.configuration.bus, "rig", Path()))
            self.states.clear()
            self.collector = Collector(
                self.made.configuration, bus, lambda _: self.adapter, lambda s: self.states.append((s.name, s.state))
            )
            tasks = [
                asyncio.ensure_future(work) for work in (self.collector.run(), self._advance(), self._consume(bus))
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await bus.flush()
                for task in tasks:
                    if not task.cancelled() and task.exception() is not None:
                        raise task.exception() or RuntimeError

    async def until(self, what: Callable[[], bool], words: str, mend: str) -> None:
        """Wait for something to happen. Raises Short when it does not."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not what():  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(STEP)
        except TimeoutError:
            raise Short(f"{words} did not happen within {PATIENCE:g} s", mend) from None

    async def good_again(self, device: str = "d0") -> None:
        """Wait until values of a device arrive that were set from now on."""
        floor = self._step * len(self.made.devices) * len(self.tags)
        wrapped = len(self.rows)
        await self.until(
            lambda: any(
                row.device == device and row.quality == 0 and row.value >= floor for row in self.rows[wrapped:]
            ),
            f"recovery of {device}: state {self.status(device).state}, {self.status(device).message or 'no fault'}; it",
            "raise LinkLost, Timeout or ProtocolFault from session and open(), and the runtime opens anew",
        )

    def judge(self) -> None:
        """Raise Short for a value that is wrong."""
        names = [(device, tag.name) for device in self.made.devices for tag in self.tags]
        last: dict[tuple[str, str], tuple[int, int]] = {}
        for row in self.rows:
            key = (row.device, row.tag)
            if row.quality >= 0x80 or row.flags & (FrameFlag.REPLAYED | FrameFlag.CONFIRMED):
                continue
            mend = "match answers to questions; after a time-out drop the session or what arrives late"
            if row.value % len(names) != names.index(key) or row.value > HIGHEST:
                raise Short(f"{row.device}.{row.tag} was told as {row.value}, which it never had", mend)
            before, at = last.get(key, (0, 0))
            if row.time < at:
                continue  # delivered again, with the time that it had
            if row.value < before and before - row.value < HIGHEST // 2:
                raise Short(f"{row.device}.{row.tag} was told as {row.value} after {before}: it is stale", mend)
            last[key] = row.value, row.time

    async def _advance(self) -> None:
        while True:
            self.advance()
            await asyncio.sleep(STEP)

    async def _consume(self, bus: Bus) -> None:
        consumer = bus.consumer("rig")
        schemas: dict[bytes, Schema] = {}
        while True:
            batch = await consumer.fetch()
            body = decode_body(batch.body)
            for frame in body.frames:
                if frame.schema not in schemas:
                    schemas[frame.schema] = decode_schema(bus.schema(frame.schema) or b"")
                schema = schemas[frame.schema]
                self.rows += [
                    Row(schema.device, tag, value, quality, time, frame.flags)
                    for tag, value, quality, time, _ in FrameView(schema, frame).rows()
                ]
            self.gaps += body.gaps
            consumer.acknowledge(batch.seq)


@asynccontextmanager
async def rig(
    manifest: Manifest,
    subject: Subject,
    tags: Sequence[Settings] | None = None,
    *,
    delay: float = 2 * TIMEOUT,
    timeout: float = TIMEOUT,
) -> AsyncIterator[Rig]:
    """Simulator and chaos link at work, an adapter that is not open yet.

    ``delay``: of late answers, seconds. ``timeout``: see `configure`; PATIENCE where only values count.
    """
    port = free_port()
    wanted = subject.tags if tags is None else tags
    behind = configure(manifest, subject, port, wanted)
    simulator = manifest.load_simulator().of(behind.connection)
    async with simulator, ChaosLink(port, delay=delay) as link:
        made = configure(manifest, subject, link.port, wanted, timeout=timeout)
        adapter = manifest.load().adapter(made.connection)
        ready = Rig(manifest, subject, simulator, link, made, adapter)
        ready.advance() if tags is None else None
        yield ready


async def within(seconds: float, work: Awaitable[Any], words: str, mend: str) -> Any:
    """Await something that must come to an end. Raises Short when it does not."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise Short(f"{words} was not over after {seconds:.1f} s", mend) from None
