"""The listening side with TLS: who gets in, who does not, and that nobody can hold it up. Clients of the library."""

import asyncio
import socket
import ssl
import subprocess
from contextlib import suppress

import pytest

from gateway.model.faults import ConfigFault
from gateway.wire import serving
from gateway.wire.connect import server_tls_context, tls_context
from gateway.wire.serving import WAITING, StreamServer, open_listener
from tests.wire.test_serving import LINES, dial, flooded, until


@pytest.fixture
def secret(certificates):
    return server_tls_context(certificates / "server.pem", certificates / "server.key")


@pytest.fixture
def trusting(certificates):
    return tls_context(certificates / "authority.pem")


async def hung_up(reader):
    try:
        return await reader.read() == b""
    except OSError:
        return True


def echo(_peer, line):
    return line + b"\n"


def test_lines_there_and_back(run, secret, trusting):
    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            for _ in range(20):
                reader, writer = await dial(server.port, trusting)
                writer.write(b"x" * 900 + b"\n" + b"y\n")
                assert await reader.readline() == b"x" * 900 + b"\n"
                assert await reader.readline() == b"y\n"
                assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
                writer.close()
                await writer.wait_closed()
            await until(lambda: not server.peers)
            assert server.counters.handshakes_failed == 0

    run(work)


def test_what_comes_with_the_end_of_the_handshake_is_not_lost_nor_answered_in_the_clear(run, secret, trusting):
    """The client by hand, so that its last words of the handshake and its first line are one segment."""

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            reader, writer = await dial(server.port)
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting.wrap_bio(come, go, server_hostname="127.0.0.1")
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(go.read())
                    come.write(await reader.read(65_536))
            client.write(b"early\n")
            writer.write(go.read())
            async with asyncio.timeout(5):
                while True:
                    try:
                        assert client.read(100) == b"early\n"
                        break
                    except ssl.SSLWantReadError:
                        come.write(await reader.read(65_536))
            writer.close()

    run(work)


def test_who_says_nothing_takes_a_place_for_the_time_of_a_handshake(run, secret, trusting, monkeypatch):
    monkeypatch.setattr(serving, "HANDSHAKE", 0.3)

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, most=1, tls=secret) as server:
            silent, one = await dial(server.port)
            await until(lambda: len(server.peers) == 1)
            reader, two = await dial(server.port)
            assert await hung_up(reader), "one too many, turned away before any handshake"
            assert len(server.peers) == 1
            assert await hung_up(silent)
            await until(lambda: not server.peers)
            assert server.counters.handshakes_failed == 1
            reader, three = await dial(server.port, trusting)
            three.write(b"x\n")
            assert await reader.readline() == b"x\n"
            for writer in (one, two, three):
                writer.close()

    run(work)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
def test_the_end_does_not_wait_for_handshakes(run, secret, said):
    async def work():
        loop = asyncio.get_running_loop()
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            writers = [(await dial(server.port))[1] for _ in range(3)]
            for writer in writers:
                writer.write(said)
            await until(lambda: len(server.peers) == 3)
            await asyncio.sleep(0.05)
            began = loop.time()
        assert loop.time() - began < 2.0
        assert not server.peers
        for writer in writers:
            writer.close()

    run(work)


@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00", b"\x00" * 3000])
def test_what_is_no_tls(run, secret, trusting, said):
    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            reader, writer = await dial(server.port)
            writer.write(said)
            writer.write_eof()
            async with asyncio.timeout(5):
                with suppress(ConnectionError):
                    assert b"HTTP" not in await reader.read()
            writer.close()
            await until(lambda: not server.peers)
            assert server.counters.handshakes_failed == 1
            assert server.counters.requests == 0
            reader, writer = await dial(server.port, trusting)
            writer.write(b"x\n")
            assert await reader.readline() == b"x\n"
            writer.close()

    run(work)


def test_who_must_show_a_certificate(run, certificates, trusting):
    secret = server_tls_context(
        certificates / "server.pem", certificates / "server.key", ca=certificates / "authority.pem"
    )
    known = tls_context(certificates / "authority.pem", certificates / "client.pem", certificates / "client.key")
    stranger = tls_context(certificates / "authority.pem", certificates / "stranger.pem", certificates / "stranger.key")

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            for failed, tls in enumerate((trusting, stranger), start=1):
                reader, writer = await dial(server.port, tls)  # TLS 1.3: the client learns of it when it reads
                writer.write(b"x\n")
                with pytest.raises(ssl.SSLError, match=r"(?i)certificate|unknown_ca|unknown ca"):
                    await reader.readexactly(2)
                await until(lambda failed=failed: server.counters.handshakes_failed == failed)
            assert server.counters.requests == 0
            reader, writer = await dial(server.port, known)
            writer.write(b"x\n")
            assert await reader.readline() == b"x\n"
            writer.close()
            await until(lambda: not server.peers)

    run(work)


