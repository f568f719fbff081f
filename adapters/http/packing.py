"""Content coding gzip (RFC 9110, 8.4.1.3), undone within a limit: for answers that we get and posts that we take."""

from __future__ import annotations

import zlib
from typing import Final

CODINGS: Final = frozenset({"gzip", "x-gzip"})
"""Names of it; the second is the old one, which means the same."""


class BadGzip(Exception):
    """Bytes that are no gzip, or not the whole of it, or more than that."""


class TooLarge(Exception):
    """What is in it is larger than it may be."""


def gunzip(body: bytes, largest: int) -> bytes:
    """Return what is in it; of more than ``largest`` bytes, no more than one is ever unpacked. Raises the above."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise BadGzip(f"gzip that is none: {error}") from error
    if len(data) > largest:
        raise TooLarge(f"gzip of more than {largest} bytes (max_body)")
    if not unpacker.eof:
        raise BadGzip("gzip that ends too early")
    if unpacker.unused_data:  # a second member: to leave it out would lose values without a word
        raise BadGzip("gzip with something behind it")
    return data
