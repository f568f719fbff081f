"""Receivers: good answers, strays, refusals, broken frames; in any order and in any pieces."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus.address import Area
from adapters.modbus.codec import (
    ask_identity,
    ask_read,
    ask_write_register,
    ask_write_registers,
    rtu_frame,
    tcp_frame,
)
from adapters.modbus.exchange import NOISE_LIMIT, Ask, RtuExchange, TcpExchange
from gateway.model.faults import ProtocolFault


def reads(*counts, unit=1):
    asks, start = [], 0
    for count in counts:
        asks.append(ask_read(unit, Area.HOLDING, 10 * len(asks), count, start=start))
        start += 2 * count
    return asks


def begun(framing, *asks, size=64):
    exchange, image = framing(), bytearray(size)
    sent = exchange.begin(exchange.chunk(asks), image)
    return exchange, image, sent


def numbered(exchange, asks, fill):
    """Good answers in order, with the transaction ids of the exchange under way."""
    return [
        tcp_frame(exchange._first + place, ask.unit, ask.head + bytes([fill + place]) * ask.size)
        for place, ask in enumerate(asks)
    ]


@given(st.permutations(range(4)), st.lists(st.integers(1, 30), max_size=30))
def test_answers_in_any_order_and_any_pieces(order, sizes):
    asks = reads(1, 5, 2, 3)
    exchange, image, _ = begun(TcpExchange, *asks)
    frames = numbered(exchange, asks, 0x10)
    data = b"".join(frames[place] for place in order)
    done = []
    for size in [*sizes, len(data)]:
        done.append(exchange.feed(data[:size]))
        data = data[size:]
        if not data:
            break
    assert done[-1]
    assert exchange.answered == 4
    assert image[:22] == b"\x10" * 2 + b"\x11" * 10 + b"\x12" * 4 + b"\x13" * 6


def test_requests_of_a_chunk_are_numbered_on_and_never_reach_the_old_numbers():
    exchange = TcpExchange()
    asks = reads(1, 1)
    chunk = exchange.chunk(asks)
    seen = set()
    for _ in range(32_767):
        sent = exchange.begin(chunk, bytearray(4))
        seen |= {sent[0:2], sent[12:14]}
        assert sent[2:12] == bytes.fromhex("0000 0006 01 03 0000 0001")
        assert sent[14:24] == bytes.fromhex("0000 0006 01 03 000A 0001")
    assert len(seen) == 65_534
    assert exchange.begin(chunk, bytearray(4))[:2] == b"\0\1"


def test_late_answers_are_dropped_whole_and_in_pieces():
    asks = reads(2, 2)
    exchange, _, _ = begun(TcpExchange, *asks)
    late = b"".join(numbered(exchange, asks, 0x66))
    exchange.end()
    assert exchange.feed(late[:20])  # nothing is asked: nothing is missing
    image = bytearray(8)
    exchange.begin(exchange.chunk(asks), image)
    assert not exchange.feed(late[20:])
    assert image == bytes(8)
    assert exchange.strays == 2
    assert exchange.feed(b"".join(numbered(exchange, asks, 0x21)))
    assert image == b"\x21" * 4 + b"\x22" * 4


def test_an_answer_that_comes_twice_counts_once():
    asks = reads(1, 1)
    exchange, image, _ = begun(TcpExchange, *asks)
    first, second = numbered(exchange, asks, 7)
    assert not exchange.feed(first + first)
    assert exchange.strays == 1
    assert exchange.feed(second + second)
    exchange.begin(exchange.chunk(asks), bytearray(4))
    assert not exchange.feed(b"")
    assert exchange.strays == 2
    assert image[:4] == b"\7\7\x08\x08"


def test_refusals_stand_beside_values():
    asks = reads(1, 1)
    exchange, image, _ = begun(TcpExchange, *asks)
    good = numbered(exchange, asks, 7)[1]
    assert exchange.feed(tcp_frame(exchange._first, 1, b"\x83\x02") + good)
    assert exchange.refused == [(0, 2)]
    assert image[:4] == b"\0\0\x08\x08"
    exchange.begin(exchange.chunk(asks), image)
    assert exchange.refused == []


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (tcp_frame(1, 2, b"\3\2\0\1"), "comes from unit 2"),
        (tcp_frame(1, 1, b"\4\2\0\1"), "function 0x04"),
        (tcp_frame(1, 1, b"\3\4\0\1\0\1"), "6 bytes|4 bytes|carries"),
        (tcp_frame(1, 1, b"\x83\2\0"), "function 0x83"),
        (b"\0\1\0\1\0\5\1\3\2\0\1", "not Modbus TCP"),
        (b"\0\1\0\0\1\5\1\3\2\0\1", "not Modbus TCP"),
        (b"\0\1\0\0\0\1\1\3\2\0\1", "not Modbus TCP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not Modbus TCP"),
    ],
)
def test_broken_frames_are_faults_at_once(frame, words):
    exchange, image, _ = begun(TcpExchange, *reads(1))
    with pytest.raises(ProtocolFault, match=words) as raised:
        exchange.feed(frame)
    assert raised.value.data
    assert not any(image)


def test_rtu_skips_noise_and_the_answers_of_others():
    (ask,) = reads(2)
    exchange, image, sent = begun(RtuExchange, ask)
    assert sent == rtu_frame(1, ask.pdu)
    noise = b"\xff\x00\x01" + rtu_frame(2, b"\3\4\1\2\3\4") + rtu_frame(1, b"\4\4\0\0\0\0")
    assert not exchange.feed(noise)
    assert not exchange.feed(b"\x01")
    assert exchange.feed(rtu_frame(1, b"\3\4abcd") + b"!")
    assert image[:4] == b"abcd"
    assert exchange.noise.startswith(b"\xff\x00")
    assert not exchange.feed(b"later")
    assert exchange.strays == len(noise) + 1 + 1 + 5


def test_rtu_wrong_checksum_is_a_fault_at_once():
    exchange, image, _ = begun(RtuExchange, *reads(2))
    frame = rtu_frame(1, b"\3\4abcd")
    with pytest.raises(ProtocolFault, match="checksum"):
        exchange.feed(frame[:-1] + bytes([frame[-1] ^ 1]))
    assert not any(image)


def test_rtu_refusal_needs_its_checksum():
    exchange, _, _ = begun(RtuExchange, *reads(2))
    assert not exchange.feed(b"\x01\x83\x02\x00\x00")
    assert exchange.feed(rtu_frame(1, b"\x83\x02"))
    assert exchange.refused == [(0, 2)]
    assert exchange.answered == 1


@pytest.mark.parametrize("piece", [1, 100, 5000])
def test_a_babbling_line_is_given_up(piece):
    exchange, _, _ = begun(RtuExchange, *reads(2))
    data = b"\x55" * (NOISE_LIMIT + 1)
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    with pytest.raises(ProtocolFault, match="no answers"):
        any(exchange.feed(part) for part in pieces)
    assert len(exchange.noise) <= 128


def test_rtu_echo_of_a_write_must_be_exact():
    ask = ask_write_register(1, 5, b"\x12\x34")
    exchange, _, _ = begun(RtuExchange, ask)
    assert not exchange.feed(rtu_frame(1, b"\6\0\5\x12\x35"))
    assert exchange.feed(rtu_frame(1, b"\6\0\5\x12\x34"))
    with pytest.raises(ProtocolFault):
        begun(TcpExchange, ask)[0].feed(tcp_frame(1, 1, b"\6\0\5\x12\x35"))
    exchange, _, _ = begun(TcpExchange, ask_write_registers(1, 5, b"\0\1\0\2"))
    assert exchange.feed(tcp_frame(1, 1, b"\x10\0\5\0\2"))


def test_identification_that_claims_to_be_endless_is_noise():
    exchange, _, _ = begun(RtuExchange, ask_identity(1))
    claim = b"\x01\x2b\x0e\x01\x01\x00\x00\xff" + b"\x00\xff" + bytes(255) + b"\x01\xff"
    assert not exchange.feed(claim + bytes(10))
    assert len(exchange._rest) <= 256


@given(st.integers(0, 60), st.integers(1, 24), st.binary(min_size=3, max_size=3))
def test_bits_in_the_middle_of_bytes_leave_their_neighbours_alone(first, count, data):
    size = -(-count // 8)
    ask = Ask(1, b"\1\0\0\0\1", bytes((1, size)), size, first // 8, first % 8, count)
    exchange, image = TcpExchange(), bytearray(b"\xa5" * 12)
    exchange.begin(exchange.chunk([ask]), image)
    assert exchange.feed(tcp_frame(1, 1, ask.head + data[:size]))
    before, after = int.from_bytes(b"\xa5" * 12, "little"), int.from_bytes(image, "little")
    sent = int.from_bytes(data[:size], "little")
    for bit in range(96):
        source = sent >> (bit - first) if first <= bit < first + count else before >> bit
        assert after >> bit & 1 == source & 1


def test_hostile_bytes():
    """Some 50,000 of the million frames that `fuzz.py` sends when it is run by hand."""
    spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    tally = fuzz.campaign(50_000)
    assert sum(tally.values()) == 50_000
    assert min(tally.values()) > 500, tally