def test_what_is_older_than_1_2_is_not_spoken(run, secret, trusting):
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        trusting.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    trusting.set_ciphers("ALL:@SECLEVEL=0")

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, echo, tls=secret) as server:
            with pytest.raises(ssl.SSLError, match=r"(?i)version"):
                await dial(server.port, trusting)
            await until(lambda: server.counters.handshakes_failed == 1)

    run(work)


def test_who_is_refused_can_fetch_the_answer_although_it_still_talks(run, secret, trusting, monkeypatch):
    monkeypatch.setattr(serving, "LINGER", 0.6)

    def refuse(peer, _line):
        peer.send(b"no\n")
        peer.finish()
        assert peer.gone
        return b"and never this"

    async def work():
        loop = asyncio.get_running_loop()
        async with StreamServer("127.0.0.1", 0, LINES, refuse, tls=secret) as server:
            reader, writer = await dial(server.port, trusting)
            writer.write(b"x\n")
            await until(lambda: server.counters.requests == 1)
            began = loop.time()
            writer.write(b"y\n" * 50_000)
            with suppress(ConnectionError):  # the client's own: it stops once it is told the end
                await writer.drain()
            assert await reader.read() == b"no\n"
            assert loop.time() - began < 0.3, "the end is told, not only the answer"
            writer.close()
            await until(lambda: not server.peers)
            assert server.counters.requests == 1
            _, writer = await dial(server.port)
            await until(lambda: server.peers)
            (peer,) = server.peers
            peer.send(b"nothing in the clear")
            await until(lambda: not server.peers)
            writer.close()

    run(work)


def test_the_end_is_told_by_tls_and_not_only_by_tcp(run, secret, trusting):
    def refuse(peer, _line):
        peer.send(b"no\n")
        peer.finish()
        return b""

    def hear(port):
        with (
            socket.create_connection(("127.0.0.1", port), 5) as sock,
            trusting.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as tls,
        ):
            tls.sendall(b"x\n")
            return tls.recv(100), tls.recv(100)  # an SSLEOFError when it was cut

    async def work():
        async with StreamServer("127.0.0.1", 0, LINES, refuse, tls=secret) as server:
            assert await asyncio.to_thread(hear, server.port) == (b"no\n", b"")

    run(work)


def test_a_peer_that_floods_is_held_up_and_loses_nothing(run, secret, trusting):
    async def work():
        async with open_listener("127.0.0.1", 0, LINES, tls=secret) as server:
            _, writer = await dial(server.port, trusting)
            await flooded(server, writer, 20 * WAITING)

    run(work)


@pytest.mark.parametrize(
    ("certificate", "key", "ca"),
    [
        ("missing.pem", "server.key", None), ("server.pem", "missing.key", None), ("server.pem", "client.key", None),
        ("server.key", "server.key", None), ("server.pem", "server.key", "missing.ca"),
        ("server.pem", "server.key", "server.key"), ("server.pem", "empty", None),
    ],
)  # fmt: skip
def test_files_that_are_not_what_they_should_be(certificates, certificate, key, ca):
    (certificates / "empty").touch()
    with pytest.raises(ConfigFault, match=ca or key) as caught:
        server_tls_context(certificates / certificate, certificates / key, ca and certificates / ca)
    assert certificate in str(caught.value)
    assert caught.value.code == "config_invalid"


def test_a_key_with_a_password_is_a_fault_and_not_a_question_at_the_terminal(certificates):
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", "server.key", "-out", "locked.key", "-passout", "pass:s3cret"],
        cwd=certificates, check=True, capture_output=True,
    )  # fmt: skip
    for make in (
        lambda: server_tls_context(certificates / "server.pem", certificates / "locked.key"),
        lambda: tls_context(None, certificates / "server.pem", certificates / "locked.key"),
    ):
        with pytest.raises(ConfigFault, match="locked"):
            make()
