"""One established connection: reads plans, writes tags, and finds out which devices a CPU refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from adapters.mc.address import Kind
from adapters.mc.codec import Ask, Frame, ask_model, ask_write, ask_write_bit, ask_write_long, parse_model
from adapters.mc.config import McConnection, McDevice, McTag, Transport
from adapters.mc.endcodes import refusal, refusal_fault
from adapters.mc.exchange import Chunk, Exchange
from adapters.mc.plan import McPlan, Read, Step, make_steps
from adapters.mc.values import encode
from gateway.sdk import DeviceConfig, LinkLost, OutOfStep, Plan, Quality, Readings, TagFault, Timeout, Write
from gateway.wire.link import StreamLink

RETEST_POLLS: Final = 60
"""Polls after which refused devices are asked for again."""
NARROW_READS: Final = 32
"""Most extra reads in one poll to find out which devices of a refused read are to blame."""
REMEMBERED: Final = 256
"""Plans of one session for which refused devices are remembered."""


@dataclass(slots=True)
class Narrowed:
    """What was learned about a plan some of whose reads are refused."""

    plan: McPlan
    steps: tuple[Step, ...]
    bad: list[tuple[Read, Quality]] = field(default_factory=list)
    suspects: deque[Read] = field(default_factory=deque)
    """Refused, and not yet told apart."""
    polls: int = 0


@dataclass(slots=True)
class Entry:
    """What is known of a connection entry beyond one session."""

    met: bool = False
    """True once it has answered anything: it is ours, and a connection that is closed at once is lost, not refused."""


class McSession:
    """One established connection."""

    def __init__(self, connection: McConnection, link: StreamLink, entry: Entry) -> None:
        self.link = link
        self._entry = entry
        self._connection = connection
        self._exchange = Exchange(connection.code, connection.frame, datagrams=connection.transport is Transport.UDP)
        self._narrowed: dict[int, Narrowed] = {}
        self._over = False
        link.stray = self._exchange

    # reading

    async def read(self, plan: Plan, out: Readings) -> None:
        """Carry out a plan's reads and fill ``out``; see gateway.sdk.Session."""
        plan = cast("McPlan", plan)
        image = cast("bytearray", out.image)
        narrowed = self._narrowed.get(id(plan)) if self._narrowed else None
        refused: list[tuple[Read, int]] = []
        for chunk, read in plan.steps if narrowed is None else narrowed.steps:
            if code := await self._carry(chunk, image):
                refused.append((read, code))
        if refused or narrowed is not None:
            await self._narrow(plan, narrowed, refused, out)

    async def _carry(self, chunk: Chunk, image: bytearray) -> int:
        """One request and its answer; returns the end code, 0 for good.

        Raises Timeout; OutOfStep where a late answer could not be told from the next one: the link is then closed.
        """
        exchange, link = self._exchange, self.link
        complete = False
        try:
            await link.exchange(exchange.begin(chunk, image), exchange, self._connection.timeout)
            complete = self._entry.met = True
        except Timeout as fault:
            what = OutOfStep if self._connection.frame is Frame.E3 else Timeout
            raise what(f"{fault}{self._hint()}") from fault
        except LinkLost as fault:
            if self._entry.met or exchange.heard or self._over or self._connection.transport is Transport.UDP:
                raise
            words = f"{link.name}: the connection was taken and closed unused; somebody else may hold this entry"
            raise LinkLost(words, code="entry_in_use") from fault
        finally:
            if not complete:
                exchange.end()
                if self._connection.frame is Frame.E3:
                    self._over = True
                    link.abort(LinkLost(f"{link.name}: the link was closed, for an answer is overdue"))
        return exchange.refused

    def _hint(self) -> str:
        """What silence may mean: a CPU does not answer a message that it does not understand."""
        if self._exchange.heard:
            return ""
        c = self._connection
        return f"; is the entry {c.transport.upper()}, and its code {'ASCII' if c.code.text else 'binary'}?"

    async def ask(self, device: McDevice, ask: Ask) -> int:
        """One request besides plans; returns the end code, 0 for good. Data of its answer: see `body`."""
        return await self._carry(self._exchange.chunk(device.route, self._connection.timer, ask), bytearray())

    @property
    def body(self) -> bytes:
        """Data of the last good answer to `ask`."""
        return self._exchange.body

    async def _narrow(
        self, plan: McPlan, known: Narrowed | None, refused: Sequence[tuple[Read, int]], out: Readings
    ) -> None:
        """Sort out refusals: what is readable arrives in this cycle, what is not is bad, with its reason."""
        state = known or Narrowed(plan, plan.steps)
        if known is not None:
            state.polls += 1
            if state.polls % RETEST_POLLS == 0:
                state.suspects.extend(read for read, _ in state.bad)
                state.bad.clear()
        if known is None or refused or state.suspects:
            self._narrowed.pop(id(plan), None)  # a fault on the way: begin anew rather than with half the truth
            good = self._sort_out(state, refused)
            await self._test(state, good, cast("bytearray", out.image))
            state.steps = make_steps(self._connection, cast("McDevice", plan.device), good)
            self._narrowed[id(plan)] = state
            while len(self._narrowed) > REMEMBERED:
                del self._narrowed[next(iter(self._narrowed))]
        for read, quality in state.bad:
            out.fail(read, quality)
        for read in state.suspects:
            out.fail(read, Quality.ADDRESS_REFUSED)

    def _sort_out(self, state: Narrowed, refused: Sequence[tuple[Read, int]]) -> list[Read]:
        """Reads that succeeded; those that did not become suspects, or bad at once. Raises Busy, Timeout, AuthFault."""
        codes = {id(read): code for read, code in refused}
        good: list[Read] = []
        for _, read in state.steps:
            if (code := codes.get(id(read))) is None:
                good.append(read)
            else:
                self._blame(state, read, code)
        return good

    def _blame(self, state: Narrowed, read: Read, code: int) -> None:
        why = refusal(code)
        if why.fault is not TagFault:
            raise refusal_fault(code, f"{self.link.name}")
        if why.narrow and read.divisible:
            state.suspects.extend(read.parts())
        else:
            state.bad.append((read, why.quality))

    async def _test(self, state: Narrowed, good: list[Read], image: bytearray) -> None:
        for _ in range(NARROW_READS):
            if not state.suspects:
                return
            read = state.suspects[0]
            ((chunk, _),) = make_steps(self._connection, cast("McDevice", state.plan.device), [read])
            code = await self._carry(chunk, image)
            state.suspects.popleft()
            if code:
                self._blame(state, read, code)
            else:
                good.append(read)

    # writing

    async def write(self, device: DeviceConfig, writes: Sequence[Write]) -> None:
        """Write in order; see gateway.sdk.Writes."""
        device = cast("McDevice", device)
        for write in writes:
            tag = cast("McTag", write.tag)
            try:
                ask = self._write(device, tag, write)
            except ValueError as error:
                raise TagFault(str(error)) from error
            if code := await self.ask(device, ask):
                raise refusal_fault(code, f"tag {tag.name} at {tag.address}")

    def _write(self, device: McDevice, tag: McTag, write: Write) -> Ask:
        """The request that writes a raw value. Raises ValueError for what the tag cannot hold."""
        area, code = tag.address.area, self._connection.code
        number = tag.address.number(octal=device.octal)
        wide = device.wide or not area.short
        data = encode(tag, write.value)
        if len(data) == 1:
            return ask_write_bit(code, area, number, data[0] == 1, wide=wide)
        if area.kind is Kind.LONG:
            return ask_write_long(code, area, number, data)
        return ask_write(code, area, number, data, wide=wide)

    # identifying

    async def identify(self, device: McDevice) -> tuple[tuple[str, str], ...]:
        """What the CPU says of itself; empty when it does not know the question. Raises a Fault."""
        if code := await self.ask(device, ask_model()):
            if refusal(code).fault is TagFault:
                return ()
            raise refusal_fault(code, self.link.name)
        return parse_model(self.body)
