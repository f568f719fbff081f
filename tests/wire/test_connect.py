"""Connecting: each way it can fail has its own fault and code; each end leaves nothing behind."""

import asyncio
import socket
import ssl
import time

import pytest

from gateway.model.faults import AuthFault, ConfigFault, LinkLost, ProtocolFault
from gateway.wire.connect import open_dialled, open_tcp, os_fault, tls_context


async def echo(peer, data):
    peer.writer.write(data)


def fails(run, kind, code, *arguments, **more):
    async def work():
        with pytest.raises(kind) as raised:
            async with open_tcp(*arguments, **more):
                raise AssertionError("connected")
        assert raised.value.code == code
        assert str(arguments[0]) in str(raised.value)

    run(work)


def test_refused(run, free_port):
    fails(run, LinkLost, "connection_refused", "127.0.0.1", free_port, 1.0)


def test_unknown_name(run):
    fails(run, LinkLost, "name_unknown", "no.such.host.invalid", 502, 5.0)


def test_an_address_that_is_not_ours(run, free_port):
    fails(run, LinkLost, "address_unusable", "127.0.0.1", free_port, 1.0, source="203.0.113.7")


def test_no_route(run):
    assert os_fault("10.0.0.1:502", OSError(113, "No route to host")).code == "no_route"
    assert os_fault("10.0.0.1:502", OSError(5, "Input/output error")).code == "link_lost"
    assert os_fault("10.0.0.1:502", OSError(24, "Too many open files")).code == "descriptors_exhausted"
    assert "Input/output" in str(os_fault("10.0.0.1:502", OSError(5, "Input/output error")))


def test_a_host_that_does_not_answer(run):
    """A full backlog: the kernel drops further connection requests, as a firewall would."""

    async def work():
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            port = listening.getsockname()[1]
            waiting = []
            for _ in range(4):
                extra = socket.socket()
                extra.setblocking(False)
                extra.connect_ex(("127.0.0.1", port))
                waiting.append(extra)
            started = time.monotonic()
            with pytest.raises(LinkLost, match=r"no connection within 0\.1 s") as raised:
                async with open_tcp("127.0.0.1", port, 0.1):
                    raise AssertionError("connected")
            assert raised.value.code == "connect_timeout"
            assert time.monotonic() - started < 2
            for extra in waiting:
                extra.close()

    run(work)


def test_from_a_local_address_and_after_a_pause(run, peer, wants):
    async def work():
        async with peer(echo) as there:
            started = time.monotonic()
            async with open_tcp("127.0.0.1", there.port, 1.0, source="127.0.0.2", pause=0.05) as link:
                assert time.monotonic() - started >= 0.045
                await link.exchange(b"!", wants(1), 1.0)
                assert there.writer.get_extra_info("peername")[0] == "127.0.0.2"

    run(work)


def test_an_error_inside_closes_the_link(run, peer):
    async def work():
        async with peer(echo) as there:
            with pytest.raises(ZeroDivisionError):
                async with open_tcp("127.0.0.1", there.port, 1.0) as link:
                    raise ZeroDivisionError
            assert link.lost

    run(work)


def server_tls(folder):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "authority.pem")
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def test_tls(run, peer, wants, certificates):
    async def work():
        served = server_tls(certificates)
        served.verify_mode = ssl.CERT_REQUIRED
        mutual = tls_context(certificates / "authority.pem", certificates / "client.pem", certificates / "client.key")
        async with peer(echo, tls=served) as there, open_tcp("127.0.0.1", there.port, 2.0, tls=mutual) as link:
            await link.exchange(b"secret", wants(6), 1.0)

    run(work)


def test_tls_with_a_stranger(run, peer, wants, certificates):
    async def work():
        async with peer(echo, tls=server_tls(certificates)) as there:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
            with pytest.raises(AuthFault, match="certificate is refused") as raised:
                async with open_tcp("127.0.0.1", there.port, 2.0, tls=tls_context(certificates / "stranger.pem")):
                    raise AssertionError("connected")
            assert raised.value.code == "tls_untrusted"
            async with open_tcp("127.0.0.1", there.port, 2.0, tls=tls_context(verify=False)) as link:
                await link.exchange(b"!", wants(1), 1.0)

    run(work)


def test_tls_where_there_is_none(run, peer, certificates):
    async def plain(there, _data):
        there.writer.write(b"\x15\x01\x00\x00\x00\x06\xff\x03\x00\x04\x00\x01")

    async def work():
        async with peer(plain) as there:
            with pytest.raises(ProtocolFault, match="no TLS") as raised:
                async with open_tcp("127.0.0.1", there.port, 2.0, tls=tls_context(verify=False)):
                    raise AssertionError("connected")
            assert raised.value.code == "tls_failed"

    run(work)


@pytest.mark.parametrize(("ca", "key"), [("missing.pem", None), ("server.key", None), ("authority.pem", "client.key")])
def test_tls_files_that_are_not_what_they_should_be(certificates, ca, key):
    with pytest.raises(ConfigFault, match=ca):
        tls_context(
            certificates / ca, certificates / "server.pem" if key else None, certificates / key if key else None
        )


def test_waiting_for_a_peer_to_dial_in(run, wants, free_port):
    async def work():
        async def unit():
            await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
            writer.write(await reader.read(100))
            await reader.read()
            writer.close()

        dialling = asyncio.create_task(unit())
        async with open_dialled("127.0.0.1", free_port, 5.0, pause=0.01) as link:
            await link.exchange(b"hello", wants(5), 1.0)
        await dialling

    run(work)


def test_who_dials_in_anew_ends_the_old_connection(run, wants, free_port):
    async def work():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(_dial(free_port))
            async with open_dialled("127.0.0.1", free_port, 5.0) as link:
                (_, one) = await first
                asking = asyncio.ensure_future(link.exchange(b"?", wants(1), 5.0))
                await asyncio.sleep(0.02)
                reader, two = await asyncio.open_connection("127.0.0.1", free_port)
                with pytest.raises(LinkLost, match="dialled in anew"):
                    await asking
                assert await reader.read() == b""
                for writer in (one, two):
                    writer.close()

    run(work)


async def _dial(port):
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)


def test_nobody_dials_in_and_the_door_is_taken(run, peer, free_port):
    async def work():
        with pytest.raises(LinkLost, match="nobody dialled in") as raised:
            async with open_dialled("127.0.0.1", free_port, 0.05):
                raise AssertionError("connected")
        assert raised.value.code == "connect_timeout"
        async with peer(echo) as there:
            with pytest.raises(LinkLost) as raised:
                async with open_dialled("127.0.0.1", there.port, 0.05):
                    raise AssertionError("connected")
            assert raised.value.code == "port_in_use"
        waiting = asyncio.create_task(open_dialled("127.0.0.1", free_port, 5.0).__aenter__())
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with socket.create_server(("127.0.0.1", free_port)):
            pass

    run(work)
