"""Frames against messages from manuals and from real CPUs, each with its source."""

import pytest

from adapters.mc import codec
from adapters.mc.address import AREAS
from adapters.mc.codec import Code, Frame, Route
from adapters.mc.exchange import Exchange
from gateway.model.faults import ProtocolFault

OWN = Route()
D, M, X, W, TN, ZR = (AREAS[name] for name in ("D", "M", "X", "W", "TN", "ZR"))
B, A, OCT = Code.BINARY, Code.ASCII, Code.ASCII_OCTAL


def hexes(text):
    return bytes.fromhex(text)


REQUESTS = {
    # capture of a Q03UDE: read D100 to D102
    "read words": (B, Frame.E3, 0x10, codec.ask_read(B, D, 100, 3),
        hexes("5000 00 FF FF03 00 0C00 1000 0104 0000 640000 A8 0300")),
    # MC (SH(NA)-080008-AB) 8.2, the same read as an ASCII message, 4.2 for its head
    "read words, ascii": (A, Frame.E3, 0x10, codec.ask_read(A, D, 100, 3),
        b"500000FF03FF000018001004010000D*0001000003"),
    # MC 8.2: read M100 to M131 as two words
    "read bits as words": (B, Frame.E3, 0x10, codec.ask_read(B, M, 100, 2),
        hexes("5000 00 FF FF03 00 0C00 1000 0104 0000 640000 90 0200")),
    "read bits as words, ascii": (A, Frame.E3, 0x10, codec.ask_read(A, M, 100, 2),
        b"500000FF03FF000018001004010000M*0001000002"),
    # MC 8.3: read D0, T0, M100 to M115, X20 to X2F by words; D1500, Y160, M1111 by pairs of words
    "random": (B, Frame.E3, 0x10, codec.ask_random(
            B, [(D, 0, 1), (TN, 0, 1), (M, 100, 1), (X, 0x20, 1)], [(D, 1500, 2), (AREAS["Y"], 0x160, 2), (M, 1111, 2)]),
        hexes("5000 00 FF FF03 00 2400 1000 0304 0000 04 03"
              "000000A8 000000C2 64000090 2000009C DC0500A8 6001009D 57040090")),
    "random, ascii": (A, Frame.E3, 0x10, codec.ask_random(
            A, [(D, 0, 1), (TN, 0, 1), (M, 100, 1), (X, 0x20, 1)], [(D, 1500, 2), (AREAS["Y"], 0x160, 2), (M, 1111, 2)]),
        b"500000FF03FF0000480010040300000403D*000000TN000000M*000100X*000020D*001500Y*000160M*001111"),
    # MC 8.4: blocks D0 to D3 and W100 to W107; M0 to M31, M128 to M159, B100 to B12F
    "blocks": (B, Frame.E3, 0x10, codec.ask_block(
            B, [(D, 0, 4), (W, 0x100, 8)], [(M, 0, 2), (M, 128, 2), (AREAS["B"], 0x100, 3)]),
        hexes("5000 00 FF FF03 00 2600 1000 0604 0000 02 03"
              "000000A80400 000100B40800 000000900200 800000900200 000100A00300")),
    # SLMP (SH(NA)-080956ENG-M) 4.2: a 4E head with serial 1234H; MC 8.2: write M100
    "write a bit, 4e": (B, Frame.E4, 0x10, codec.ask_write_bit(B, M, 100, True),
        hexes("5400 3412 0000 00 FF FF03 00 0D00 1000 0114 0100 640000 90 0100 10")),
    "write a bit, ascii, 4e": (A, Frame.E4, 0x10, codec.ask_write_bit(A, M, 100, True),
        b"54001234000000FF03FF000019001014010001M*00010000011"),
    # MC 8.2: write 6549H, 4610H, 1395H to D100 and on
    "write words": (B, Frame.E3, 0x10, codec.ask_write(B, D, 100, hexes("4965 1046 9513")),
        hexes("5000 00 FF FF03 00 1200 1000 0114 0000 640000 A8 0300 4965 1046 9513")),
    "write words, ascii": (A, Frame.E3, 0x10, codec.ask_write(A, D, 100, hexes("4965 1046 9513")),
        b"500000FF03FF000024001014010000D*0001000003654946101395"),
    # SLMP 5.11: read type name
    "model": (B, Frame.E3, 0x10, codec.ask_model(), hexes("5000 00 FF FF03 00 0600 1000 0101 0000")),
    # SLMP 5.2, long specification: 4 bytes of number, 2 of code; in ASCII 4 characters and 8 digits
    "long": (B, Frame.E3, 0, codec.ask_read(B, D, 100, 1, wide=True),
        hexes("5000 00 FF FF03 00 0E00 0000 0104 0200 64000000 A800 0100")),
    "long, ascii": (A, Frame.E3, 0, codec.ask_read(A, D, 100, 1, wide=True),
        b"500000FF03FF00001C000004010002D***000001000001"),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    code, kind, timer, ask, expected = REQUESTS[name]
    assert codec.frame(code, kind, OWN, timer, ask, 0x1234) == expected


def answered(code, kind, ask, data, image=0, places=()):
    exchange = Exchange(code, kind)
    buffer = bytearray(image)
    exchange.begin(exchange.chunk(OWN, 0x10, ask, places), buffer)
    exchange._serial = 0x1234
    assert exchange.feed(data)
    return exchange, buffer


def test_answers_of_words():
    # the Q03UDE's answer to the read above: 1995H, 1202H, 1130H
    data = hexes("D000 00 FF FF03 00 0800 0000 9519 0212 3011")
    exchange, _ = answered(B, Frame.E3, codec.ask_read(B, D, 100, 3), data)
    assert exchange.body == hexes("9519 0212 3011")
    # MC 8.2, the same in ASCII
    exchange, image = answered(
        A, Frame.E3, codec.ask_read(A, D, 100, 3), b"D00000FF03FF0000100000199512021130", 10, ((0, 4, 6),)
    )
    assert image == bytes(4) + hexes("9519 0212 3011")


def test_answers_of_words_and_pairs():
    # MC 8.3, Read Random: D0 = 1995H, T0 = 1202H, M100 … = 2030H, X20 … = 4849H; D1500, D1501 = 4F4EH, 4C54H …
    ask = codec.ask_random(
        B, [(D, 0, 1), (TN, 0, 1), (M, 100, 1), (X, 0x20, 1)], [(D, 1500, 2), (AREAS["Y"], 0x160, 2), (M, 1111, 2)]
    )
    words = "9519 0212 3020 4948"
    data = hexes(f"D000 00 FF FF03 00 1600 0000 {words} 4E4F544C AFB9DEC3 B7BCDDBA")
    exchange, _ = answered(B, Frame.E3, ask, data)
    assert exchange.body == hexes(f"{words} 4E4F544C AFB9DEC3 B7BCDDBA")
    text = b"D00000FF03FF00002C0000" + b"1995120220304849" + b"4C544F4EC3DEB9AFBADDBCB7"
    exchange, _ = answered(A, Frame.E3, ask, text)
    assert exchange.body == hexes(f"{words} 4E4F544C AFB9DEC3 B7BCDDBA")


def test_a_refusal_carries_nine_bytes_of_information():
    # capture of a Q03UDE: end code 4031H, station, command 0401H
    data = hexes("D000 00 FF FF03 00 0B00 3140 00 FF FF03 00 0104 0000")
    exchange, _ = answered(B, Frame.E3, codec.ask_read(B, D, 100, 3), data)
    assert exchange.refused == 0x4031
    exchange, _ = answered(
        A, Frame.E3, codec.ask_read(A, D, 100, 3), b"D00000FF03FF000016C05100FF03FF0004010000"
    )  # MC 5.2, abnormal completion
    assert exchange.refused == 0xC051
    exchange, _ = answered(B, Frame.E3, codec.ask_read(B, D, 100, 3), hexes("D000 00 FF FF03 00 0200 51C0"))
    assert exchange.refused == 0xC051  # some peers leave the information off
    with pytest.raises(ProtocolFault, match="refusal of command 1401"):
        answered(B, Frame.E3, codec.ask_read(B, D, 100, 3), hexes("D000 00FFFF0300 0B00 3140 00FFFF0300 0114 0000"))


def test_the_name_of_a_cpu():
    # SLMP 5.11: a name of 16 characters, padded, and a code
    data = hexes("D000 00 FF FF03 00 1400 0000") + b"Q02UCPU".ljust(16) + hexes("6302")
    exchange, _ = answered(B, Frame.E3, codec.ask_model(), data)
    expected = (("vendor", "Mitsubishi Electric"), ("model", "Q02UCPU"), ("model_code", "0263"))
    assert codec.parse_model(exchange.body) == expected
    text = b"D00000FF03FF0000180000" + b"Q02UCPU".ljust(16) + b"0263"
    exchange, _ = answered(A, Frame.E3, codec.ask_model(), text)
    assert codec.parse_model(exchange.body) == expected


def test_numbers_of_devices_in_ascii():
    """File registers are written in decimal and sent in hexadecimal; X and Y of iQ-F go out as the entry is set."""
    assert codec.device(A, ZR, 32768, wide=False) == b"ZR008000"
    assert codec.device(A, X, 16, wide=False) == b"X*000010"
    assert codec.device(OCT, X, 16, wide=False) == b"X*000020"
    assert codec.device(OCT, AREAS["B"], 16, wide=False) == b"B*000010"
    assert codec.device(A, AREAS["STN"], 5, wide=False) == b"SN000005"
    assert codec.device(A, AREAS["STN"], 5, wide=True) == b"STN*00000005"
    assert not codec.fits(A, D, 1_000_000, wide=False)
    assert codec.fits(A, D, 1_000_000, wide=True)
    assert codec.fits(B, D, 1_000_000, wide=False)


def test_a_route_to_another_station():
    # SLMP 4.2: network 1, station 2, CPU 2 of a multiple CPU system
    data = codec.frame(B, Frame.E3, Route(1, 2, 0x3E1, 0), 4, codec.ask_model())
    assert data == hexes("5000 01 02 E103 00 0600 0400 0101 0000")
    assert codec.frame(A, Frame.E3, Route(1, 2, 0x3E1, 0), 4, codec.ask_model()) == b"5000010203E100000C000401010000"


def test_long_values_in_ascii_are_one_number():
    ask = codec.ask_write_long(A, AREAS["LZ"], 3, hexes("78563412"))
    assert ask.data == b"0001LZ**0000000312345678"
    assert codec.ask_write_long(B, AREAS["LZ"], 3, hexes("78563412")).data == hexes("00 01 03000000 6200 78563412")
