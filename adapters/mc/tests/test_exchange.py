"""The receiver: the same however bytes are split, strict about whose answer it is, and of bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mc import codec
from adapters.mc.address import AREAS
from adapters.mc.codec import Code, Frame, Route
from adapters.mc.exchange import Exchange
from adapters.mc.tests import fuzz
from gateway.model.faults import ProtocolFault

OWN = Route()
D = AREAS["D"]


def begun(code, kind, *, datagrams=False, words=2):
    exchange = Exchange(code, kind, datagrams=datagrams)
    image = bytearray(2 * words + 2)
    chunk = exchange.chunk(OWN, 0, codec.ask_read(code, D, 0, words), ((0, 1, 2 * words),))
    exchange.begin(chunk, image)
    return exchange, image


def good(code, kind, serial=1, data=b"\1\2\3\4", route=OWN, end=0):
    text = codec.hexadecimal(data, 2) if code.text else data
    return codec.answer(code, kind, route, end, text, serial)


def endless(code, kind):
    """An answer that says it is as long as the field can tell."""
    scale = 2 if code.text else 1
    at = (11 if kind is Frame.E4 else 7) * scale
    answer = good(code, kind)
    return answer[:at] + codec.number(code, 0xFFFF, 2) + answer[at + 2 * scale :]


BOTH = pytest.mark.parametrize("code", [Code.BINARY, Code.ASCII])
EACH = pytest.mark.parametrize("kind", [Frame.E3, Frame.E4])


@BOTH
@EACH
@given(data=st.data())
def test_split_in_any_way(code, kind, data):
    answer = good(code, kind)
    places = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=5)))
    exchange, image = begun(code, kind)
    done = [exchange.feed(answer[start:stop]) for start, stop in zip([0, *places], [*places, len(answer)], strict=True)]
    assert done == [False] * len(places) + [True]
    assert bytes(image) == b"\0\1\2\3\4\0"
    assert exchange.answered == 1


@BOTH
def test_4e_drops_answers_to_requests_given_up(code):
    exchange, image = begun(code, Frame.E4)
    late = good(code, Frame.E4, serial=0, data=b"\xff" * 4)
    assert exchange.feed(late + late + good(code, Frame.E4)[:10]) is False
    assert exchange.feed(good(code, Frame.E4)[10:]) is True
    assert exchange.strays == 2
    assert bytes(image) == b"\0\1\2\3\4\0"
    exchange.end()
    exchange.feed(good(code, Frame.E4, serial=2))
    assert exchange.strays == 3


@BOTH
def test_3e_refuses_what_nobody_asked_for(code):
    exchange, _ = begun(code, Frame.E3)
    with pytest.raises(ProtocolFault, match="nobody asked"):
        exchange.feed(good(code, Frame.E3) * 2)
    exchange, _ = begun(code, Frame.E3)
    assert exchange.feed(good(code, Frame.E3))
    with pytest.raises(ProtocolFault, match="nobody asked"):
        exchange.feed(good(code, Frame.E3))
    exchange, _ = begun(code, Frame.E3)
    exchange.end()
    with pytest.raises(ProtocolFault, match="nobody asked"):
        exchange.feed(good(code, Frame.E3)[:5])


def test_serial_numbers_go_round():
    exchange = Exchange(Code.BINARY, Frame.E4)
    chunk = exchange.chunk(OWN, 0, codec.ask_read(Code.BINARY, D, 0, 1))
    seen = [int.from_bytes(exchange.begin(chunk, bytearray())[2:4], "little") for _ in range(0x10001)]
    assert seen[0] == 1
    assert seen[0xFFFE:] == [0xFFFF, 0, 1]


@BOTH
@EACH
def test_answers_that_are_not_ours(code, kind):
    wrong = {
        "from another station": good(code, kind, route=Route(network=1)),
        "bytes of data instead of": good(code, kind, data=b"\1\2"),
        "none can be": endless(code, kind),
        "no .* answer of the MC protocol": b"HTTP/1.1 400 Bad Request",
    }
    for says, data in wrong.items():
        exchange, image = begun(code, kind)
        with pytest.raises(ProtocolFault, match=says):
            exchange.feed(data)
        assert not any(image)
    other = Frame.E4 if kind is Frame.E3 else Frame.E3
    exchange, _ = begun(code, kind)
    with pytest.raises(ProtocolFault, match=f"answer is {other.upper()}"):
        exchange.feed(good(code, other))
    exchange, _ = begun(code, kind)
    with pytest.raises(ProtocolFault, match=r"ASCII|binary"):
        exchange.feed(good(Code.BINARY if code.text else Code.ASCII, kind))


def test_text_that_is_not_hexadecimal():
    for place in (15, 20, 29):
        exchange, _ = begun(Code.ASCII, Frame.E3)
        answer = bytearray(good(Code.ASCII, Frame.E3))
        answer[place : place + 1] = b"g"
        with pytest.raises(ProtocolFault, match="hexadecimal"):
            exchange.feed(bytes(answer))
    exchange, _ = begun(Code.ASCII, Frame.E3)
    with pytest.raises(ProtocolFault, match="hexadecimal"):
        exchange.feed(good(Code.ASCII, Frame.E3)[:-4] + b" 1 2")


def test_a_datagram_is_whole_or_broken():
    exchange, _ = begun(Code.BINARY, Frame.E4, datagrams=True)
    with pytest.raises(ProtocolFault, match="breaks off"):
        exchange.feed(good(Code.BINARY, Frame.E4)[:-1])
    exchange, image = begun(Code.BINARY, Frame.E4, datagrams=True)
    assert exchange.feed(good(Code.BINARY, Frame.E4))
    assert bytes(image) == b"\0\1\2\3\4\0"


def test_any_bytes_are_a_value_need_more_or_a_fault():
    tally = fuzz.campaign(6_000)
    assert min(tally.values()) > 50, tally
