"""Posts over TLS: curl, the client of the standard library and simulated machines; who is not let in; what is configured."""

import asyncio
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import sys

import pytest
from pydantic import ValidationError

from adapters.http.config import Tls
from adapters.http.simulator import Simulator
from adapters.http.tests.conftest import post
from gateway.sdk import ConfigFault
from gateway.testing.ports import free_port
from gateway.wire import serving

CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def shown(certificates):
    """Settings of what the receiver shows to machines."""
    return {"certificate": str(certificates / "server.pem"), "key": str(certificates / "server.key")}


@pytest.fixture
def curl(certificates):
    """Post with curl: the status, and what it says when there is none."""

    async def start(port, *more, body=b'{"t": 1}', scheme="https", token="s3cret"):
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "-m", "10", "--http1.1", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", certificates / "servers.pem",
            "-H", f"Authorization: Bearer {token}", "--data-binary", "@-", *more, f"{scheme}://127.0.0.1:{port}/m",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate(body)
        return int(out), errors.decode()

    return start


MANY = json.dumps([{"t": number, "text": "x" * 100} for number in range(20_000)]).encode()


@CURL
@pytest.mark.parametrize("secure", [True, False])
def test_curl_posts_in_every_way(run, receiver, shown, curl, secure):
    assert len(MANY) > 2_000_000, "so large that curl asks first"

    async def work():
        async with receiver(max_body="4MB", **({"tls": shown} if secure else {})) as (port, feed, _):
            chunked = ("-H", "Transfer-Encoding: chunked")
            zipped = ("-H", "Content-Encoding: gzip")
            scheme = "https" if secure else "http"
            for more, body, count in (
                ((), b'{"t": 1}', 1),
                (chunked, b'{"t": 1}', 1),
                (zipped, gzip.compress(b'{"t": 1}'), 1),
                ((*chunked, *zipped), gzip.compress(MANY), 20_000),
                (("-H", "Expect: 100-continue"), b'{"t": 1}', 1),
                ((), MANY, 20_000),
                (("-H", "Expect:"), MANY, 20_000),
                (chunked, MANY, 20_000),
                (("--tls-max", "1.2"), b'{"t": 1}', 1),
            ):
                feed.samples.clear()
                assert await curl(port, *more, body=body, scheme=scheme) == (204, ""), more
                assert len(feed.samples) == count, more

    run(work)


@CURL
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_hears_a_refusal_although_it_has_much_to_say(run, receiver, shown, curl, expect):
    async def work():
        async with receiver(max_body="1MB", tls=shown) as (port, feed, _):
            assert (await curl(port, "-H", expect, body=MANY))[0] == 413
            assert (await curl(port, "-H", expect, "-H", "Transfer-Encoding: chunked", body=MANY))[0] == 413
            assert (await curl(port, "-H", expect, body=MANY[:900_000], token="other"))[0] == 401
            assert not feed.samples

    run(work)


@CURL
def test_machines_must_show_a_certificate_where_there_is_a_ca(run, receiver, shown, curl, certificates):
    def own(name):
        return ("--cert", certificates / f"{name}.pem", "--key", certificates / f"{name}.key")

    async def work():
        async with receiver(tls=shown | {"ca": str(certificates / "machines.pem")}) as (port, feed, _):
            assert await curl(port, *own("machine")) == (204, "")
            assert (await curl(port, *own("machine"), token="other"))[0] == 401, "the token as well"
            for more in ((), own("stranger"), own("server")):
                status, error = await curl(port, *more)
                assert status == 0
                assert "alert" in error or "SSL" in error
            assert len(feed.samples) == 1

    run(work)


def test_the_library_posts_and_is_careful(run, receiver, shown, certificates):
    async def work():
        async with receiver(tls=shown) as (port, feed, _):
            trusting = ssl.create_default_context(cafile=certificates / "servers.pem")
            assert await asyncio.to_thread(post, port, '{"t": 1}', tls=trusting) == (204, b"")
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(post, port, '{"t": 1}', tls=ssl.create_default_context())
            with pytest.raises(OSError, match=r".*"):
                await asyncio.to_thread(post, port, '{"t": 1}')  # in the clear
            assert len(feed.samples) == 1

    run(work)


