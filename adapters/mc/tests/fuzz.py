"""Hostile bytes: mutated answers must give a value, need more, or raise ProtocolFault, however they are split.

``python adapters/mc/tests/fuzz.py --count 1000000`` runs long; the suite runs a shorter form of the same.
"""

import argparse
import random
import resource
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from adapters.mc import codec
from adapters.mc.address import AREAS
from adapters.mc.codec import LONGEST, Code, Frame, Route
from adapters.mc.exchange import Exchange
from gateway.model.faults import ProtocolFault

OWN = Route()
D, M, LZ = AREAS["D"], AREAS["M"], AREAS["LZ"]
IMAGE = 64
ASKS = {
    code: [
        codec.ask_read(code, D, 0, 1),
        codec.ask_read(code, D, 100, 20),
        codec.ask_random(code, [(D, 1, 1), (D, 5, 1)], [(D, 9, 2), (LZ, 1, 1)], wide=True),
        codec.ask_block(code, [(D, 1, 3)], [(M, 16, 1)]),
        codec.ask_write(code, D, 1, b"\1\2"),
        codec.ask_model(),
    ]
    for code in (Code.BINARY, Code.ASCII)
}


def answer(source, code, kind, ask):
    """A good answer, or a refusal."""
    if source.random() < 0.1:
        data = OWN.encode(code) + codec.number(code, ask.command, 2) + codec.number(code, ask.subcommand, 2)
        return codec.answer(code, kind, OWN, source.randrange(1, 0x10000), data, 1)
    data = source.randbytes(ask.size)
    if code.text:
        words = ask.size - ask.texts - ask.longs
        rest = data[ask.texts :]
        data = data[: ask.texts] + codec.hexadecimal(rest[:words], 2) + codec.hexadecimal(rest[words:], 4)
    return codec.answer(code, kind, OWN, 0, data, 1)


def mutate(source, data):
    """One to three of: flip, cut, insert, repeat, swap, overwrite a field of the head."""
    data = bytearray(data)
    for _ in range(source.randint(1, 3)):
        where = source.randrange(len(data) + 1)
        kind = source.randrange(6)
        if kind == 0 and data:
            data[where % len(data)] ^= 1 << source.randrange(8)
        elif kind == 1:
            del data[where : where + source.randint(1, 6)]
        elif kind == 2:
            data[where:where] = source.randbytes(source.randint(1, 12))
        elif kind == 3:
            data[where:where] = data[where : where + source.randint(1, 40)]
        elif kind == 4:
            data = data[where:] + data[:where]
        elif data:
            data[where % min(len(data), 20)] = source.choice((0, 1, 2, 0x30, 0x46, 0x7F, 0x80, 0xFF))
    return bytes(data)


def outcome(code, kind, ask, pieces):
    """What an exchange makes of bytes: all that can be seen of it from outside."""
    exchange = Exchange(code, kind)
    image = bytearray(IMAGE)
    places = ((0, 3, min(ask.size, 40)),) if ask.size and not ask.texts else ()
    exchange.begin(exchange.chunk(OWN, 0, ask, places), image)
    complete, fault, kept = False, False, 0
    longest = (LONGEST + 13) * (2 if code.text else 1)
    try:
        for piece in pieces:
            complete = exchange.feed(piece) or complete
            assert len(exchange._rest) <= longest
    except ProtocolFault as raised:
        fault, kept = True, len(raised.data)
    assert kept <= 256
    assert not any(image[:3])
    assert not any(image[43:])
    return complete and not fault, fault, bytes(image), exchange.body, exchange.refused


def split(source, data):
    pieces = []
    while data:
        size = source.choice((1, 2, 3, 7, 50, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def campaign(count, seed=1):
    """Run ``count`` mutated messages; return how often each kind of outcome came."""
    source = random.Random(seed)
    tally = {"value": 0, "need more": 0, "fault": 0, "refused": 0}
    for number in range(count):
        code = source.choice((Code.BINARY, Code.ASCII))
        kind = source.choice((Frame.E3, Frame.E4))
        ask = source.choice(ASKS[code])
        data = answer(source, code, kind, ask)
        if number % 16:
            data = mutate(source, data)
        result = outcome(code, kind, ask, [data])
        if number % 4 < 2:  # the same bytes in pieces must come to the same
            again = outcome(code, kind, ask, split(source, data))
            assert again == result, (seed, number, data.hex(), result, again)
        complete, fault, _, _, refused = result
        tally["fault" if fault else "need more" if not complete else "refused" if refused else "value"] += 1
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
