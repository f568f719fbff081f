"""Bodies that arrive in chunks (RFC 9112, 7.1). Sans-io, and each chunk is looked at once, however bytes are split."""

from __future__ import annotations

import re
from typing import Final

from .refused import Refused

LINE_MOST: Final = 4096
"""Bytes of a line that begins a chunk, and of a trailer field."""
BESIDE: Final = 16 * 1024
"""Bytes of lines, line ends and trailers that any body may have; a sixteenth of the largest body comes on top."""
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")


class Chunks:
    """One body, which begins at ``at``; its chunks are at most ``largest`` bytes together."""

    __slots__ = ("_begin", "_beside", "_largest", "_last", "at", "size")

    def __init__(self, at: int, largest: int) -> None:
        self.at = at
        """First byte that was not looked at yet; once the body is whole, the first behind it."""
        self.size = 0
        """Bytes of the chunks up to there, without what is beside them."""
        self._begin = at
        self._largest = largest
        self._beside = BESIDE + largest // 16
        self._last = False

    def whole(self, data: bytes | bytearray, body: bytearray | None = None) -> bool:
        """Look at what is new in ``data``, of which nothing was taken away; True when the body is whole.

        ``body``: what the chunks hold is put there. Raises Refused: 400, 413.
        """
        while True:
            if self.at - self._begin - self.size > self._beside:
                raise Refused(413, "too_large", "the chunks are too small: their lines outweigh the body")
            end = data.find(b"\r\n", self.at, self.at + LINE_MOST)
            if end < 0:
                if len(data) - self.at >= LINE_MOST:
                    raise Refused(400, "bad_request", f"a chunk line of more than {LINE_MOST} bytes")
                return False
            if self._last:
                if self._trailer(data, end):
                    return True
            elif not self._chunk(data, end, body):
                return False

    def _trailer(self, data: bytes | bytearray, end: int) -> bool:
        """Pass a line behind the last chunk over; True when it is the empty one."""
        begin, self.at = self.at, end + 2
        if begin != end and _TRAILER.fullmatch(data, begin, end) is None:
            raise Refused(400, "bad_request", "a trailer that is no field")
        return begin == end

    def _chunk(self, data: bytes | bytearray, end: int, body: bytearray | None) -> bool:
        """Take a chunk whose line ends at ``end``; False when it is not whole yet."""
        line = _SIZE.fullmatch(data, self.at, end)
        if line is None:
            raise Refused(400, "bad_request", "a chunk that does not begin with its size")
        size, begin = int(line[1], 16), end + 2
        if self.size + size > self._largest:  # before it is kept
            raise Refused(413, "too_large", f"the body may have {self._largest} bytes")
        if not size:
            self._last, self.at = True, begin
            return True
        after = begin + size
        if len(data) < after + 2:
            return False
        if data[after : after + 2] != b"\r\n":
            raise Refused(400, "bad_request", "a chunk that is longer than it says")
        if body is not None:
            body += data[begin:after]
        self.size += size
        self.at = after + 2
        return True
