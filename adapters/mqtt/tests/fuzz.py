"""Hostile bytes: mutated packets and payloads must give messages, need more, or raise ProtocolFault.

``python adapters/mqtt/tests/fuzz.py --count 1000000`` runs long; the suite runs a shorter form of the same.
"""

import argparse
import random
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from adapters.mqtt import codec, sparkplug
from adapters.mqtt.codec import V5, V311, Connect, Inbox, Subscription
from adapters.mqtt.simulated_node import lump, metric, varint
from gateway.model.faults import ProtocolFault

SEEDS = [
    (V5, codec.publish("a/b", b'{"t": 1}', V5)),
    (V5, codec.publish("a/b", b'{"t": 1}', V5, qos=1, identity=7)),
    (V311, codec.publish("a/b", b'{"t": 1}' * 40, V311, qos=2, identity=7)),
    (V311, codec.publish("a/b", b"x" * 600, V311)),
    (V5, codec.publish("a/b", b"x" * 600, V5, qos=1, identity=9)),
    (V5, bytes.fromhex("20 0c 00 00 09 13 000a 1f 0003 6e6f21")),
    (V5, bytes.fromhex("90 0d 000a 07 26 0001 61 0001 62 01 87 a2")),
    (V311, bytes.fromhex("90 05 000a 00 02 80 d0 00")),
    (V5, bytes.fromhex("e0 01 8e")),
    (V5, Connect("gw").encode() + codec.subscribe(1, [Subscription("a")], V5)),
]
PAYLOAD = (
    varint(1, 1_764_072_000_000)
    + metric("Outputs/Speed", 3, sparkplug.Kind.DOUBLE, 1.5)
    + metric("n", 4, sparkplug.Kind.INT32, -7)
    + metric("text", 5, sparkplug.Kind.STRING, "温度")
    + lump(2, lump(1, b"q") + varint(2, 9) + lump(9, lump(1, b"Quality") + lump(2, varint(1, 3) + varint(3, 500))))
    + varint(3, 7)
)


def mutate(chance, data):
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        act = chance.randrange(5)
        place = chance.randrange(len(changed) + 1)
        if act == 0 and place < len(changed):
            changed[place] = chance.randrange(256)
        elif act == 1:
            changed[place:place] = chance.randbytes(chance.randrange(1, 6))
        elif act == 2:
            del changed[place : place + chance.randrange(1, 8)]
        elif act == 3 and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        else:
            changed[place:place] = changed[: chance.randrange(20)]
    return bytes(changed)


def mutants(chance, count):
    for _ in range(count):
        level, data = chance.choice(SEEDS)
        yield level, mutate(chance, data + chance.choice(SEEDS)[1])


def take(level, data):
    """Feed everything through; returns how much the inbox keeps."""

    def other(first, body):
        if first >> 4 in (2, 9, 14):
            codec.answer(first >> 4, body, level)

    inbox = Inbox(level, 500, lambda *_: None, other)
    try:
        inbox.feed(data)
    except ProtocolFault:
        return 0
    return len(inbox._rest)


def decode(data):
    """Decode a Sparkplug payload and all its values."""
    try:
        found = sparkplug.decode(data)
    except ProtocolFault:
        return 0
    for one in found.metrics:
        for kind in range(40):
            one.value(kind)
    return len(found.metrics)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, began = random.Random(options.seed), time.monotonic()
    for level, data in mutants(chance, options.count):
        assert take(level, data) <= 66_000
        decode(mutate(chance, PAYLOAD))
    print(f"{options.count} mutants, nothing found, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
