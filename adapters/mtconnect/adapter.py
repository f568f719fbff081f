"""The adapter of MTConnect: mechanism only. When to connect, and what after a failure, is the runtime's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, cast

from gateway.sdk import DataType, DeviceConfig, Limits, Node, Plan, Probed, ProtocolFault, Push, TagConfig, probe_with
from gateway.wire.connect import open_tcp
from gateway.wire.link import StreamLink

from .config import MtconnectConnection, MtconnectDevice
from .document import DataItem
from .session import MtconnectSession, Position

UNITS: Final = {
    "MILLIMETER": "mm", "MILLIMETER/SECOND": "mm/s", "MILLIMETER/SECOND^2": "mm/s²", "REVOLUTION/MINUTE": "1/min",
    "CELSIUS": "°C", "PERCENT": "%", "DEGREE": "°", "DEGREE/SECOND": "°/s", "SECOND": "s", "HERTZ": "Hz", "VOLT": "V",
    "AMPERE": "A", "WATT": "W", "WATT_SECOND": "Ws", "VOLT_AMPERE": "VA", "NEWTON": "N", "NEWTON_METER": "Nm",
    "PASCAL": "Pa", "LITER": "l", "LITER/SECOND": "l/s", "KILOGRAM": "kg", "OHM": "Ω", "DECIBEL": "dB", "COUNT": "",
}  # fmt: skip
"""Units of the standard (Part 2) as they are written elsewhere; any other stays as it is."""
WHOLE: Final = frozenset({"PART_COUNT", "LINE_NUMBER", "TOOL_OFFSET", "WORK_OFFSET"})
"""Types of events that are whole numbers."""


class MtconnectAdapter:
    """One agent, and the machines behind it."""

    limits = Limits()

    def __init__(self, connection: MtconnectConnection) -> None:
        self.connection = connection
        self._position = Position()

    def plan(self, device: DeviceConfig, tags: Sequence[TagConfig]) -> Plan:  # noqa: ARG002 - nothing to ask for
        """No requests: the agent sends what changes, and a sign of life besides. Pure. Raises ConfigFault."""
        return Plan((), push=Push(on_change=True, resumes=True))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MtconnectSession]:
        """Connect; leaving the context closes. Raises LinkLost."""
        async with self._session(self._position) as session:
            yield session

    @asynccontextmanager
    async def _session(self, position: Position) -> AsyncIterator[MtconnectSession]:
        c = self.connection
        async with AsyncExitStack() as stack:

            async def connect() -> StreamLink:
                await stack.aclose()  # the link before, which the agent has closed
                return await stack.enter_async_context(open_tcp(c.host, c.port, c.timeout))

            session = MtconnectSession(c, connect, position)
            await session.start()
            yield session

    async def probe(self, device: DeviceConfig) -> Probed:
        """Connect, ask what there is, disconnect."""
        wanted = cast("MtconnectDevice", device).device

        async def question(session: MtconnectSession) -> tuple[tuple[str, str], ...]:
            found = await session.get("/probe")
            if found.kind != "MTConnectDevices":
                raise ProtocolFault(f"{session.where} does not tell what it has")
            names = ", ".join(sorted({item.device for item in found.items}))
            told = {"sender": found.header.sender, "version": found.header.version, "devices": names}
            if wanted and not _of(found.items, wanted):
                told["missing"] = wanted
            return tuple(told.items())

        return await probe_with(lambda: self._session(Position()), question, "an MTConnect agent")

    async def browse(self, device: DeviceConfig, path: str = "") -> AsyncIterator[Node]:
        """What /probe tells; see gateway.sdk.Browses."""
        async with self._session(Position()) as session:
            found = await session.get("/probe")
        for item in _of(found.items, cast("MtconnectDevice", device).device):
            if not path or item.path == path or item.path.startswith(f"{path}/"):
                yield _node(item)


def _of(items: list[DataItem], wanted: str) -> list[DataItem]:
    return [item for item in items if not wanted or wanted in (item.device, item.uuid)]


def _node(item: DataItem) -> Node:
    """What a tag would say. 3D positions, time series, data sets and tables are no single numbers."""
    kind: DataType | None = DataType.FLOAT64 if item.category == "SAMPLE" else DataType.STRING
    if item.type in WHOLE:
        kind = DataType.INT64
    if item.representation == "TIME_SERIES" or item.units.endswith("_3D"):
        kind = DataType.STRING
    if item.representation in {"DATA_SET", "TABLE"}:
        kind = None
    return Node(
        item.path,
        item.id if kind else "",
        kind,
        unit=UNITS.get(item.units, item.units) if kind is DataType.FLOAT64 else "",
        description=f"{item.category} {item.type}",
    )
