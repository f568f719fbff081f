"""Hostile bytes: mutated answers must give a value, need more, or raise ProtocolFault, however they are split.

``python adapters/modbus/tests/fuzz.py --count 1000000`` runs long; the suite runs a shorter form of the same.
"""

import argparse
import random
import resource
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from adapters.modbus import codec
from adapters.modbus.address import Area
from adapters.modbus.exchange import LONGEST_RTU, NOISE_LIMIT, RtuExchange, TcpExchange
from gateway.model.faults import ProtocolFault

ASKS = [
    codec.ask_read(1, Area.HOLDING, 0, 1),
    codec.ask_read(1, Area.HOLDING, 100, 20),
    codec.ask_read(2, Area.INPUT, 7, 4),
    codec.ask_read(1, Area.COIL, 3, 21),
    codec.ask_read(3, Area.DISCRETE, 0, 9),
    codec.ask_write_coil(1, 5, True),
    codec.ask_write_register(1, 5, b"\x12\x34"),
    codec.ask_write_registers(1, 5, b"\x12\x34\x56\x78"),
    codec.ask_mask_write(1, 5, 0xFFF0, 3),
    codec.ask_identity(1),
]
IDENTITY = bytes((0x01, 0, 0, 2, 0, 3)) + b"abc" + bytes((1, 2)) + b"de"
IMAGE = 64


def answer(source, ask):
    """A good answer, or an exception."""
    if source.random() < 0.1:
        return bytes((ask.head[0] | 0x80, source.randrange(256)))
    return ask.head + (IDENTITY if ask.size < 0 else source.randbytes(ask.size))


def mutate(source, data):
    """One to three of: flip, cut, insert, repeat, swap, overwrite a length."""
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
            data[where % min(len(data), 8)] = source.choice((0, 1, 2, 0x7F, 0x80, 0xFD, 0xFE, 0xFF))
    return bytes(data)


def outcome(exchange, chunk, pieces):
    """What an exchange makes of bytes: all that can be seen of it from outside."""
    image = bytearray(IMAGE)
    exchange.begin(chunk, image)
    complete, fault, kept = False, "", 0
    try:
        for piece in pieces:
            complete = exchange.feed(piece)
            if complete:
                break
            held = len(exchange._rest)
            assert held <= (260 if isinstance(exchange, TcpExchange) else LONGEST_RTU), held
            assert len(exchange.noise) <= 128
    except ProtocolFault as raised:
        fault, kept = str(raised), len(raised.data)
    assert kept <= 256
    return complete, fault, bytes(image), exchange.body, tuple(exchange.refused)


def split(source, data):
    pieces = []
    while data:
        size = source.choice((1, 2, 3, 7, 50, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def one_tcp(source):
    asks = source.sample(ASKS[:3], source.randint(1, 3)) if source.random() < 0.6 else [source.choice(ASKS)]
    frames = [codec.tcp_frame(1 + place, ask.unit, answer(source, ask)) for place, ask in enumerate(asks)]
    source.shuffle(frames)
    return TcpExchange, asks, b"".join(frames)


def one_rtu(source):
    ask = source.choice(ASKS)
    frame = codec.rtu_frame(ask.unit, answer(source, ask))
    if source.random() < 0.2:
        other = source.choice(ASKS)
        frame = codec.rtu_frame(other.unit, answer(source, other)) + frame
    if source.random() < 0.02:
        frame = source.randbytes(NOISE_LIMIT + source.randint(-20, 20)) + frame
    return RtuExchange, [ask], frame


def campaign(count, seed=1):
    """Run ``count`` mutated frames; return how often each kind of outcome came."""
    source = random.Random(seed)
    tally = {"value": 0, "need more": 0, "fault": 0, "refused": 0}
    for number in range(count):
        framing, asks, data = (one_tcp if number % 2 else one_rtu)(source)
        if number % 16:
            data = mutate(source, data)
        chunk = framing.chunk(asks)
        result = outcome(framing(), chunk, [data])
        if number % 4 < 2:  # the same bytes in pieces must come to the same
            again = outcome(framing(), chunk, split(source, data))
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
    print(f"{given.count} frames: {tally}, memory grew by {grown} kB")
    assert grown < 20_000


if __name__ == "__main__":
    main()
