"""What the tests of links share: both event loops, and a peer whose every byte is scripted."""

import asyncio
import subprocess

import pytest
import uvloop

from gateway.testing import ports


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request):
    """Run a coroutine function in a loop of its own, and see that it leaves no task behind."""

    def start(work, *arguments):
        async def whole():
            async with asyncio.timeout(20):
                await work(*arguments)
            for _ in range(3):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return start


class Peer:
    """A server that does to each arrival what the test says: ``answer(peer, data)``."""

    def __init__(self, answer=None, tls=None):
        self.answer = answer
        self.tls = tls
        self.seen = b""
        self.connections = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.connections:
            writer.close()
        await asyncio.sleep(0.01)
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections.append(writer)
        self.writer = writer
        try:
            while data := await reader.read(65_536):
                self.seen += data
                if self.answer is not None:
                    await self.answer(self, data)
        except (ConnectionError, asyncio.CancelledError):
            pass


class Wants:
    """A receiver that is complete after so many bytes."""

    def __init__(self, size, each=None):
        self.size = size
        self.each = each or size
        self.data = b""

    @property
    def answered(self):
        return len(self.data) // self.each

    def feed(self, data):
        self.data += data
        return len(self.data) >= self.size


@pytest.fixture
def peer():
    return Peer


@pytest.fixture
def wants():
    return Wants


@pytest.fixture
def free_port():
    return ports.free_port()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, a server's and a client's certificate."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("authority", "stranger"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")  # fmt: skip
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip
    return folder
