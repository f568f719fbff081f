"""One established connection: reads plans, writes tags, and finds out which addresses a device refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from adapters.modbus.address import Area
from adapters.modbus.codec import (
    Ask,
    ask_identity,
    ask_mask_write,
    ask_read,
    ask_write_coil,
    ask_write_coils,
    ask_write_register,
    ask_write_registers,
    parse_identity,
    refusal,
    refusal_fault,
)
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag
from adapters.modbus.exchange import Chunk, Exchange, RtuExchange, TcpExchange
from adapters.modbus.plan import ModbusPlan, Read, Step, line_time, make_steps, quiet_time
from adapters.modbus.values import encode, mask
from gateway.sdk import DeviceConfig, Plan, ProtocolFault, Quality, Readings, TagFault, Timeout, Value, Write
from gateway.wire.link import StreamLink

RETEST_POLLS: Final = 60
"""Polls after which refused addresses are asked for again."""
NARROW_READS: Final = 32
"""Most extra reads in one poll to find out which addresses of a refused read are to blame."""
REMEMBERED: Final = 256
"""Plans of one session for which refused addresses are remembered."""
FENCES: Final = 3
"""Times in a row that a unit may leave a fence unanswered before it is asked without."""
BROADCAST_QUIET: Final = 0.1
"""Seconds that units need to carry out a broadcast (SL 2.4.1: turnaround delay, 100 to 200 ms)."""


_FENCE_AREAS: Final = {1: Area.COIL, 2: Area.DISCRETE, 4: Area.INPUT, 5: Area.COIL, 15: Area.COIL}
"""Function that was asked → area in which a fence reads; all others: holding registers."""


@dataclass(slots=True)
class Narrowed:
    """What was learned about a plan some of whose reads are refused."""

    plan: ModbusPlan
    steps: tuple[Step, ...]
    bad: list[tuple[Read, Quality]] = field(default_factory=list)
    suspects: deque[Read] = field(default_factory=deque)
    """Refused, and not yet told apart."""
    polls: int = 0


class ModbusSession:
    """One established connection."""

    def __init__(self, connection: ModbusConnection, link: StreamLink, doubtful: dict[int, tuple[int, int]]) -> None:
        self.link = link
        self._connection = connection
        self._timeout = connection.timeout
        self._rtu = connection.transport.rtu
        self._doubtful = doubtful
        self._exchange: Exchange = RtuExchange() if self._rtu else TcpExchange()
        self._narrowed: dict[int, Narrowed] = {}
        link.stray = self._exchange

    # reading

    async def read(self, plan: Plan, out: Readings) -> None:
        """Carry out a plan's reads and fill ``out``; see gateway.sdk.Session."""
        plan = cast("ModbusPlan", plan)
        image = cast("bytearray", out.image)
        self.link.min_gap = plan.gap
        narrowed = self._narrowed.get(id(plan)) if self._narrowed else None
        refused: list[tuple[Read, int]] = []
        for chunk, reads in plan.steps if narrowed is None else narrowed.steps:
            await self._carry(chunk, image)
            if self._exchange.refused:
                refused += [(reads[index], code) for index, code in self._exchange.refused]
        if refused or narrowed is not None:
            await self._narrow(plan, narrowed, refused, out)

    async def _carry(self, chunk: Chunk, image: bytearray) -> None:
        """One write, all its answers."""
        if self._doubtful and chunk.asks[0].unit in self._doubtful:
            await self._fence(chunk.asks[0])
        await self._send(chunk, image, 0)

    async def _send(self, chunk: Chunk, image: bytearray, tries: int) -> None:
        exchange = self._exchange
        data = exchange.begin(chunk, image)
        complete = False
        try:
            await self.link.exchange(data, exchange, self._timeout + chunk.line_time)
            complete = True
        except Timeout as fault:
            where = f"{self.link.name}, unit {chunk.asks[0].unit}"
            if exchange.noise:
                raise ProtocolFault(f"{where}: what arrives is no answer", data=exchange.noise) from fault
            raise Timeout(f"{where}: no answer within {self._timeout:g} s") from fault
        finally:
            if not complete:
                exchange.end()
                if self._rtu:
                    self._doubtful[chunk.asks[0].unit] = (chunk.asks[0].size, tries)

    async def _fence(self, ask: Ask) -> None:
        """Before the next request to a unit that let one time out, where answers carry no transaction id.

        Its answer may still come, and would look like the answer to the next request. So a small read goes first
        whose answer has another size: devices answer in order, and once that one is here the line is clean.
        """
        size, tries = self._doubtful.pop(ask.unit)
        if tries == FENCES:
            return
        area = _FENCE_AREAS.get(ask.pdu[0], Area.HOLDING)
        count = 1 if size != (1 if area.bits else 2) else 9 if area.bits else 2
        fence = ask_read(ask.unit, area, int.from_bytes(ask.pdu[1:3], "big"), count)
        await self._send(self._chunk(fence), bytearray(fence.size), tries + 1)

    def _chunk(self, ask: Ask) -> Chunk:
        chunk = self._exchange.chunk([ask])
        chunk.line_time = line_time(self._connection, len(chunk.data) + max(ask.size, 0) + 8)
        return chunk

    async def ask(self, ask: Ask, image: bytearray) -> int:
        """One request outside any plan; 0, or the exception code that the device answers with."""
        await self._carry(self._chunk(ask), image)
        return self._exchange.refused[0][1] if self._exchange.refused else 0

    async def _narrow(
        self, plan: ModbusPlan, known: Narrowed | None, refused: Sequence[tuple[Read, int]], out: Readings
    ) -> None:
        """Find out which addresses of refused reads are to blame, and remember it for a while.

        The others are read in this very poll. At most NARROW_READS extra reads are spent on one poll; what is still
        undecided then is marked refused and looked into in the next.
        """
        state = known or Narrowed(plan, plan.steps)
        if known is not None:
            state.polls += 1
            if state.polls >= RETEST_POLLS:
                state.polls = 0
                state.suspects.extend(read for read, _ in state.bad)
                state.bad.clear()
        if known is None or refused or state.suspects:
            self._narrowed.pop(id(plan), None)  # a fault on the way: begin anew rather than with half the truth
            good = self._sort_out(state, refused)
            await self._test(state, good, cast("bytearray", out.image))
            state.steps = make_steps(self._connection, plan.unit, good)
            self._narrowed[id(plan)] = state
            while len(self._narrowed) > REMEMBERED:
                del self._narrowed[next(iter(self._narrowed))]
        for read, quality in state.bad:
            out.fail(read, quality)
        for read in state.suspects:
            out.fail(read, Quality.ADDRESS_REFUSED)

    def _sort_out(self, state: Narrowed, refused: Sequence[tuple[Read, int]]) -> list[Read]:
        """Reads that succeeded; those that did not become suspects, or bad at once. Raises Busy, Timeout."""
        codes = {id(read): code for read, code in refused}
        good: list[Read] = []
        for _, reads in state.steps:
            for read in reads:
                if (code := codes.get(id(read))) is None:
                    good.append(read)
                else:
                    self._blame(state, read, code)
        return good

    def _blame(self, state: Narrowed, read: Read, code: int) -> None:
        why = refusal(code)
        if why.fault is not TagFault:
            raise refusal_fault(code, f"{self.link.name}, unit {state.plan.unit}")
        if why.narrow and len(read.items) > 1:
            state.suspects.extend(read.halves())
        else:
            state.bad.append((read, why.quality))

    async def _test(self, state: Narrowed, good: list[Read], image: bytearray) -> None:
        for _ in range(NARROW_READS):
            if not state.suspects:
                return
            read = state.suspects[0]
            code = await self.ask(read.ask(state.plan.unit), image)
            state.suspects.popleft()
            if code:
                self._blame(state, read, code)
            else:
                good.append(read)

    # writing

    async def write(self, device: DeviceConfig, writes: Sequence[Write]) -> None:
        """Write in order; see gateway.sdk.Writes."""
        device = cast("ModbusDevice", device)
        self.link.min_gap = max(device.gap, quiet_time(self._connection))
        for write in writes:
            tag = cast("ModbusTag", write.tag)
            try:
                ask = _write(device, tag, write.value)
            except ValueError as error:
                raise TagFault(str(error)) from error
            if device.unit == 0 and self._rtu:
                await self.link.send(self._exchange.begin(self._exchange.chunk([ask]), bytearray()), BROADCAST_QUIET)
                self._exchange.end()
                continue
            code = await self.ask(ask, bytearray())
            if code:
                raise refusal_fault(code, f"tag {tag.name} at {tag.address}")

    # identifying

    async def identify(self, unit: int) -> tuple[tuple[str, str], ...]:
        """What the device says of itself; empty when it does not know the question. Raises LinkLost."""
        try:
            code = await self.ask(ask_identity(unit), bytearray())
            return () if code else parse_identity(self._exchange.body)
        except (Timeout, ProtocolFault):
            return ()


def _write(device: ModbusDevice, tag: ModbusTag, value: Value) -> Ask:
    """The request that writes a raw value. Raises ValueError for what the tag cannot hold."""
    unit, address = device.unit, tag.address.offset(device.base)
    if tag.address.area is Area.COIL:
        if device.write_multiple_only:
            return ask_write_coils(unit, address, [bool(value)])
        return ask_write_coil(unit, address, bool(value))
    data = encode(device, tag, value)
    if tag.address.part:
        return ask_mask_write(unit, address, 0xFFFF ^ mask(device, tag), int.from_bytes(data, "big"))
    if len(data) == 2 and not device.write_multiple_only:
        return ask_write_register(unit, address, data)
    return ask_write_registers(unit, address, data)
