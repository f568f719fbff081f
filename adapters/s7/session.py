"""One established connection: reads plans, writes tags, identifies the CPU, finds out which addresses it refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from adapters.s7 import codec
from adapters.s7.codec import Ask
from adapters.s7.config import Encoding, S7Connection, S7Device, S7Tag
from adapters.s7.exchange import Chunk, S7Exchange
from adapters.s7.packing import Job, Read, Room, pack_again
from adapters.s7.plan import S7Plan, Step, make_chunk, make_steps, packed
from adapters.s7.refusals import refusal, refusal_fault
from adapters.s7.values import encode
from gateway.model.types import DataType
from gateway.sdk import (
    DeviceConfig,
    Fault,
    LinkLost,
    Plan,
    ProtocolFault,
    Quality,
    Readings,
    TagFault,
    Timeout,
    Write,
)
from gateway.sdk.sharing import Same
from gateway.wire.link import StreamLink

RETEST_POLLS: Final = 60
"""Polls after which refused addresses are asked for again."""
NARROW_JOBS: Final = 32
"""Most extra requests in one poll to find out which addresses of a refused item are to blame."""
REMEMBERED: Final = 256
"""Plans of one session for which is remembered what was learned."""
STATUS_PARTS: Final = 16
"""Most parts of a system status list that are asked for."""
WRITE_OVERHEAD: Final = codec.JOB_HEADER + 2 + codec.READ_ITEM + codec.ITEM_HEADER


@dataclass(slots=True)
class Course:
    """How a plan is carried out on this connection."""

    plan: S7Plan
    steps: tuple[Step, ...]
    bad: list[tuple[Read, Quality]] = field(default_factory=list)
    """Refused: each a single value, asked for again after a while."""
    suspects: deque[Read] = field(default_factory=deque)
    """Refused, and not yet told apart."""
    polls: int = 0

    @property
    def whole(self) -> bool:
        """True while nothing is refused."""
        return not (self.bad or self.suspects)


class S7Session:
    """One established connection."""

    def __init__(self, connection: S7Connection, link: StreamLink) -> None:
        self.link = link
        self.pdu = connection.pdu
        """Largest PDU, in bytes, that both sides agreed on."""
        self.jobs = 1
        """Requests that may be under way at the same time."""
        self._connection = connection
        self._timeout = connection.timeout
        self._exchange = S7Exchange()
        self._courses: dict[int, Course] = {}
        link.stray = self._exchange

    # beginning

    async def establish(self) -> None:
        """Connect to the CPU behind the socket, and agree on sizes. Raises LinkLost, Timeout, Busy, ProtocolFault."""
        connection, exchange = self._connection, self._exchange
        local, remote = connection.tsaps()
        exchange.connect()
        try:
            await self.link.exchange(codec.connect_request(local, remote), exchange, self._timeout)
        except LinkLost as fault:
            raise self._declined("closes the connection") from fault
        finally:
            exchange.end()
        if exchange.declined is not None:
            raise self._declined(f"declines with reason {exchange.declined:#04x}")
        try:
            code = await self.ask(codec.ask_setup(connection.pipeline, connection.pdu))
        except LinkLost as fault:
            raise self._declined("closes the connection at setup") from fault
        if code:
            raise refusal_fault(code, f"{self.link.name}, setup communication")
        jobs, pdu = codec.parse_setup(exchange.body[0])
        self.jobs, self.pdu = min(jobs, connection.pipeline), min(pdu, connection.pdu)
        exchange.largest = self.pdu

    def _declined(self, how: str) -> Fault:
        remote = self._connection.tsaps()[1].hex(".").upper()
        return LinkLost(
            f"{self.link.name}: the CPU {how}: no CPU at remote TSAP {remote} (rack, slot), or no connection of type "
            f"{self._connection.connection_type} free",
            code="session_refused",
        )

    # reading

    async def read(self, plan: Plan, out: Readings) -> None:
        """Carry out a plan's requests and fill ``out``; see gateway.sdk.Session."""
        plan = cast("S7Plan", plan)
        image = cast("bytearray", out.image)
        course = self._courses.get(id(plan)) or self._course(plan)
        refused: list[tuple[Read, int]] = []
        for chunk, jobs in course.steps:
            await self._carry(chunk, image)
            if self._exchange.refused:
                refused += self._blamed(jobs)
        if refused or not course.whole:
            await self._narrow(course, refused, out)
        for conversion in plan.conversions:
            if not conversion.apply(image):
                out.failures.setdefault(conversion.tag, Quality.UNDECODABLE)

    def _course(self, plan: S7Plan) -> Course:
        """Pack a plan for what the CPU granted."""
        jobs = packed(Same(plan.clusters), self.pdu, plan.max_items, plan.max_gap)
        course = self._courses[id(plan)] = Course(plan, make_steps(jobs, self.jobs))
        while len(self._courses) > REMEMBERED:
            del self._courses[next(iter(self._courses))]
        return course

    async def _carry(self, chunk: Chunk, image: bytearray) -> None:
        """One write, all its answers."""
        exchange = self._exchange
        if exchange.abandoned:
            # More requests than the CPU granted would be under way, or it has gone: a new connection settles both.
            raise LinkLost(f"{self.link.name}: the CPU still owes the answer to an earlier request", code="no_answer")
        data = exchange.begin(chunk, image)
        complete = False
        try:
            await self.link.exchange(data, exchange, self._timeout)
            complete = True
        finally:
            if not complete:
                exchange.end()

    async def ask(self, ask: Ask) -> int:
        """One request outside any plan; 0, or the code that the CPU refuses it with."""
        await self._carry(Chunk([ask]), bytearray())
        return self._exchange.refused[0][2] if self._exchange.refused else 0

    def _blamed(self, jobs: Sequence[Job]) -> list[tuple[Read, int]]:
        """Items that were refused. Raises the fault of a code that concerns the whole CPU."""
        found: list[tuple[Read, int]] = []
        for index, item, code in self._exchange.refused:
            if refusal(code).fault is not TagFault:
                raise refusal_fault(code, f"{self.link.name}, read")
            found += [(read, code) for read in (jobs[index] if item < 0 else jobs[index][item : item + 1])]
        return found

    async def _narrow(self, course: Course, refused: Sequence[tuple[Read, int]], out: Readings) -> None:
        """Find out which addresses of refused items are to blame, and remember it for a while.

        The others are read in this very poll. At most NARROW_JOBS extra requests are spent on one poll; what is still
        undecided then is marked refused and looked into in the next.
        """
        plan = course.plan
        if not course.whole:
            course.polls += 1
            if course.polls >= RETEST_POLLS:
                course.polls = 0
                course.suspects.extend(read for read, _ in course.bad)
                course.bad.clear()
        if refused or course.suspects:
            self._courses.pop(id(plan), None)  # a fault on the way: begin anew rather than with half the truth
            codes = {id(read): code for read, code in refused}
            good = [read for _, jobs in course.steps for job in jobs for read in job if id(read) not in codes]
            for read, code in refused:
                self._blame(course, read, code)
            await self._test(course, good, cast("bytearray", out.image))
            if not course.whole:
                room = Room.of(self.pdu, plan.max_items)
                course.steps = make_steps(pack_again(good, room), self.jobs)
                self._courses[id(plan)] = course
        for read, quality in course.bad:
            out.fail(read, quality)
        for read in course.suspects:
            out.fail(read, Quality.ADDRESS_REFUSED)

    def _blame(self, course: Course, read: Read, code: int) -> None:
        why = refusal(code)
        if why.narrow and len(read.pieces) > 1:
            course.suspects.extend(read.halves())
        else:
            course.bad.append((read, why.quality))

    async def _test(self, course: Course, good: list[Read], image: bytearray) -> None:
        """Read suspects, as many at a time as a request holds."""
        room = Room.of(self.pdu, course.plan.max_items)
        spent = 0
        while course.suspects and spent < NARROW_JOBS:
            jobs = pack_again(course.suspects, room)[: min(self.jobs, NARROW_JOBS - spent)]
            spent += len(jobs)
            await self._carry(make_chunk(jobs), image)
            refused = self._blamed(jobs)
            asked = {id(read) for job in jobs for read in job}
            codes = {id(read) for read, _ in refused}
            good += [read for read in course.suspects if id(read) in asked and id(read) not in codes]
            course.suspects = deque(read for read in course.suspects if id(read) not in asked)
            for read, code in refused:
                self._blame(course, read, code)

    # writing

    async def write(self, device: DeviceConfig, writes: Sequence[Write]) -> None:
        """Write in order; see gateway.sdk.Writes."""
        for write in writes:
            tag = cast("S7Tag", write.tag)
            try:
                data = encode(cast("S7Device", device), tag, write.value)
            except ValueError as error:
                raise TagFault(str(error)) from error
            if tag.kind in (Encoding.S7STRING, Encoding.WSTRING):
                data = await self._into_string(tag, data)
            for ask in self._writes(tag, data):
                code = await self.ask(ask)
                if code:
                    raise refusal_fault(code, f"tag {tag.name} at {tag.address}")

    def _writes(self, tag: S7Tag, data: bytes) -> list[Ask]:
        """Requests that write a value; the end of a long one first, so that a text's length comes last."""
        place, address = tag.address.place, tag.address.offset
        if tag.type is DataType.BOOL:
            return [codec.ask_write_bit(place, address, tag.address.bit, bool(data[0]))]
        if tag.kind in (Encoding.S7STRING, Encoding.WSTRING):
            skip = 1 if tag.kind is Encoding.S7STRING else 2  # the longest length stays what the CPU's program declared
            address, data = address + skip, data[skip:]
        room = (self.pdu - WRITE_OVERHEAD) // 2 * 2
        return [
            codec.ask_write(place, address + at, data[at : at + room]) for at in reversed(range(0, len(data), room))
        ]

    async def _into_string(self, tag: S7Tag, data: bytes) -> bytes:
        """Look how long the text in the CPU may be, before neighbours are overwritten.

        A longest length of 0 is memory that no program declared a STRING in: it is taken to be as the tag says.
        """
        width = 1 if tag.kind is Encoding.S7STRING else 2
        place, address = tag.address.place, tag.address.offset
        image = bytearray(width)
        await self._carry(Chunk([codec.ask_read([(place, address, width)], [0])]), image)
        if self._exchange.refused:
            raise refusal_fault(self._exchange.refused[0][2], f"tag {tag.name} at {tag.address}")
        longest, wanted = int.from_bytes(image, "big"), int.from_bytes(data[width : 2 * width], "big")
        if not longest:
            code = await self.ask(codec.ask_write(place, address, data[:width]))
            if code:
                raise refusal_fault(code, f"tag {tag.name} at {tag.address}")
        elif wanted > longest:
            raise TagFault(f"{tag.name}: the text in the CPU holds {longest} characters, {wanted} do not fit")
        return data

    # identifying

    async def identify(self) -> tuple[tuple[str, str], ...]:
        """What the CPU says of itself; empty when it does not know the question. Raises LinkLost."""
        try:
            return codec.parse_identity(await self._status(0x001C), await self._status(0x0011))
        except (Timeout, ProtocolFault):
            return ()

    async def _status(self, identity: int) -> bytes:
        """Content of a system status list; empty when the CPU refuses."""
        content, sequence = b"", 0
        for _ in range(STATUS_PARTS):
            code = await self.ask(codec.ask_status(identity, 0, sequence))
            part = codec.parse_status(*self._exchange.body) if not code else None
            if part is None or part.error:
                return b""
            content += part.data
            if part.last:
                return content
            sequence = part.sequence
        raise ProtocolFault("the system status list does not end")
