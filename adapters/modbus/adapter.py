"""The Modbus adapter: plans, opens, probes. When and how often is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from adapters.modbus.address import Area
from adapters.modbus.codec import ask_read, refusal
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag, Transport
from adapters.modbus.plan import ModbusPlan, make_plan, quiet_time
from adapters.modbus.session import ModbusSession
from gateway.sdk import DeviceConfig, Fault, Limits, Probed, TagConfig, Timeout
from gateway.sdk.probing import outcome
from gateway.wire.connect import open_dialled, open_tcp
from gateway.wire.link import StreamLink


class ModbusAdapter:
    """One connection: a socket or a serial line with its units."""

    def __init__(self, connection: ModbusConnection) -> None:
        self.connection = connection
        self.limits = Limits(sessions=1, in_flight=connection.pipeline)
        self.doubtful: dict[int, tuple[int, int]] = {}
        """Units on a line without transaction ids that may still send an answer which was given up: its size in
        bytes, and how many fences (see ModbusSession) were tried since."""

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> ModbusPlan:
        """Merge the tags of one poll group of one device into few reads. Pure. Raises ConfigFault."""
        return make_plan(self.connection, cast("ModbusDevice", device), cast("Sequence[ModbusTag]", tags))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ModbusSession]:
        """Connect; leaving the context closes. Raises LinkLost, AuthFault, ProtocolFault or ConfigFault."""
        async with await self._link() as link:
            yield ModbusSession(self.connection, link, self.doubtful)

    async def _link(self) -> AbstractAsyncContextManager[StreamLink]:
        c = self.connection
        gap, pause = quiet_time(c), c.pause_after_connect
        if c.transport is Transport.RTU:
            from gateway.wire.serial_line import open_serial  # most gateways have no serial line: half a megabyte

            return open_serial(
                c.serial_port, baudrate=c.baudrate, parity=c.parity, stopbits=c.stopbits, min_gap=gap, pause=pause
            )
        if c.transport.listens:
            return open_dialled(c.host or "127.0.0.1", c.port, c.dial_in, min_gap=gap, pause=pause)
        tls = await c.tls.context() if c.tls else None
        return open_tcp(c.host, c.port, c.timeout, tls=tls, source=c.source or None, min_gap=gap, pause=pause)

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, read one register, ask for the identification, disconnect. Any Modbus answer will do."""
        unit = cast("ModbusDevice", device).unit
        try:
            async with self.open() as session:
                code = await session.ask(ask_read(unit, Area.HOLDING, 0, 1), bytearray(2))
                if code and refusal(code).fault is Timeout:
                    return Probed("timeout", f"a gateway answers for unit {unit}: {refusal(code).title}")
                words = f"unit {unit} speaks Modbus"
                return Probed("ok", words, await session.identify(unit))
        except Fault as fault:
            return Probed(outcome(fault), str(fault))
