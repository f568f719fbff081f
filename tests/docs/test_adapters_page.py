"""docs/adapters.md: every listing is run as it stands, in the order of the page; the fault table is that of the code."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import setuptools

import gateway.sdk
from gateway.bus import open_bus
from gateway.cli.app import COMMANDS
from gateway.collect.collector import Collector
from gateway.collect.recovery import RECOVERY, Pace, Scope
from gateway.config.base import DeviceConfig, TagConfig, TcpConnection
from gateway.config.root import BusConfig, BusKind, Configuration, Device, GatewayConfig, ObserveConfig
from gateway.model.batch import decode_body
from gateway.model.schema import decode_schema
from gateway.model.view import FrameView
from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.wire.connect import open_tcp
from gateway.wire.datagrams import open_datagrams
from gateway.wire.dialogue import Dialogue
from gateway.wire.framing import delimited
from gateway.wire.serving import open_listener

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
TEXT = PAGE.read_text("utf-8")
WALK = TEXT[TEXT.index("## An adapter in fifteen minutes") : TEXT.index("## The contract")]
PRELUDE = """
set -eu
xingsha() { "$PYTHON" -c 'from gateway.cli import main; main()' "$@"; }
pytest() { "$PYTHON" -m pytest -q -W error -p no:cacheprovider "$@"; }
python() { "$PYTHON" "$@"; }
pip() {  # as -e, into a folder of the test's own
    "$PYTHON" -m pip install --quiet --no-deps --no-index --no-build-isolation --target "$SITE" "$3"
    rm -r "$SITE/xingsha_oven"
    ln -s "$PWD/$3/xingsha_oven" "$SITE/xingsha_oven"
}
"""


def blocks(text, *languages):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, body) for language, body in found if language in languages]


class Reader:
    """Somebody who follows the page to the letter, apart from ports."""

    def __init__(self, folder, environment, broker, stack):
        self.where = folder
        self.package = folder / "xingsha-oven" / "xingsha_oven"
        site = folder / "site"
        site.mkdir()
        path = os.pathsep.join((str(site), environment["PYTHONPATH"]))
        self.environment = environment | {"PYTHON": sys.executable, "SITE": str(site), "PYTHONPATH": path}
        self.port, self.broker, self.stack = free_port(), broker, stack
        self.said = []
        self.terminal = None

    def write(self, body):
        name = re.match(r"# (\S+)\n", body)[1]
        body = body.replace("port: 7001", f"port: {self.port}")
        body = body.replace("to: {host: 127.0.0.1}", f"to: {{host: 127.0.0.1, port: {self.broker}}}")
        if name.endswith(".yaml"):
            body += 'observe: {http: "off"}\n'  # the usual port may be somebody else's
        (self.package / name).write_text(body, "utf-8")

    def type(self, body):
        text = body.replace("gateway.testing.subscriber", f"gateway.testing.subscriber --port {self.broker}")
        command = ["bash", "-c", f"{PRELUDE}\n{text}\npwd > '{self.environment['SITE']}/where'"]
        done = subprocess.run(
            command, cwd=self.where, env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
        self.where = Path((Path(self.environment["SITE"]) / "where").read_text("utf-8").strip())
        self.said.append(done.stdout)

    def type_elsewhere(self, body):
        process = subprocess.Popen(
            ["bash", "-c", f"{PRELUDE}\n{body}"], cwd=self.where, env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(process.stdout.close)
        self.stack.callback(os.killpg, process.pid, signal.SIGTERM)
        if "xingsha sim" in body:
            assert process.stdout.readline().startswith("hall: oven at tcp://")


@pytest.mark.skipif(
    int(setuptools.__version__.partition(".")[0]) < 77, reason="building needs setuptools 77; script/setup installs it"
)
def test_an_adapter_in_fifteen_minutes(tmp_path, bare_environment):
    async def main():
        async with embedded_broker() as broker:
            with ExitStack() as stack:
                reader = Reader(tmp_path, bare_environment, broker.port_v5, stack)
                await asyncio.to_thread(follow, reader)
        return reader

    reader = asyncio.run(main())
    probed, delivered = reader.said[1], reader.said[-1]
    assert probed.startswith("ok: an oven\n  temperature: ")
    assert re.search(r"^oven-1 +top +[\d.]+ +°C +good *$", probed, re.MULTILINE)
    assert re.search(r"^oven-1 +bottom +[\d.]+ °C$", delivered, re.MULTILINE)
    assert "lost 0" in delivered


def follow(reader):
    for language, body in blocks(WALK, "sh", "python", "yaml"):
        if language != "sh":
            reader.write(body)
        elif body.startswith("# another terminal"):
            reader.type_elsewhere(body)
        else:
            reader.type(body)


# the shapes, each against a peer on a real socket, through the real collector


def shape(name):
    body = next(body for _, body in blocks(TEXT, "python") if body.startswith(f"# {name}.py"))
    assert len([line for line in body.splitlines() if line.strip()]) <= 32
    names = {name: getattr(gateway.sdk, name) for name in gateway.sdk.__all__}
    names |= {
        "asynccontextmanager": asynccontextmanager, "partial": partial, "open_tcp": open_tcp, "delimited": delimited,
        "Dialogue": Dialogue, "open_listener": open_listener, "open_datagrams": open_datagrams,
    }  # fmt: skip
    before = set(names)
    exec(compile(body, f"{name}.py", "exec"), names)
    return next(value for key, value in names.items() if key not in before and hasattr(value, "plan"))


class Tag(TagConfig):
    address: str = ""


def run(adapter_class, body):
    """Run an adapter with one device, ``press-1``, and two tags; returns rows, and devices that are not configured."""

    async def main():
        port = free_port()
        connection = TcpConnection(adapter="shape", host="127.0.0.1", port=port, retry="100ms")
        tags = tuple(Tag(name=name, address=name, type="float64") for name in ("speed", "force"))
        device = Device("press-1", DeviceConfig(connection="a"), tags)
        bus = BusConfig(kind=BusKind.MEMORY)
        configuration = Configuration(
            GatewayConfig(id="g"), {"a": connection}, {"press-1": device}, {}, {}, bus, ObserveConfig(), Path()
        )
        rows = []
        async with open_bus(bus, "g", Path()) as bus, asyncio.timeout(20):
            collector = Collector(configuration, bus, adapter_class, lambda _: None)
            task = asyncio.create_task(collector.run())
            consumer = bus.consumer("test")
            peer = asyncio.create_task(body(port))
            while len(rows) < 2 or not peer.done():
                while consumer.backlog:
                    batch = await consumer.fetch()
                    for frame in decode_body(batch.body).frames:
                        view = FrameView(decode_schema(bus.schema(frame.schema)), frame)
                        rows.extend((row[0], row[1]) for row in view.rows() if row[2] == 0)
                    consumer.acknowledge(batch.seq)
                await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.wait([task])
            return rows, await peer

    return asyncio.run(main())


def test_subscribed():
    async def peer(port):
        asked = asyncio.get_running_loop().create_future()

        async def answer(reader, writer):
            asked.set_result(await reader.readline())
            writer.write(b"force=2.5\nnobody=1\nspeed=1450\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", port)
        result = await asked
        await asyncio.sleep(0.2)
        server.close()
        return result

    rows, asked = run(shape("subscribed"), peer)
    assert asked == b"send speed,force\n"
    assert rows == [("force", 2.5), ("speed", 1450.0)]


def test_listening_with_an_acknowledgement():
    async def peer(port):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.02)
        writer.write(b"stranger speed 1\npress-1 force 2.5\npress-1 speed 1450\n")
        answers = await reader.readline() + await reader.readline()
        writer.close()
        return answers

    rows, answers = run(shape("listening"), peer)
    assert answers == b"stored\nstored\n"
    assert rows == [("force", 2.5), ("speed", 1450.0)]


def test_broadcast():
    async def peer(port):
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(20):
                sock.sendto(b"force=2.5", ("127.0.0.1", port))
                sock.sendto(b"speed=1450", ("127.0.0.1", port))
                await asyncio.sleep(0.02)

    rows, _ = run(shape("broadcast"), peer)
    assert rows[:2] == [("force", 2.5), ("speed", 1450.0)]


# what the page says of the code


WHEN = {
    "ConfigFault": "it cannot work until somebody edits the configuration",
    "AuthFault": "the peer refuses us",
    "LinkLost": "the transport is gone, or cannot be had",
    "Timeout": "a device did not answer, on a link that stands",
    "OutOfStep": "the same, and a late answer could not be told from the next one",
    "Busy": "the peer asks for patience: `wait` seconds",
    "TagFault": "one tag is refused",
    "ProtocolFault": "the peer broke the protocol; `data` is kept",
    "Fault": "nothing else fits",
}
SCOPES = {Scope.DEVICE: "the device", Scope.LINK: "all devices of the connection"}
PACES = {
    Pace.BACKOFF: "backing off",
    Pace.SLOW: "after `retry_max`: nobody's account is locked",
    Pace.AS_TOLD: "after the wait that it asked for",
    Pace.NEVER: "after an edit",
}


def fault_table():
    lines = ["| fault | raise it when | concerns | session | next try |", "|---|---|---|---|---|"]
    for kind, rule in RECOVERY.items():
        forgiven = f"; {rule.forgiven} forgiven" if rule.forgiven else ""
        session = "reopened" if rule.close else "stays"
        lines.append(
            f"| `{kind.__name__}` | {WHEN[kind.__name__]} | {SCOPES[rule.scope]} | {session} | {PACES[rule.pace]}{forgiven} |"
        )
    return "\n".join(lines)


def fresh(text):
    before, _, rest = text.partition("<!-- faults -->\n")
    return f"{before}<!-- faults -->\n{fault_table()}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"


def test_the_fault_table_is_that_of_the_code():
    assert fresh(TEXT) == TEXT, "write the output of fresh() back to docs/adapters.md"


def test_what_is_named_exists(repository):
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / link).exists(), link
    assert set(re.findall(r"\bxingsha ([\w-]+)", TEXT)) <= {*COMMANDS, "conformance"}
    for module in re.findall(r"`(gateway(?:\.\w+)+)`", TEXT):
        name = module.split(".")
        while not ((path := repository.joinpath(*name)).with_suffix(".py").exists() or path.is_dir()):
            name.pop()
        assert len(name) > 1, module


def test_every_capability_is_named():
    table = TEXT[TEXT.index("| capability |") :].split("\n\n")[0]
    named = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    for protocol in (gateway.sdk.Reads, gateway.sdk.Subscribes, gateway.sdk.Writes, gateway.sdk.ReadsHistory):
        (method,) = [name for name in vars(protocol) if not name.startswith("_")]
        assert method in named
    assert {"browse", "probe", "doctor"} <= named
