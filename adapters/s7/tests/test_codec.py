"""Telegrams against published captures and the example of Wireshark's dissector, and every code of a refusal."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.s7 import codec
from adapters.s7.exchange import Chunk, S7Exchange
from adapters.s7.refusals import CLASSES, ERRORS, ITEMS, UNKNOWN, refusal, refusal_fault
from adapters.s7.tests.fuzz import campaign
from gateway.model.faults import AuthFault, Busy, ProtocolFault, TagFault
from gateway.model.quality import Quality

DB1 = (0x84, 1)
REQUESTS = {
    "connect (RFC 1006; TSAP of rack 0, slot 1, PG)": (
        codec.connect_request(b"\x01\x00", b"\x01\x01"),
        "03 00 00 16 11 E0 00 00 00 01 00 C0 01 0A C1 02 01 00 C2 02 01 01",
    ),
    "setup, PDU 480": (
        codec.ask_setup(1, 480).frame,
        "03 00 00 19 02 F0 80 32 01 00 00 00 00 00 08 00 00 F0 00 00 01 00 01 01 E0",
    ),
    "read DB1.DBB100, 4 bytes": (
        codec.ask_read([(DB1, 100, 4)], [0]).frame,
        "03 00 00 1F 02 F0 80 32 01 00 00 00 00 00 0E 00 00 04 01 12 0A 10 02 00 04 00 01 84 00 03 20",
    ),
    "read T5": (
        codec.ask_read([((0x1D, 0), 10, 2)], [0]).frame,
        "03 00 00 1F 02 F0 80 32 01 00 00 00 00 00 0E 00 00 04 01 12 0A 10 1D 00 01 00 00 1D 00 00 05",
    ),
    "read C3 and C4": (
        codec.ask_read([((0x1C, 0), 6, 4)], [0]).frame,
        "03 00 00 1F 02 F0 80 32 01 00 00 00 00 00 0E 00 00 04 01 12 0A 10 1C 00 02 00 00 1C 00 00 03",
    ),
    "write DB1.DBB2, 2 bytes": (
        codec.ask_write(DB1, 2, b"\x12\x34").frame,
        "03 00 00 25 02 F0 80 32 01 00 00 00 00 00 0E 00 06 05 01 12 0A 10 02 00 02 00 01 84 00 00 10 00 04 00 10 12 34",
    ),
    "write M10.2": (
        codec.ask_write_bit((0x83, 0), 10, 2, True).frame,
        "03 00 00 24 02 F0 80 32 01 00 00 00 00 00 0E 00 05 05 01 12 0A 10 01 00 01 00 00 83 00 00 52 00 03 00 01 01",
    ),
    "status list 0x001C": (
        codec.ask_status(0x1C, 0).frame,
        "03 00 00 21 02 F0 80 32 07 00 00 00 00 00 08 00 08 00 01 12 04 11 44 01 00 FF 09 00 04 00 1C 00 00",
    ),
    "status list, next part": (
        codec.ask_status(0x1C, 0, 3).frame,
        "03 00 00 21 02 F0 80 32 07 00 00 00 00 00 0C 00 04 00 01 12 08 12 44 01 03 00 00 00 00 0A 00 00 00",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    frame, expected = REQUESTS[name]
    assert frame.hex(" ").upper() == expected


def receive(ask, answer, image=b""):
    """Exchange after an answer to ``ask``, its reference put in; and the image."""
    exchange, memory = S7Exchange(), bytearray(image or 16)
    exchange.begin(Chunk([ask]), memory)
    data = bytearray.fromhex(answer)
    data[codec.REFERENCE_AT + 1] = 1
    assert exchange.feed(bytes(data))
    return exchange, memory


def answer(items, function=4, count=None, error="00 00"):
    """Frame of an answer with these item bytes."""
    data = bytes.fromhex(items)
    header = bytes.fromhex("32 03 00 00 00 00 00 02") + len(data).to_bytes(2, "big") + bytes.fromhex(error)
    return codec.frame(header + bytes((function, 1 if count is None else count)) + data).hex()


def test_answer_to_setup():
    exchange, _ = receive(
        codec.ask_setup(4, 480), "03 00 00 1B 02 F0 80 32 03 00 00 00 00 00 08 00 00 00 00 F0 00 00 01 00 01 00 F0"
    )
    assert codec.parse_setup(exchange.body[0]) == (1, 240)
    for wrong in ("F0 00 00 00 00 00 00 F0", "F0 00 00 01 00 01 00 10", "F0 00 00 01 00 01 00"):
        with pytest.raises(ProtocolFault):
            codec.parse_setup(bytes.fromhex(wrong))


def test_answer_to_a_read():
    """The answer of a real CPU to DB1.DBB100 × 4, as published with the request: item FF 04, length in bits."""
    _, image = receive(
        codec.ask_read([(DB1, 100, 4)], [2]),
        "03 00 00 1D 02 F0 80 32 03 00 00 00 00 00 02 00 08 00 00 04 01 FF 04 00 20 41 48 00 00",
    )
    assert image[:8] == bytes.fromhex("0000 41480000 0000")


@pytest.mark.parametrize(
    ("items", "sizes", "image"),
    [
        ("FF 04 00 08 11 00 FF 04 00 10 22 33", (1, 2), "112233"),
        ("FF 04 00 08 11 00 FF 04 00 08 22", (1, 1), "1122"),
        ("FF 04 00 08 11 00 FF 04 00 08 22 00", (1, 1), "1122"),
        ("FF 09 00 02 21 27 FF 03 00 01 01", (2, 1), "212701"),
        ("FF 05 00 10 21 27 FF 07 00 04 01 02 03 04", (2, 4), "212701020304"),
        ("0A 00 00 00 FF 04 00 10 22 33", (2, 2), "00002233"),
        ("05 00 00 00 0A 00 00 00", (2, 2), "00000000"),
        ("FF 04 00 10 22 33 0A", (2, 2), "22330000"),
    ],
)
def test_items_in_every_form(items, sizes, image):
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    ask = codec.ask_read([(DB1, 10 * place, size) for place, size in enumerate(sizes)], starts)
    exchange, found = receive(ask, answer(items, count=2))
    assert found[: sum(sizes)].hex() == image
    assert [code for _, _, code in exchange.refused] == [
        int(items[:2], 16)] * (items[0] == "0") + [0x0A] * items.endswith(("0A 00 00 00", " 0A"))  # fmt: skip


@pytest.mark.parametrize(
    ("items", "count", "function", "words"),
    [
        ("FF 04 00 10 22 33", 1, 4, "1 items instead of 2"),
        ("FF 04 00 10 22 33", 2, 4, "missing"),
        ("FF 04 00 10 22 33 FF 04 00 08 44", 2, 4, "1 bytes instead of 2"),
        ("FF 04 00 10 22 33 FF 08 00 10 44 55", 2, 4, "form that S7 does not have"),
        ("FF 04 00 10 22 33 FF 04 00", 2, 4, "form that S7 does not have"),
        ("FF 04 00 10 22 33 FF 04 00 10 44", 2, 4, "do not fill"),
        ("FF 04 00 10 22 33 FF 04 00 10 44 55 66 77", 2, 4, "do not fill"),
        ("FF FF", 2, 5, "another function"),
    ],
)
def test_answers_that_are_broken_leave_the_image_alone(items, count, function, words):
    exchange, image = S7Exchange(), bytearray(16)
    exchange.begin(Chunk([codec.ask_read([(DB1, 0, 2), (DB1, 10, 2)], [0, 2])]), image)
    data = bytearray.fromhex(answer(items, count=count, function=function))
    data[codec.REFERENCE_AT + 1] = 1
    with pytest.raises(ProtocolFault, match=words):
        exchange.feed(bytes(data))
    assert image == bytearray(16)


def test_answers_to_a_write():
    ask = codec.ask_write(DB1, 0, b"ab")
    assert receive(ask, answer("FF", function=5))[0].refused == []
    assert receive(ask, answer("05", function=5))[0].refused == [(0, 0, 5)]
    assert receive(ask, "03 00 00 13 02 F0 80 32 02 00 00 00 00 00 00 00 00 81 04")[0].refused == [(0, -1, 0x8104)]
    with pytest.raises(ProtocolFault, match="one return code"):
        receive(ask, answer("FF FF", function=5))


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("03 00 00 0B 06 80 00 00 00 01 00", "ends the connection"),
        ("03 00 00 09 04 70 00 00 01", "does not understand"),
        ("03 00 00 0B 06 D0 00 00 00 01 00", "out of turn"),
        ("03 00 00 08 03 F0 00 80", "out of turn"),
        ("48 54 54 50 2F 31 2E 31", "not ISO-on-TCP"),
        ("03 00 FF FF 02 F0 80", "not ISO-on-TCP"),
        ("03 00 00 06 02 F0 80", "not ISO-on-TCP"),
        ("03 00 00 09 02 F0 80 32 03", "not S7 communication"),
        ("03 00 00 11 02 F0 80 72 03 00 00 00 01 00 00 00 00", "not S7 communication"),
        ("03 00 00 11 02 F0 80 32 03 00 00 00 01 00 00 00 00", "do not add up"),
        ("03 00 00 11 02 F0 80 32 05 00 00 00 01 00 00 00 00", "do not add up"),
        ("03 00 00 13 02 F0 80 32 03 00 00 00 01 00 00 00 00 00 00", "another function"),
        ("03 00 00 11 02 F0 80 32 07 00 00 00 01 00 00 00 00", "another function"),
    ],
)
def test_units_that_are_none(unit, words):
    exchange = S7Exchange()
    exchange.begin(Chunk([codec.ask_read([(DB1, 0, 2)], [0])]), bytearray(2))
    with pytest.raises(ProtocolFault, match=words) as raised:
        exchange.feed(bytes.fromhex(unit))
    assert raised.value.data


def test_a_telegram_that_does_not_end():
    exchange = S7Exchange()
    exchange.largest = 240
    part = bytearray(codec.frame(b"\x32" * 200))
    part[6] = 0
    assert exchange.feed(bytes(part))  # nothing is expected, and nothing was missed
    with pytest.raises(ProtocolFault, match="does not end"):
        exchange.feed(bytes(part))


def test_what_a_cpu_asks_of_us_is_ignored():
    exchange, image = S7Exchange(), bytearray(2)
    exchange.begin(Chunk([codec.ask_read([(DB1, 0, 2)], [0])]), image)
    assert not exchange.feed(codec.ask_setup(1, 480).frame)
    assert exchange.strays == 1


def test_references_go_round_and_pipelined_answers_come_in_any_order():
    exchange, image = S7Exchange(), bytearray(8)
    chunk = Chunk([codec.ask_read([(DB1, 10 * place, 2)], [2 * place]) for place in range(4)])
    exchange._next = 0xFFFE
    for turn in range(3):
        sent = exchange.begin(chunk, image)
        numbers = [int.from_bytes(sent[at : at + 2], "big") for at in chunk.references]
        assert numbers == list(range(1 + 4 * turn, 5 + 4 * turn))
        for place in (2, 0, 3, 1):
            frame = bytearray.fromhex(answer(f"FF 04 00 10 {turn:02x} {place:02x}"))
            frame[codec.REFERENCE_AT + 1] = numbers[place]
            assert exchange.feed(bytes(frame)) == (place == 1)
            assert exchange.feed(bytes(frame)) == (place == 1)  # once more: nobody's
        assert image.hex() == "".join(f"{turn:02x}{place:02x}" for place in range(4))
    assert exchange.strays == 12


def test_an_answer_to_what_was_given_up_is_nobodys():
    exchange, image = S7Exchange(), bytearray(2)
    chunk = Chunk([codec.ask_read([(DB1, 0, 2)], [0])])
    exchange.begin(chunk, image)
    exchange.end()
    assert exchange.abandoned == {1}
    frame = bytearray.fromhex(answer("FF 04 00 10 11 22"))
    frame[codec.REFERENCE_AT + 1] = 1
    exchange.begin(chunk, image)
    assert not exchange.feed(bytes(frame))
    assert (image, exchange.strays, exchange.abandoned) == (bytearray(2), 1, set())


def test_status_lists():
    part = codec.parse_status(bytes.fromhex("000112081284010300010000"), bytes.fromhex("FF0900021234"))
    assert (part.sequence, part.last, part.error, part.data) == (3, False, 0, b"\x12\x34")
    assert codec.parse_status(bytes.fromhex("00011208128401030000D401"), b"\x0a\0\0\0").error == 0xD401
    assert codec.parse_status(bytes.fromhex("000112081284010300000000"), b"\x0a\0\0\0").error == 0x0A
    assert codec.parse_status(bytes.fromhex("000112081284010300000000"), b"").error == 0x0A
    for parameter, data in (("00011208128401030000", "FF090000"), ("000112081284010300000000", "FF0900051234")):
        with pytest.raises(ProtocolFault):
            codec.parse_status(bytes.fromhex(parameter), bytes.fromhex(data))
    for content in ("", "001C0000002200", "001C000000220001", "001C000000010001"):
        with pytest.raises(ProtocolFault, match="breaks off"):
            codec.parse_records(bytes.fromhex(content))
    assert codec.parse_identity(b"", b"") == ()


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_status_list_is_something_or_a_protocol_fault(parameter, data):
    for what in (lambda: codec.parse_status(parameter, data), lambda: codec.parse_identity(data, parameter)):
        try:
            what()
        except ProtocolFault:
            continue


def test_every_code_has_its_meaning():
    assert set(ITEMS) == {0, 1, 3, 5, 6, 7, 0x0A}
    assert {code >> 8 for code in ERRORS} <= {0x01, 0x80, 0x81, 0x85, 0xD2, 0xD4, 0xD6, 0xD8, 0xDC}
    assert set(CLASSES) == {0x81, 0x82, 0x83, 0x84, 0x85, 0x87}
    for code in [*ITEMS, *ERRORS, *(known << 8 | 0x77 for known in CLASSES), 0xEEEE, 0x42]:
        why = refusal(code)
        fault = refusal_fault(code, "MW0")
        assert type(fault) is why.fault
        assert (fault.code, fault.quality) == (why.code, why.quality)
        assert "MW0" in str(fault)
        assert why.title in str(fault)
    assert refusal(0xEEEE) is refusal(0x42) is UNKNOWN


@pytest.mark.parametrize(
    ("code", "fault", "quality"),
    [
        (0x03, TagFault, Quality.AUTH),
        (0x05, TagFault, Quality.ADDRESS_REFUSED),
        (0x06, TagFault, Quality.FUNCTION_REFUSED),
        (0x0A, TagFault, Quality.ADDRESS_REFUSED),
        (0x8104, AuthFault, Quality.AUTH),
        (0x8304, Busy, Quality.BUSY),
        (0x8404, TagFault, Quality.DEVICE_FAILURE),
        (0x8500, ProtocolFault, Quality.PROTOCOL),
        (0x8702, TagFault, Quality.ADDRESS_REFUSED),
        (0xD241, AuthFault, Quality.AUTH),
    ],
)
def test_what_codes_lead_to(code, fault, quality):
    assert (refusal(code).fault, refusal(code).quality) == (fault, quality)


def test_messages_say_what_to_tick():
    assert "PUT/GET communication from remote partner" in str(refusal_fault(0x8104, "read"))
    assert "Optimized block access" in str(refusal_fault(0x0A, "DB1.DBW0"))


def test_hostile_bytes():
    tally = campaign(int(os.environ.get("S7_FUZZ", "6000")))
    assert min(tally.values()) > 50