def test_who_only_holds_the_door_does_not_keep_others_out_for_long(run, receiver, shown, certificates, monkeypatch):
    monkeypatch.setattr(sys.modules["adapters.http.adapter"], "PEERS", 3)
    monkeypatch.setattr(serving, "HANDSHAKE", 0.3)

    async def work():
        async with receiver(tls=shown) as (port, *_):
            trusting = ssl.create_default_context(cafile=certificates / "servers.pem")
            silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
            await asyncio.sleep(0.1)
            with pytest.raises(OSError, match=r".*"):
                await asyncio.to_thread(post, port, '{"t": 1}', tls=trusting)
            await asyncio.sleep(0.4)
            assert (await asyncio.to_thread(post, port, '{"t": 1}', tls=trusting))[0] == 204
            for sock in silent:
                sock.close()

    run(work)


def test_simulated_machines_post_over_tls(run, kit, receiver, certificates):
    """The certificate is made out to another name than 127.0.0.1, by an authority that they do not know."""
    shown = {"certificate": str(certificates / "machine.pem"), "key": str(certificates / "machine.key")}

    async def work():
        async with receiver(tls=shown) as (port, feed, _):
            made = kit.adapter(port, listen=True, token="s3cret", tls=shown)
            async with Simulator.of(made.connection) as machines:
                machines.device(feed.device).set(feed.tags[0], 7.0)
                while not machines.confirmed:
                    await asyncio.sleep(0.02)
            assert feed.samples[0][0] == {"t": 7.0}
            wrong = {"certificate": str(certificates / "stranger.pem"), "key": str(certificates / "stranger.key")}
            made = kit.adapter(port, listen=True, token="s3cret", tls=wrong)
            before = len(feed.samples)
            async with Simulator.of(made.connection) as machines:
                machines.device(feed.device).set(feed.tags[0], 8.0)
                await asyncio.sleep(0.3)
                assert machines.confirmed == 0
            assert len(feed.samples) == before, "they trust the certificate of the configuration, and no other"

    run(work)


def test_machines_with_certificates_are_not_simulated(kit, shown):
    made = kit.adapter(1, listen=True, token="none", tls=shown | {"ca": "ca.pem"})
    with pytest.raises(ConfigFault) as caught:
        Simulator.of(made.connection)
    assert caught.value.code == "no_simulator"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tls": {}}, "certificate and key are needed"), ({"tls": {"certificate": "a.pem"}}, "certificate and key are needed"),
        ({"tls": {"key": "a.key"}}, "certificate and key are needed"), ({"tls": {"ca": "a.pem"}}, "certificate and key are needed"),
        ({"tls": {"certificate": "a", "key": "b", "verify": False}}, "verify is for servers that are asked"),
        ({"token": None}, "machines must show one"), ({"bearer": "x"}, "basic, bearer and headers"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_message(kit, more, words):
    with pytest.raises(ValidationError, match=words) as caught:
        kit.adapter(1, **({"listen": True, "token": "x"} | more))
    assert caught.value.error_count() == 1


def test_default_ports(kit, shown):
    def port(**more):
        return kit.adapter(None, **more).connection.effective_port

    assert (port(), port(tls={})) == (80, 443)
    assert (port(listen=True, token="x"), port(listen=True, token="x", tls=shown)) == (8080, 8443)


@pytest.mark.parametrize(
    ("setting", "file"), [("certificate", "missing.pem"), ("key", "stranger.key"), ("ca", "server.key")]
)
def test_a_file_that_is_not_what_it_should_be(run, kit, shown, certificates, setting, file):
    async def work():
        tls = shown | {setting: str(certificates / file)}
        made = kit.adapter(free_port(), listen=True, token="x", tls=tls)
        with pytest.raises(ConfigFault, match=file) as caught:
            async with made.open():
                pass
        assert caught.value.code == "config_invalid"
        found = await made.probe(kit.device())
        assert found.outcome != "ok"
        assert file in found.detail

    run(work)


def test_probe_with_good_files(run, kit, shown):
    async def work():
        made = kit.adapter(free_port(), listen=True, token="x", tls=shown)
        assert (await made.probe(kit.device())).outcome == "ok"

    run(work)


def test_a_receiver_without_files_is_a_fault_however_it_was_made(run):
    with pytest.raises(ConfigFault, match="certificate and key"):
        run(Tls().server_context)
