"""Receivers: what becomes of the bytes of answers. Sans-io, safe however the bytes are split, bounded in memory.

`TcpExchange` tells answers apart by transaction id: many requests may be under way, and an answer to a request that
was given up is recognised and dropped. `RtuExchange` has no such id: it accepts exactly the answer it waits for, and
skips noise before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack
from typing import Final, Protocol

from adapters.modbus.codec import Ask, crc16, identity_length, rtu_frame, tcp_frame
from gateway.model.faults import ProtocolFault

MBAP: Final = 7
SHORTEST_TCP: Final = 9
"""MBAP header, function and one byte: no answer is shorter."""
LONGEST_RTU: Final = 256
LONGEST_TCP: Final = 254
"""Largest value of the MBAP length field: unit and a PDU of 253 bytes."""
NOISE_LIMIT: Final = 1024
"""Bytes without an answer in them after which a serial line is declared broken."""


class Chunk:
    """Requests that go out in one write, as bytes, with what is expected in return."""

    __slots__ = ("asks", "data", "heads", "line_time", "sizes", "starts", "transactions")

    def __init__(self, asks: Sequence[Ask], data: bytes, heads: Sequence[bytes] = ()) -> None:
        self.asks = tuple(asks)
        self.data = bytearray(data)
        self.heads = tuple(heads)
        """Per request: how a good answer begins (TCP: behind the transaction id)."""
        self.sizes = tuple(0 if ask.bits else ask.size for ask in asks)
        self.starts = tuple(ask.start for ask in asks)
        self.transactions = Struct(f">{len(self.asks)}H")
        self.line_time = 0.0
        """Seconds that request and answer take on a serial line, on top of the device's own time."""


class Exchange(Protocol):
    """One framing: makes chunks, and is the receiver of their answers."""

    answered: int
    refused: list[tuple[int, int]]
    """(position in the chunk, exception code) of what the device refused."""
    body: bytes
    """Data of the last answer whose size was open."""
    noise: bytes
    """What was skipped since `begin` in search of the answer, its first bytes."""
    strays: int
    """Answers, or bytes of noise, that belonged to nothing under way."""

    @staticmethod
    def chunk(asks: Sequence[Ask]) -> Chunk:
        """Prepare requests for one write."""

    def begin(self, chunk: Chunk, image: bytearray) -> bytes:
        """Expect the answers to ``chunk``, their data in ``image``; return the bytes to send."""

    def end(self) -> None:
        """Expect nothing any more: whatever still comes is a stray."""

    def feed(self, data: bytes) -> bool:
        """See gateway.wire.link.Receiver."""


