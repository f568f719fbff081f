"""Hostile bytes: mutated responses must give values or raise ProtocolFault, and never take memory or time out of measure.

``python adapters/opcua/tests/fuzz.py --count 1000000`` runs long; the suite runs a shorter form of the same.
"""

import argparse
import random
import resource
import struct
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from adapters.opcua import services, vectors
from adapters.opcua.client import Chunks
from gateway.model.faults import ProtocolFault

SLOWEST = 2.0
"""Seconds for one message, on a machine that does other things as well."""


def many(source):
    """A notification of many values of changing shapes."""
    items = []
    for key in range(source.randrange(1, 200)):
        kind, body = source.choice(
            [(11, struct.pack("<d", 1.5)), (6, struct.pack("<i", 7)), (12, b"\3\0\0\0abc"), (1, b"\1")]
        )
        mask = source.choice((0x0D, 0x0D, 0x0F, 0x05, 0x01))
        more = (
            (b"\0\0\x90\x40" if mask & 2 else b"")
            + (b"\x40" * 8 if mask & 4 else b"")
            + (b"\x41" * 8 if mask & 8 else b"")
        )
        items.append(struct.pack("<IBB", key % 50, mask, kind) + body + more)
    change = struct.pack("<i", len(items)) + b"".join(items) + b"\0" * 4
    head = bytes.fromhex(vectors.PUBLISH[1])[:24]
    message = struct.pack("<IiBIqi", 5, 0, 0, 9, 0, 1) + b"\1\0\x2b\3\1" + struct.pack("<i", len(change)) + change
    return head + message + b"\0" * 8


PARSERS = {
    services.READ: lambda reader: services.parse_read(reader, 3),
    services.WRITE: lambda reader: services.parse_statuses(reader, 1),
    services.CREATE_ITEMS: lambda reader: services.parse_created(reader, 2),
    services.PUBLISH: services.parse_publish,
    services.HISTORY_READ: lambda reader: services.parse_history(reader, 1),
}
CAPTURED = {
    services.READ: vectors.READ, services.WRITE: vectors.WRITE, services.CREATE_ITEMS: vectors.CREATE_ITEMS,
    services.PUBLISH: vectors.PUBLISH, services.HISTORY_READ: vectors.HISTORY_READ,
}  # fmt: skip


def mutate(source, data):
    """One to three of: flip, cut, insert, repeat, swap, overwrite a length."""
    data = bytearray(data)
    for _ in range(source.randint(1, 3)):
        where = source.randrange(len(data) + 1)
        match source.randrange(6):
            case 0 if data:
                data[where % len(data)] ^= 1 << source.randrange(8)
            case 1:
                del data[where : where + source.randint(1, 6)]
            case 2:
                data[where:where] = source.randbytes(source.randint(1, 12))
            case 3:
                data[where:where] = data[where : where + source.randint(1, 40)]
            case 4:
                data = data[where:] + data[:where]
            case _:
                data[where : where + 4] = struct.pack("<i", source.choice((-1, 0, 1, 0x7FFFFFFF, 0xFFFF, 1000)))
    return bytes(data)


def framed(source, data):
    """The same bytes in chunks, fed in pieces and at once, must give the same chunks."""
    chunk = b"MSGF" + struct.pack("<I", len(data) + 8) + data
    stream = chunk * source.randint(1, 3)
    if source.random() < 0.5:
        stream = mutate(source, stream)

    def cut(pieces):
        chunks, found = Chunks(), []
        try:
            for piece in pieces:
                found += chunks.feed(piece)
                assert len(chunks._rest) <= 65_536
        except ProtocolFault:
            return None
        return found

    at = sorted(source.randrange(len(stream) + 1) for _ in range(4))
    pieces = [stream[first:last] for first, last in zip([0, *at], [*at, len(stream)], strict=True)]
    whole, split = cut([stream]), cut(pieces)
    assert whole == split, stream.hex()


def campaign(count, seed=1):
    """Run ``count`` mutated messages; return how often each kind of outcome came."""
    source = random.Random(seed)
    tally = {"values": 0, "fault": 0}
    for number in range(count):
        kind = source.choice(tuple(PARSERS))
        data = many(source) if number % 3 == 0 else bytes.fromhex(CAPTURED[kind][1])
        kind = services.PUBLISH if number % 3 == 0 else kind
        if number % 16:
            data = mutate(source, data)
        began = time.process_time()
        try:
            answer = services.response(data)
            PARSERS[kind](answer.reader)
            tally["values"] += 1
        except ProtocolFault:
            tally["fault"] += 1
        assert time.process_time() - began < SLOWEST, data.hex()
        if number % 8 == 0:
            framed(source, data[:2000])
    return tally


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    campaign(2_000, given.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally = campaign(given.count, given.seed)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{given.count} messages: {tally}, memory grew by {grown} kB")
    assert grown < 20_000


if __name__ == "__main__":
    main()
