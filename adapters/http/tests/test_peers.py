"""TLS with certificates by openssl, a server of the standard library; curl as a machine that posts; browsing."""

import asyncio
import shutil
import ssl
import subprocess
from contextlib import suppress

import pytest

from adapters.http.tests.test_asking import give, read, server
from gateway.sdk import AuthFault, DataType
from gateway.testing.ports import free_port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_is_verified(run, kit, certificate):
    async def work():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        with server(lambda handler, _: give(handler, b'{"a": 1}'), tls=context) as (port, seen):
            for more in ({"ca": str(certificate[0])}, {"verify": False}):
                made = kit.adapter(port, host="localhost", tls=more, timeout="3s")
                async with made.open() as session:
                    for _ in range(2):
                        assert (await read(session, made.plan(kit.device(), [kit.tag("a")]), 1)).values == [1.0]
            assert seen[0][1]["Host"] == f"localhost:{port}"
            made = kit.adapter(port, host="localhost", tls={}, timeout="3s")
            with pytest.raises(AuthFault):
                async with made.open():
                    pass
            assert (await made.probe(kit.device())).outcome == "auth"

    run(work)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_posts(run, kit):
    async def work():
        made = kit.adapter(free_port(), listen=True, token="s3cret", host="127.0.0.1")
        device = kit.device()
        feed = kit.Recorder("m", device, [kit.tag("a", "int32")])
        async with made.open() as session:
            task = asyncio.create_task(session.subscribe(kit.Feeds(feed)))
            url = f"http://127.0.0.1:{made.connection.effective_port}/m?from=curl"
            big = "[" + ",".join(f'{{"a": {number}}}' for number in range(5000)) + "]"
            for body in ('{"a": 1}', big):
                curl = await asyncio.create_subprocess_exec(
                    "curl", "-sS", "-w", "%{http_code}", "-H", "Authorization: Bearer s3cret", "--data-binary", "@-", url,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )  # fmt: skip
                assert (await curl.communicate(body.encode()))[0] == b"204"
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert [values["a"] for values, *_ in feed.samples] == [1, *range(5000)]

    run(work)


@pytest.mark.parametrize(
    ("form", "body", "found"),
    [
        (
            "json", b'{"a": {"b c": [1, 2.5, null]}, "on": true}',
            [("$.a['b c'][0]", DataType.INT64), ("$.a['b c'][1]", DataType.FLOAT64), ("$.a['b c'][2]", None),
             ("$.on", DataType.BOOL)],
        ),
        (
            "xml", b"<m at='x'><v>1</v> <v n='2'/></m>",
            [("/m/@at", DataType.STRING), ("/m/v", DataType.STRING), ("/m/v[2]/@n", DataType.STRING)],
        ),
    ],
)  # fmt: skip
def test_browse_tells_addresses_that_can_be_read(run, kit, form, body, found):
    async def work():
        with server(lambda handler, _: give(handler, body)) as (port, _):
            made = kit.adapter(port)
            device = kit.device(format=form)
            nodes = [node async for node in made.browse(device)]
            assert [(node.address, node.type) for node in nodes] == found
            tags = [kit.tag(str(place), "string", address=node.address) for place, node in enumerate(nodes)]
            async with made.open() as session:
                out = await read(session, made.plan(device, tags), len(tags))
            if form == "xml":
                assert out.values == ["x", "1", "2"]
            assert [node.path async for node in made.browse(device, found[0][0])] == [found[0][0]]

    run(work)
