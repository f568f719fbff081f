"""Hostile bytes: mutated answers must give a value, need more, or raise ProtocolFault, however they are split.

``python adapters/s7/tests/fuzz.py --count 1000000`` runs long; the suite runs a shorter form of the same.
"""

import argparse
import random
import sys
from pathlib import Path
from struct import pack

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from adapters.s7 import codec
from adapters.s7.exchange import LARGEST, Chunk, S7Exchange
from gateway.model.faults import ProtocolFault

IMAGE = 64
PLACES = [(0x84, 1), (0x83, 0), (0x1D, 0)]


def asked(source):
    """Requests of one chunk, and good answers to them or refusals, references still 0."""
    asks, answers = [], []
    for _ in range(source.randint(1, 4)):
        kind = source.randrange(6)
        if kind < 4:
            sizes = [source.randint(1, 3) * 2 - (source.random() < 0.3) for _ in range(source.randint(1, 4))]
            items = [(source.choice(PLACES[:2]), source.randrange(100), size) for size in sizes]
            asks.append(codec.ask_read(items, [source.randrange(IMAGE - size) for size in sizes]))
            data = b""
            for size in sizes:
                data += b"\0" * (len(data) & 1)
                if source.random() < 0.1:
                    data += bytes((source.choice((0, 1, 3, 5, 6, 7, 10, 0x80)), 0, 0, 0))
                else:
                    data += pack(">BBH", 0xFF, 4, 8 * size) + source.randbytes(size)
            answers.append(pack(">BBHHHHH", 0x32, 3, 0, 0, 2, len(data), 0) + bytes((4, len(sizes))) + data)
        elif kind == 4:
            asks.append(codec.ask_write((0x84, 1), 2, b"ab"))
            answers.append(pack(">BBHHHHHBBB", 0x32, 3, 0, 0, 2, 1, 0, 5, 1, source.choice((0xFF, 5))))
        else:
            asks.append(codec.ask_status(0x1C, 0))
            answers.append(
                pack(">BBHHHH", 0x32, 7, 0, 0, 12, 6) + bytes.fromhex("000112081284010100000000FF0900021234")
            )
        if source.random() < 0.05:
            answers[-1] = pack(">BBHHHHH", 0x32, 2, 0, 0, 0, 0, source.choice((0x8104, 0x8500, 0x0110)))
    return asks, answers


def framed(source, telegram):
    """TPKT and DT, sometimes in several units."""
    if source.random() > 0.15:
        return codec.frame(telegram)
    size = source.randint(1, len(telegram))
    units = [bytearray(codec.frame(telegram[at : at + size])) for at in range(0, len(telegram), size)]
    for unit in units[:-1]:
        unit[6] = 0
    return b"".join(units)


def mutate(source, data):
    """One to three of: flip, cut, insert, repeat, swap, overwrite a byte near the front."""
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
            data[where % min(len(data), 24)] = source.choice((0, 1, 2, 3, 4, 5, 7, 0x32, 0x7F, 0x80, 0xFE, 0xFF))
    return bytes(data)


def outcome(asks, pieces):
    """What an exchange makes of bytes: all that can be seen of it from outside."""
    exchange, image = S7Exchange(), bytearray(IMAGE)
    exchange.largest = 240
    exchange.begin(Chunk(asks), image)
    complete, fault, kept = False, "", 0
    try:
        for piece in pieces:
            complete = exchange.feed(piece)
            assert len(exchange._rest) <= 240 + codec.DATA
            assert len(exchange._telegram) <= 240
    except ProtocolFault as raised:
        complete, fault, kept = False, str(raised), len(raised.data)
    assert kept <= 256
    assert len(image) == IMAGE
    return complete, fault, bytes(image), exchange.body, tuple(exchange.refused)


def split(source, data):
    pieces = []
    while data:
        size = source.choice((1, 2, 3, 7, 50, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def campaign(count, seed=1):
    """Run ``count`` mutated answers; return how often each kind of outcome came."""
    source = random.Random(seed)
    tally = {"value": 0, "need more": 0, "fault": 0, "refused": 0}
    for number in range(count):
        asks, answers = asked(source)
        numbered = [answer[:4] + (place + 1).to_bytes(2, "big") + answer[6:] for place, answer in enumerate(answers)]
        source.shuffle(numbered)
        data = b"".join(framed(source, answer) for answer in numbered)
        if number % 16:
            data = mutate(source, data)
        result = outcome(asks, [data])
        if number % 4 < 2:  # the same bytes in pieces must come to the same
            again = outcome(asks, split(source, data))
            assert again == result, (seed, number, data.hex(), result, again)
        complete, fault, _, _, refused = result
        if not number % 16:
            assert complete
        tally["fault" if fault else "need more" if not complete else "refused" if refused else "value"] += 1
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(campaign(options.count, options.seed), "longest telegram", LARGEST)


if __name__ == "__main__":
    main()
