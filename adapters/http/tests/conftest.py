"""What the tests of this adapter share."""

import asyncio
import http.client
import subprocess
from contextlib import asynccontextmanager, suppress

import pytest

from adapters.http import adapter, models
from gateway.testing.ports import free_port

TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def run():
    """Run a coroutine function, and see that it leaves no task behind."""

    def start(work, limit=30):
        async def whole():
            async with asyncio.timeout(limit):
                await work()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(whole())

    return start


class Recorder:
    """A feed that keeps what arrives."""

    def __init__(self, name, device, tags):
        self.name, self.device, self.tags = name, device, tuple(tags)
        self.samples = []

    def sample(self, values, *, time=0, failures=None, replayed=False):
        named = {self.tags[place].name: value for place, value in values.items()}
        bad = {self.tags[place].name: code.label for place, code in (failures or {}).items()}
        self.samples.append((named, bad, time))


class RecordingFeeds:
    """All of them; what is given is safe once `commit` is called, or at once."""

    def __init__(self, *feeds, safe=True):
        self.feeds = list(feeds)
        self.safe = safe
        self.has_room = True
        self.waiting = []
        self.strangers = []

    def __iter__(self):
        return iter(self.feeds)

    def when_durable(self, then):
        if self.safe:
            then()
        else:
            self.waiting.append(then)

    def commit(self):
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()

    def unknown(self, identity, detail=""):
        self.strangers.append(identity)


class Kit:
    """Builders of configuration, as a file would give it."""

    Recorder, Feeds = Recorder, RecordingFeeds

    @staticmethod
    def adapter(port, **more):
        settings = {"adapter": "http", "host": "127.0.0.1", "port": port, "timeout": "400ms"}
        return adapter(models.connection.model_validate(settings | more))

    @staticmethod
    def device(path="/m", **more):
        return models.device.model_validate({"connection": "line", "path": path} | more)

    @staticmethod
    def tag(name, kind="float64", **more):
        return models.tag.model_validate({"name": name, "address": f"$.{name}", "type": kind} | more)


@pytest.fixture
def kit():
    return Kit


@pytest.fixture
def receiver(kit):
    @asynccontextmanager
    async def start(safe=True, **more):
        made = kit.adapter(free_port(), listen=True, **({"token": "s3cret"} | more))
        device = kit.device(time={"path": "$.ts", "format": "ms"})
        feed = kit.Recorder("press", device, [kit.tag("t"), kit.tag("n", "int16"), kit.tag("on", "bool")])
        feeds = kit.Feeds(feed, safe=safe)
        assert made.plan(device, feed.tags).push.kept
        async with made.open() as session:
            task = asyncio.create_task(session.subscribe(feeds))
            yield made.connection.effective_port, feed, feeds
            assert not task.done(), task
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return start


def post(port, body, headers=TOKEN, path="/m", method="POST", tls=None):
    """Post by the client of the standard library: status and body of the answer."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority of servers and one of machines, a server's and a machine's certificate, a stranger's."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("servers", "machines", "stranger"):
        openssl("req", "-x509", *curve, "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}")  # fmt: skip
    for name, issuer, also in (("server", "servers", "DNS:gate,IP:127.0.0.1"), ("machine", "machines", "DNS:machine")):
        (folder / f"{name}.ext").write_text(f"subjectAltName={also}\n")
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
                "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip
    return folder