def place(image: bytearray, ask: Ask, data: bytes) -> None:
    """Put an answer's data where it belongs; bits in the middle of a byte leave their neighbours alone."""
    if not ask.bits:
        image[ask.start : ask.start + ask.size] = data
        return
    width = -(-(ask.bit + ask.bits) // 8)
    mask = ((1 << ask.bits) - 1) << ask.bit
    old = int.from_bytes(image[ask.start : ask.start + width], "little")
    new = old & ~mask | (int.from_bytes(data, "little") << ask.bit & mask)
    image[ask.start : ask.start + width] = new.to_bytes(width, "little")


class TcpExchange:
    """Answers with an MBAP header (TCP 3.1.3), in any order."""

    __slots__ = (
        "_chunk",
        "_first",
        "_image",
        "_next",
        "_open",
        "_rest",
        "answered",
        "body",
        "noise",
        "refused",
        "strays",
    )

    def __init__(self) -> None:
        self.answered = 0
        self.refused: list[tuple[int, int]] = []
        self.body = b""
        self.noise = b""
        self.strays = 0
        self._rest = b""
        self._next = 1
        self._first = 0
        self._open = 0  # one bit per request of the chunk that has no answer yet
        self._chunk = Chunk((), b"")
        self._image = bytearray()

    @staticmethod
    def chunk(asks: Sequence[Ask]) -> Chunk:
        """Prepare requests for one write; they are of one length, as reads are, or only one."""
        heads = [
            pack(">HHB", 0, len(ask.head) + ask.size + 1, ask.unit) + ask.head if ask.size >= 0 else b"-"
            for ask in asks
        ]
        return Chunk(asks, b"".join(tcp_frame(0, ask.unit, ask.pdu) for ask in asks), heads)

    def begin(self, chunk: Chunk, image: bytearray) -> bytes:
        """Number the requests and expect their answers."""
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
        numbers = chunk.transactions.pack(*range(first, first + count))
        stride = len(data) // count
        data[0::stride] = numbers[0::2]
        data[1::stride] = numbers[1::2]
        return bytes(data)

    def end(self) -> None:
        """Expect nothing any more; half an answer is kept, so that the next one is found behind it."""
        self._open = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when every request of the chunk has its answer. Raises ProtocolFault."""
        if self._rest:
            data = self._rest + data
        at = 0
        end = len(data)
        first = self._first
        chunk = self._chunk
        heads = chunk.heads
        while end - at >= SHORTEST_TCP:
            index = (data[at] << 8 | data[at + 1]) - first
            known = 0 <= index < len(heads) and self._open >> index & 1
            if known and (size := chunk.sizes[index]) > 0 and data.startswith(heads[index], at + 2):
                stop = at + MBAP + 2 + size
                if stop > end:
                    break
                start = chunk.starts[index]
                self._image[start : start + size] = data[stop - size : stop]
                self._open ^= 1 << index
                self.answered += 1
            else:
                length = data[at + 4] << 8 | data[at + 5]
                if data[at + 2] or data[at + 3] or not 2 < length <= LONGEST_TCP:
                    raise ProtocolFault("what arrives is not Modbus TCP", data=data[at:])
                stop = at + 6 + length
                if stop > end:
                    break
                if known:
                    self._odd(index, data[at + 6 : stop])
                else:
                    self.strays += 1
            at = stop
            if known and not self._open:
                break  # what is behind the last answer belongs to nobody: it is looked at with what comes next
        self._rest = data[at:]
        return not self._open

    def _odd(self, index: int, answer: bytes) -> None:
        """Take an answer (unit and PDU) that is not a plain good read."""
        ask = self._chunk.asks[index]
        if take(ask, answer, self._image):
            if ask.size < 0:
                self.body = answer[1 + len(ask.head) :]
        elif answer[0] == ask.unit and answer[1] == ask.head[0] | 0x80 and len(answer) == 3:
            self.refused.append((index, answer[2]))
        else:
            raise unexpected(ask, answer)
        self._open ^= 1 << index
        self.answered += 1


class RtuExchange:
    """Answers with address and checksum (SL 2.5.1), one at a time.

    Noise before an answer, and late answers of others, are skipped; a frame that begins like the answer and has a
    wrong checksum is a fault at once.
    """

    __slots__ = (
        "_ask", "_begin", "_image", "_refusal", "_rest", "_skipped", "answered", "body", "noise", "refused", "strays",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answered = 0
        self.refused: list[tuple[int, int]] = []
        self.body = b""
        self.strays = 0
        self.noise = b""
        """What was skipped since `begin`, its first bytes."""
        self._rest = b""
        self._skipped = 0
        self._ask: Ask | None = None
        self._begin = b""
        self._refusal = b""
        self._image = bytearray()

    @staticmethod
    def chunk(asks: Sequence[Ask]) -> Chunk:
        """Prepare a request: a serial line carries only one at a time."""
        (ask,) = asks
        return Chunk(asks, rtu_frame(ask.unit, ask.pdu))

    def begin(self, chunk: Chunk, image: bytearray) -> bytes:
        """Expect the answer to a request; what came before is forgotten."""
        (ask,) = chunk.asks
        self._ask = ask
        self._begin = bytes((ask.unit,)) + ask.head
        self._refusal = bytes((ask.unit, ask.head[0] | 0x80))
        self._image = image
        self._rest = self.noise = b""
        self._skipped = 0
        self.answered = 0
        if self.refused:
            self.refused = []
        return bytes(chunk.data)

    def end(self) -> None:
        """Expect nothing any more."""
        self._ask = None
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the answer is complete. Raises ProtocolFault."""
        ask = self._ask
        if ask is None:
            self.strays += len(data)
            return False
        data = self._rest + data
        at = 0
        while True:
            found = data.find(self._begin[0], at)
            self._skip(data[at:] if found < 0 else data[at:found])
            if found < 0:
                self._rest = b""
                return False
            at = found
            length = self._measure(data, at)
            if length is None or at + length > len(data):
                self._rest = data[at:]
                return False
            if length and self._accept(ask, data[at : at + length]):
                self.strays += len(data) - at - length
                self._ask = None
                self._rest = b""
                return True
            self._skip(data[at : at + 1])
            at += 1

    def _measure(self, data: bytes, at: int) -> int | None:
        """Length of what may be the answer at ``at``; 0: it is not; None: more bytes are needed to tell."""
        begin = self._begin
        if data.startswith(begin, at):
            assert self._ask is not None
            if self._ask.size >= 0:
                return len(begin) + self._ask.size + 2
            length = identity_length(data, at)
            return 0 if (length or len(data) - at) > LONGEST_RTU else length
        if data.startswith(self._refusal, at):
            return 5
        start = data[at : at + len(begin)]
        if begin.startswith(start) or self._refusal.startswith(start):
            return None
        return 0

    def _accept(self, ask: Ask, frame: bytes) -> bool:
        good = crc16(frame[:-2]) == frame[-2] | frame[-1] << 8
        if frame.startswith(self._begin):
            if not good:
                raise ProtocolFault(f"unit {ask.unit}: the checksum of an answer is wrong", data=frame)
            if not take(ask, frame[:-2], self._image):
                raise unexpected(ask, frame[:-2])
            if ask.size < 0:
                self.body = frame[len(self._begin) : -2]
        elif good:
            self.refused.append((0, frame[2]))
        else:
            return False
        self.answered = 1
        return True

    def _skip(self, data: bytes) -> None:
        if not data:
            return
        self._skipped += len(data)
        self.strays += len(data)
        if len(self.noise) < 64:
            self.noise += data[:64]
        if self._skipped > NOISE_LIMIT:
            raise ProtocolFault("the line carries bytes, but no answers", data=self.noise)


def take(ask: Ask, answer: bytes, image: bytearray) -> bool:
    """Put the data of a good answer (unit and PDU) into the image; False when it is not a good answer."""
    first = 1 + len(ask.head)
    if answer[0] != ask.unit or not answer.startswith(ask.head, 1):
        return False
    if ask.size < 0:
        return True
    if len(answer) != first + ask.size:
        return False
    place(image, ask, answer[first:])
    return True


def unexpected(ask: Ask, answer: bytes) -> ProtocolFault:
    """Fault for an answer that carries the right transaction and is not what was asked for."""
    if answer[0] != ask.unit:
        what = f"the answer comes from unit {answer[0]}"
    elif answer[1] != ask.head[0]:
        what = f"the answer is to function {answer[1]:#04x}"
    else:
        what = f"the answer carries {len(answer) - 1 - len(ask.head)} bytes instead of {ask.size}"
    return ProtocolFault(f"unit {ask.unit}, function {ask.head[0]:#04x}: {what}", data=answer)
