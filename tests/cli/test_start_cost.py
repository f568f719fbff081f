"""What is not configured costs nothing: neither `xingsha check` nor a start imports an adapter that is not in use."""

import json
import os
import re
import sys

import pytest

from gateway.sdk.manifest import manifests
from gateway.testing.ports import free_ports

CONFIG = """
gateway: {{id: idle}}
observe: {{http: "127.0.0.1:{page}"}}
bus: {{path: journal.db}}
connections:
  plc: {{adapter: modbus, host: 127.0.0.1, port: {plc}, timeout: 100ms}}
devices:
  press-1: {{connection: plc, tags: [{{name: oil, type: int16, address: "hr:1"}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""
PROGRAM = """
import atexit, json, os, signal, sys, threading

def tell():
    memory = open("/proc/self/status").read() if os.path.exists("/proc/self/status") else ""
    os.write(3, json.dumps([sorted(sys.modules), memory]).encode())

atexit.register(tell)
if sys.argv[1] == "run":
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
from gateway.cli import main
main()
"""
HEAVY = {
    "asyncua", "httpx", "snap7", "lxml", "cryptography", "iotcore", "pymodbus", "pandas", "hypothesis", "pytest",
}  # fmt: skip
"""What other adapters, the demonstration and the tests need."""


@pytest.fixture(params=["check", "run"])
def left_behind(request, tmp_path, bare_environment):
    """Modules that a command of a Modbus-only gateway has imported when it ends, and what the kernel says of it."""
    page, plc, broker = free_ports(3)
    config = tmp_path / "plant.yaml"
    config.write_text(CONFIG.format(page=page, plc=plc, broker=broker), "utf-8")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    arguments = [sys.executable, "-c", f"import os; os.dup2({writing}, 3)\n{PROGRAM}", request.param, str(config)]
    plain = {name: value for name, value in bare_environment.items() if not name.startswith("COVERAGE")}
    process = os.posix_spawn(sys.executable, arguments, plain | {"PYTHONWARNINGS": "ignore"})
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        modules, memory = json.loads(told.read())
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    return set(modules), memory


def test_only_the_adapter_in_use_is_imported(left_behind):
    modules, _ = left_behind
    packages = {manifest.package for manifest in manifests().values()}
    assert "adapters.modbus" in modules
    assert {name for name in packages if name in modules} == {"adapters.modbus"}
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert [name for name in modules if name.startswith(("gateway.testing", "adapters.modbus.simulat"))] == []
    if "gateway.runtime.gateway" in modules:
        assert {name.partition(".")[0] for name in modules} & {"typer", "rich", "prometheus_client", "serial"} == set()
        assert modules & UNASKED == set()


UNASKED = {"importlib.metadata", "email.message", "http.client", "difflib", "encodings.idna", "stringprep"}
"""What libraries load to look for things that nobody asked for, and what only a mistake or a strange name needs."""
MOST_MB = 64
"""A little more than what it was measured to take; the figure itself: `script/bench idle`."""


def test_an_idle_gateway_is_small(left_behind):
    found = re.search(r"VmHWM:\s+(\d+) kB", left_behind[1])
    if not found:
        pytest.skip("measured where the kernel tells")
    assert int(found[1]) / 1024 < MOST_MB
