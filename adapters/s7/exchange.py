"""Receiver of answers: sans-io, safe however the bytes are split, bounded in memory.

Answers are told apart by their PDU reference: several requests may be under way, and the answer to one that was given
up is recognised and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Final

import numpy as np

from adapters.s7.codec import (
    ACK,
    ANSWER,
    ANSWER_HEADER,
    CONFIRM,
    DATA,
    DATA_BYTE,
    DISCONNECT,
    DT,
    GOOD,
    ITEM_HEADER,
    JOB,
    JOB_HEADER,
    LENGTH_UNITS,
    READ,
    READ_OVERHEAD,
    REFERENCE_AT,
    SETUP,
    TRANSPORT_ERROR,
    USER_DATA,
    WRITE,
    Ask,
    frame,
)
from gateway.model.faults import ProtocolFault

FIRST_ITEM: Final = DATA + READ_OVERHEAD[1]
"""Where in a frame the items of an answer begin."""
MANY: Final = 4
"""Items from which on one gather is cheaper than a copy for each."""
_PARAMETERS: Final[dict[int, int]] = {SETUP: 8, READ: 2, WRITE: 2}
"""Function → bytes of the parameter of a good answer; user data have no function."""
LARGEST: Final = 2048
"""Bytes of the longest telegram before a PDU size was agreed on."""


class Pattern:
    """What the answer to a read looks like, to the byte, when every item is good: then its data is taken in one go.

    One comparison of the whole answer, all that is not data, instead of one for each item: 2 µs for 20 items, not 8.
    """

    __slots__ = ("_mask", "_slices", "_source", "_target", "_template", "length")

    def __init__(self, ask: Ask) -> None:
        items = bytearray()
        data = bytearray()  # 0xFF where data or a fill byte stands
        self._slices: list[tuple[slice, slice]] = []
        for start, size in ask.parts:
            fill = len(items) & 1
            at = FIRST_ITEM + len(items) + fill + ITEM_HEADER
            items += bytes(fill) + bytes((GOOD, DATA_BYTE)) + (8 * size & 0xFFFF).to_bytes(2, "big") + bytes(size)
            data += b"\xff" * fill + bytes(ITEM_HEADER) + b"\xff" * size
            self._slices.append((slice(start, start + size), slice(at, at + size)))
        head = pack(">BBHHHHH", 0x32, ANSWER, 0, 0, 2, len(items), 0) + bytes((READ, len(ask.parts)))
        unit = frame(head + items)
        self.length = len(unit)
        keep = bytearray(b"\xff" * FIRST_ITEM) + bytes(byte ^ 0xFF for byte in data)
        for at in (1, *range(DATA + 2, REFERENCE_AT + 2)):
            keep[at] = 0
        self._mask = int.from_bytes(keep, "little")
        self._template = int.from_bytes(unit, "little") & self._mask
        many = len(ask.parts) >= MANY
        places = [(range(to.start, to.stop), range(of.start, of.stop)) for to, of in self._slices if many]
        self._target = np.array([at for to, _ in places for at in to], np.intp)
        self._source = np.array([at for _, of in places for at in of], np.intp)

    def take(self, unit: bytes, image: bytearray) -> bool:
        """Put the data of an answer into the image; False when it is not as expected, and the image as it was."""
        if len(unit) != self.length or int.from_bytes(unit, "little") & self._mask != self._template:
            return False
        if len(self._target):
            np.frombuffer(image, np.uint8)[self._target] = np.frombuffer(unit, np.uint8)[self._source]
        else:
            for to, of in self._slices:
                image[to] = unit[of]
        return True


class Chunk:
    """Requests that go out in one write, as bytes, with what is expected in return."""

    __slots__ = ("asks", "data", "patterns", "references")

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.asks = tuple(asks)
        self.data = bytearray().join(ask.frame for ask in asks)
        self.references: list[int] = []
        """Where in the data the references stand."""
        at = 0
        for ask in asks:
            self.references.append(at + REFERENCE_AT)
            at += len(ask.frame)
        self.patterns = tuple(Pattern(ask) if ask.function == READ else None for ask in asks)


class S7Exchange:
    """See the module. Before the first chunk, `connecting` awaits the confirmation of the connection."""

    __slots__ = (
        "_chunk", "_first", "_image", "_next", "_open", "_rest", "_telegram", "abandoned", "answered", "body",
        "confirmed", "connecting", "declined", "largest", "refused", "strays",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answered = 0
        self.refused: list[tuple[int, int, int]] = []
        """(position in the chunk, item or -1 for all of them, code) of what the CPU refused."""
        self.body: tuple[bytes, bytes] = (b"", b"")
        """Parameter and data of the last answer that is neither to a read nor to a write."""
        self.strays = 0
        """Answers that belonged to nothing under way."""
        self.abandoned: set[int] = set()
        """References of requests that were given up, and that the CPU may still be working on."""
        self.largest = LARGEST
        """Bytes of the longest telegram that is taken."""
        self.connecting = False
        self.confirmed = False
        self.declined: int | None = None
        """Reason in a DR with which the CPU declined the connection."""
        self._rest = b""
        self._telegram = b""  # what arrived of a telegram in several DT units
        self._next = 1
        self._first = 0
        self._open = 0  # one bit per request of the chunk that has no answer yet
        self._chunk = Chunk(())
        self._image = bytearray()

    def connect(self) -> None:
        """Expect the confirmation of a connection."""
        self.connecting = True
        self.answered = 0

    def begin(self, chunk: Chunk, image: bytearray) -> bytes:
        """Number the requests, expect their answers, their data in ``image``; return the bytes to send."""
        count = len(chunk.asks)
        first = self._next
        if first + count > 0x10000:
            first = 1
        self._first = first
        self._next = first + count
        self._open = (1 << count) - 1
        self._chunk = chunk
        self._image = image
        self.answered = 0
        if self.refused:
            self.refused = []
        data = chunk.data
        for number, at in enumerate(chunk.references, first):
            data[at] = number >> 8
            data[at + 1] = number & 0xFF
        return bytes(data)

    def end(self) -> None:
        """Expect nothing any more; half an answer is kept, so that the next one is found behind it."""
        self.connecting = False
        for index in range(len(self._chunk.asks)):
            if self._open >> index & 1:
                self.abandoned.add(self._first + index)
        self._open = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when all that is expected has arrived. Raises ProtocolFault."""
        if self._rest:
            data = self._rest + data
        at = 0
        end = len(data)
        while end - at >= DATA:
            length = data[at + 2] << 8 | data[at + 3]
            if data[at] != 3 or not DATA <= length <= self.largest + DATA:
                raise ProtocolFault("what arrives is not ISO-on-TCP", data=data[at:])
            if length > end - at:
                break
            unit = data[at : at + length]
            at += length
            if not self._plain(unit):
                self._unit(unit)
        self._rest = data[at:]
        return not (self._open or self.connecting)

    def _plain(self, unit: bytes) -> bool:
        """Take the answer to a read in which every item is good; False when it is anything else."""
        if self._telegram or len(unit) <= FIRST_ITEM:
            return False
        index = (unit[REFERENCE_AT] << 8 | unit[REFERENCE_AT + 1]) - self._first
        if index < 0 or not self._open >> index & 1:
            return False
        pattern = self._chunk.patterns[index]
        if pattern is None or not pattern.take(unit, self._image):
            return False
        self._open ^= 1 << index
        self.answered += 1
        return True

    def _unit(self, unit: bytes) -> None:
        """Take one TPKT."""
        kind = unit[5] & 0xF0
        if kind == DT and unit[4] == 2:
            self._part(unit)
            return
        if kind == CONFIRM and self.connecting:
            self.confirmed = True
        elif kind == DISCONNECT and self.connecting:
            self.declined = unit[10] if len(unit) > 10 else 0
        elif kind == DISCONNECT:
            raise ProtocolFault("the CPU ends the connection", data=unit)
        elif kind == TRANSPORT_ERROR:
            raise ProtocolFault("the CPU does not understand our transport unit", data=unit)
        else:
            raise ProtocolFault(f"transport unit {unit[5]:#04x} comes out of turn", data=unit)
        self.connecting = False
        self.answered += 1

    def _part(self, unit: bytes) -> None:
        """Take a DT; the last of a telegram has its end marked."""
        if self._telegram or not unit[6] & 0x80:
            self._telegram += unit[DATA:]
            if len(self._telegram) > self.largest:
                raise ProtocolFault("a telegram does not end", data=self._telegram)
            if not unit[6] & 0x80:
                return
            unit = unit[:DATA] + self._telegram
            self._telegram = b""
        self._answer(unit)

    def _answer(self, unit: bytes) -> None:
        """Take a telegram behind ``DATA`` bytes."""
        if len(unit) < DATA + JOB_HEADER or unit[DATA] != 0x32:
            raise ProtocolFault("what arrives is not S7 communication", data=unit)
        kind = unit[DATA + 1]
        header = ANSWER_HEADER if kind in (ACK, ANSWER) else JOB_HEADER
        parameter = unit[DATA + 6] << 8 | unit[DATA + 7]
        data = unit[DATA + 8] << 8 | unit[DATA + 9]
        if kind not in (JOB, ACK, ANSWER, USER_DATA) or DATA + header + parameter + data != len(unit):
            raise ProtocolFault("the lengths in an S7 telegram do not add up", data=unit)
        number = unit[REFERENCE_AT] << 8 | unit[REFERENCE_AT + 1]
        index = number - self._first
        if not (0 <= index < len(self._chunk.asks) and self._open >> index & 1) or kind == JOB:
            self.strays += 1
            if kind != JOB:
                self.abandoned.discard(number)
            return
        start = DATA + header + parameter
        error = unit[DATA + 10] << 8 | unit[DATA + 11] if header == ANSWER_HEADER else 0
        if error:
            self.refused.append((index, -1, error))
        else:
            self._take(index, unit, DATA + header, start)
        self._open ^= 1 << index
        self.answered += 1

    def _take(self, index: int, unit: bytes, parameter: int, data: int) -> None:
        """Take an answer that refuses nothing as a whole; where its parameter and its data begin."""
        ask = self._chunk.asks[index]
        wanted = _PARAMETERS.get(ask.function)
        if wanted is None:
            fits = unit[DATA + 1] == USER_DATA
        else:
            fits = unit[DATA + 1] == ANSWER and data - parameter == wanted and unit[parameter] == ask.function
        if not fits:
            raise ProtocolFault("the answer is to another function than the one that was asked", data=unit)
        if ask.function == READ:
            self._read(index, ask, unit, data)
        elif ask.function == WRITE:
            if len(unit) - data != 1:
                raise ProtocolFault("the answer to a write has not one return code", data=unit)
            if unit[data] != GOOD:
                self.refused.append((index, 0, unit[data]))
        else:
            self.body = unit[parameter:data], unit[data:]

    def _read(self, index: int, ask: Ask, unit: bytes, at: int) -> None:
        """Take the items of an answer to a read; items of odd size, but the last, are followed by a fill byte."""
        parts, image = ask.parts, self._image
        end = len(unit)
        if unit[at - 1] != len(parts):
            raise ProtocolFault(f"the answer has {unit[at - 1]} items instead of {len(parts)}", data=unit)
        good: list[tuple[int, int, int]] = []
        for item, (start, size) in enumerate(parts):
            stop = self._item(index, item, size, unit, at)
            if unit[at] == GOOD:
                good.append((start, size, stop))
            at = stop + (stop - at & 1)
        if end not in (stop, at):
            raise ProtocolFault("the items of an answer do not fill it", data=unit)
        for start, size, stop in good:
            image[start : start + size] = unit[stop - size : stop]

    def _item(self, index: int, item: int, size: int, unit: bytes, at: int) -> int:
        """Look at an item, in whatever transport size it comes; return where it ends."""
        header = unit[at : at + ITEM_HEADER]
        if not header:
            raise ProtocolFault("an item is missing in an answer", data=unit)
        if header[0] != GOOD:
            self.refused.append((index, item, header[0]))
            # Refused items have a length of 0, and some CPUs leave off what is behind the code of the last one.
            return min(at + ITEM_HEADER, len(unit))
        if len(header) < ITEM_HEADER or header[1] not in LENGTH_UNITS:
            raise ProtocolFault("an item comes in a form that S7 does not have", data=unit)
        found = (header[2] << 8 | header[3]) // LENGTH_UNITS[header[1]]
        if found != size:
            raise ProtocolFault(f"an item has {found} bytes instead of {size}", data=unit)
        return at + ITEM_HEADER + size
