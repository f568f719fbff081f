"""Frames against the examples of the standards, clause by clause, and every exception code."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus import codec
from adapters.modbus.address import Area
from adapters.modbus.exchange import RtuExchange, TcpExchange
from gateway.model.faults import Busy, ProtocolFault, TagFault, Timeout
from gateway.model.quality import Quality

SERVICES = [
    # MODBUS Application Protocol V1.1b3: clause, request, answer, what we ask, data in the answer
    ("6.1", "01 00 13 00 13", "01 03 CD 6B 05", codec.ask_read(17, Area.COIL, 0x13, 0x13), "CD 6B 05"),
    ("6.2", "02 00 C4 00 16", "02 03 AC DB 35", codec.ask_read(17, Area.DISCRETE, 0xC4, 0x16), "AC DB 35"),
    ("6.3", "03 00 6B 00 03", "03 06 02 2B 00 00 00 64", codec.ask_read(17, Area.HOLDING, 0x6B, 3), "02 2B 00 00 00 64"),
    ("6.4", "04 00 08 00 01", "04 02 00 0A", codec.ask_read(17, Area.INPUT, 8, 1), "00 0A"),
    ("6.5", "05 00 AC FF 00", "05 00 AC FF 00", codec.ask_write_coil(17, 0xAC, True), ""),
    ("6.6", "06 00 01 00 03", "06 00 01 00 03", codec.ask_write_register(17, 1, b"\x00\x03"), ""),
    (
        "6.11", "0F 00 13 00 0A 02 CD 01", "0F 00 13 00 0A",
        codec.ask_write_coils(17, 0x13, [bool(0x1CD >> bit & 1) for bit in range(10)]), "",
    ),
    ("6.12", "10 00 01 00 02 04 00 0A 01 02", "10 00 01 00 02", codec.ask_write_registers(17, 1, b"\0\x0a\1\2"), ""),
    ("6.16", "16 00 04 00 F2 00 25", "16 00 04 00 F2 00 25", codec.ask_mask_write(17, 4, 0xF2, 0x25), ""),
    (
        "6.17", "17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF", "17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF",
        codec.ask_read_write(17, 3, 6, 0x0E, b"\0\xff" * 3), "00 FE 0A CD 00 01 00 03 00 0D 00 FF",
    ),
]  # fmt: skip
IDENTITY = "2B 0E 01 01 00 00 03 00 16" + b"Company identification".hex() + "01 0F" + (
    b"Product code XX".hex() + "02 05" + b"V2.11".hex()
)  # fmt: skip


@pytest.mark.parametrize(("clause", "request_", "answer", "ask", "data"), SERVICES, ids=[row[0] for row in SERVICES])
@pytest.mark.parametrize("framing", [TcpExchange, RtuExchange])
def test_examples_of_the_application_protocol(framing, clause, request_, answer, ask, data):
    assert ask.pdu == bytes.fromhex(request_)
    exchange = framing()
    image = bytearray(16)
    sent = exchange.begin(exchange.chunk([ask]), image)
    pdu = bytes.fromhex(answer)
    if framing is TcpExchange:
        assert sent == codec.tcp_frame(1, 17, ask.pdu)
        reply = codec.tcp_frame(1, 17, pdu)
    else:
        assert sent == codec.rtu_frame(17, ask.pdu)
        reply = codec.rtu_frame(17, pdu)
    assert exchange.feed(reply)
    assert image[: ask.size] == bytes.fromhex(data)
    assert not exchange.refused


def test_device_identification():
    """AP 6.21, example of the basic stream."""
    ask = codec.ask_identity(1)
    assert ask.pdu == bytes.fromhex("2B 0E 01 00")
    want = (("vendor", "Company identification"), ("product", "Product code XX"), ("revision", "V2.11"))
    for exchange, frame in (
        (TcpExchange(), codec.tcp_frame(1, 1, bytes.fromhex(IDENTITY))),
        (RtuExchange(), codec.rtu_frame(1, bytes.fromhex(IDENTITY))),
    ):
        exchange.begin(exchange.chunk([ask]), bytearray())
        assert not exchange.feed(frame[:-1])
        assert exchange.feed(frame[-1:])
        assert codec.parse_identity(exchange.body) == want


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_identification_that_breaks_off(cut):
    body = bytes.fromhex(IDENTITY)[3:]
    with pytest.raises(ProtocolFault, match="breaks off"):
        codec.parse_identity(body[: len(body) - cut])
    assert codec.parse_identity(b"") == ()
    assert codec.parse_identity(b"\1\0\0\1\x80\2ok") == (("object_128", "ok"),)


def test_serial_line_examples():
    """SL V1.02: 6.2.2 gives the checksum of 02 07 as 12 41 on the wire (low byte first)."""
    assert codec.crc16(bytes.fromhex("02 07")) == 0x1241
    assert codec.rtu_frame(2, b"\x07") == bytes.fromhex("02 07 41 12")
    assert codec.rtu_frame(0x11, bytes.fromhex("03 00 6B 00 03")) == bytes.fromhex("11 03 00 6B 00 03 76 87")


def test_tcp_example():
    """TCP V1.0b, 4.4.2.1: read of one register, transaction 0x1501, unit 255."""
    assert codec.tcp_frame(0x1501, 0xFF, bytes.fromhex("03 00 04 00 01")) == bytes.fromhex(
        "15 01 00 00 00 06 FF 03 00 04 00 01"
    )


def bitwise(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


@given(st.binary(max_size=300))
def test_checksum_is_that_of_the_definition(data):
    assert codec.crc16(data) == bitwise(data)


def test_checksum_of_every_length():
    for size in range(300):
        data = os.urandom(size)
        assert codec.crc16(data) == bitwise(data), data.hex()


SPECIFIED = {
    1: (TagFault, Quality.FUNCTION_REFUSED),
    2: (TagFault, Quality.ADDRESS_REFUSED),
    3: (TagFault, Quality.ADDRESS_REFUSED),
    4: (TagFault, Quality.DEVICE_FAILURE),
    5: (Busy, Quality.BUSY),
    6: (Busy, Quality.BUSY),
    7: (TagFault, Quality.FUNCTION_REFUSED),
    8: (TagFault, Quality.DEVICE_FAILURE),
    10: (Timeout, Quality.NOT_CONNECTED),
    11: (Timeout, Quality.TIMEOUT),
}


@pytest.mark.parametrize("code", range(256))
def test_every_exception_code_has_a_meaning(code):
    fault, quality = SPECIFIED.get(code, (TagFault, Quality.DEVICE_FAILURE))
    raised = codec.refusal_fault(code, "tag x")
    assert type(raised) is fault
    assert raised.quality is quality
    assert f"exception {code}" in str(raised)
    assert set(codec.EXCEPTIONS) == set(SPECIFIED)
