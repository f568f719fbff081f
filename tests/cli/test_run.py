"""`xingsha run` as an operator sees it: signals, deadlines, exit codes. Real processes, real signals."""

import json
import signal
import sys
import time
import urllib.error
import urllib.request

import pytest
import typer

from gateway.cli.run import duration, loop_factory
from gateway.testing.ports import free_ports

PROGRAM = """
import asyncio, sys
from gateway.cli import serve as run
from gateway.cli.errors import report
from gateway.observe import log

run.CLOSING = 0.2
log.configure("info", "json")

class Orderly:
    async def run(self, stop, drain):
        print("ready", flush=True)
        await stop.wait()
        print("drained", drain, flush=True)

class Stubborn:
    async def run(self, stop, drain):
        print("ready", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("closed", flush=True)

class Broken:
    async def run(self, stop, drain):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fail())

    async def fail(self):
        raise OSError(98, "Address already in use")

async def main():
    await run.serve(globals()[sys.argv[1]](), 0.3)

try:
    with asyncio.Runner(loop_factory=run.loop_factory()) as runner:
        runner.run(main())
except Exception as error:
    sys.exit(report(error))
"""


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.fixture
def running(spawn):
    """Start one of the gateways of PROGRAM and wait until it is ready."""

    def begin(kind):
        process = spawn("-c", PROGRAM, kind)
        assert process.stdout.readline() == "ready\n"
        return process

    return begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_well(running, number):
    process = running("Orderly")
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (0, "drained 0.3\n")
    assert f'"signal": "{number.name}"' in err


def test_one_that_does_not_end_is_ended_at_the_deadline(running):
    process = running("Stubborn")
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, out) == (1, "closed\n")
    assert "error [drain_timeout]: still busy 500ms after the signal" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_second_signal_ends_at_once(running, number, expected):
    process = running("Stubborn")
    process.send_signal(number)
    assert "signal_received" in process.stderr.readline()
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (expected, "")
    assert "gateway_ended_at_once" in err


def test_a_gateway_that_ends_by_itself_is_told(spawn):
    code, _, err = finish(spawn("-c", PROGRAM, "Broken"))
    assert code == 1
    assert "error [port_in_use]: Address already in use" in err
    assert "Traceback" not in err


def test_durations():
    assert duration("250ms") == 0.25
    assert duration(10.0) == 10.0
    with pytest.raises(typer.BadParameter, match="'10' is not a duration with its unit"):
        duration("10")


def test_the_loop_is_asyncio_where_uvloop_is_missing(monkeypatch):
    assert loop_factory().__module__.startswith("uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = loop_factory()()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()


CONFIG = """
gateway: {{id: test}}
connections:
  line: {{adapter: modbus, host: 127.0.0.1, port: {closed}, retry: 1s}}
devices:
  press:
    connection: line
    tags:
      - {{name: speed, type: uint16, address: "hr:0"}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {closed}}}}}
bus: {{path: journal.db, min_free: 1MB}}
observe: {{http: "127.0.0.1:{http}", log_format: json}}
"""


@pytest.fixture
def config(tmp_path):
    closed, http = free_ports(2)
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(closed=closed, http=http))
    return path, http


def test_a_whole_gateway_starts_without_machine_or_platform_and_ends_in_order(config, spawn):
    path, port = config
    process = spawn("-c", "from gateway.cli import main; main()", "run", path, "--drain", "1s")
    assert {reason["concerns"] for reason in wait_ready(port)} == {"lane platform", "device press"}
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 0, err
    assert "Traceback" not in err
    assert (path.parent / "journal.db").exists()


def wait_ready(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
                return json.load(answer)["reasons"]
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the gateway did not get ready"
            time.sleep(0.05)


@pytest.mark.parametrize("command", ["run", "read"])
def test_a_wrong_configuration_is_told_without_a_traceback(command, tmp_path, xingsha):
    path = tmp_path / "gateway.yaml"
    path.write_text("gateway: {id: a/b}\nlanse: {}\n")
    wrong = xingsha(command, path)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert f"{path.name}:2:1" in wrong.stderr
    missing = xingsha(command, tmp_path / "none.yaml")
    assert missing.returncode == 1
    assert "none.yaml" in missing.stderr
    assert "Traceback" not in wrong.stderr + missing.stderr


def test_all_descriptors_that_the_system_grants_are_taken(spawn):
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200)); "
        "from gateway.cli.run import take_descriptors; take_descriptors(); take_descriptors(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert finish(spawn("-c", program)) == (0, "(200, 200)\n", "")
