"""TLS as the server without a network: however its bytes are split, and any bytes at all."""

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.connect import server_tls_context, tls_context
from gateway.wire.tls import ServerSide


@pytest.fixture(scope="module")
def secret(certificates):
    return server_tls_context(certificates / "server.pem", certificates / "server.key")


@pytest.fixture(scope="module")
def trusting(certificates):
    return tls_context(certificates / "authority.pem")


def shaken(secret, trusting, size):
    """Both ends, after a handshake whose bytes came in pieces of a size: server, client, the client's two ends."""
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = ServerSide(secret), trusting.wrap_bio(come, go, server_hostname="localhost")
    for _ in range(4):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = go.read()
        for at in range(0, len(hello), size):
            assert server.feed(hello[at : at + size]) == b""
        come.write(server.outgoing())
    assert server.established
    return server, client, come, go


@given(size=st.integers(1, 500), said=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4))
def test_what_is_said_is_the_same_however_it_is_split(secret, trusting, size, said):
    server, client, come, go = shaken(secret, trusting, size * 3)
    for words in said:
        client.write(words)
    data = go.read()
    step = size * 50
    assert b"".join(server.feed(data[at : at + step]) for at in range(0, len(data), step)) == b"".join(said)
    assert not server.ended
    server.tell(b"".join(said))
    come.write(server.outgoing())
    heard = b""
    with suppress(ssl.SSLWantReadError):
        while True:
            heard += client.read(100_000)
    assert heard == b"".join(said)
    with suppress(ssl.SSLWantReadError):
        client.unwrap()
    assert server.feed(go.read()) == b""
    assert server.ended


@given(pieces=st.lists(st.binary(max_size=80) | st.just(b"\x16\x03\x01\x00\x05"), max_size=6), late=st.booleans())
def test_any_bytes_are_nothing_or_an_error(secret, trusting, pieces, late):
    server = shaken(secret, trusting, 1000)[0] if late else ServerSide(secret)
    with suppress(ssl.SSLError):
        for piece in pieces:
            assert server.feed(piece) == b""
    server.end()
    server.outgoing()


def test_nothing_is_told_before_the_handshake(secret):
    server = ServerSide(secret)
    with pytest.raises(ssl.SSLError):
        server.tell(b"x")
    server.end()
    assert server.outgoing() == b""
