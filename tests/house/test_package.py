"""An adapter that is no part of this tree: written by `xingsha new-adapter`, built, installed, run; all as its author would."""

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest
import setuptools

from gateway.testing.broker import embedded_broker
from gateway.testing.ports import free_port
from gateway.testing.subscriber import Subscriber

pytestmark = pytest.mark.skipif(
    int(setuptools.__version__.partition(".")[0]) < 77, reason="building needs setuptools 77; script/setup installs it"
)

PROGRAM = "from gateway.cli import main; main()"
CONFIG = """
gateway: {{id: far}}
observe: {{http: "off"}}
bus: {{kind: memory, linger: 20ms}}
connections:
  line: {{adapter: acme_press, host: 127.0.0.1, port: {port}, retry: 100ms}}
devices:
  press-1:
    connection: line
    scan: 50ms
    tags:
      - {{name: speed, address: speed, type: float64, scale: 0.5, unit: 1/min}}
      - {{name: program, address: program, type: string}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


@pytest.fixture(scope="module", params=["polled", "subscribed"])
def place(request, wheel, pip, tmp_path_factory):
    """A folder with the gateway's wheel and the adapter's, and nothing else."""
    folder = tmp_path_factory.mktemp(request.param)
    site = folder / "site"
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel)
    made = run(site, "new-adapter", "acme_press", "--package", "--shape", request.param, "--into", folder)
    assert made.returncode == 0, made.stderr
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, folder / "xingsha-acme_press")
    (built,) = folder.glob("xingsha_acme_press*.whl")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", site, built)
    return site


def command(*arguments):
    return [sys.executable, "-P", "-c", PROGRAM, *map(str, arguments)]


def run(site, *arguments):
    return subprocess.run(
        command(*arguments), cwd=site.parent, env={"PYTHONPATH": str(site), "PATH": ""}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_it_is_found_and_nothing_of_its_tests_is_shipped(place):
    listed = json.loads(run(place, "adapters", "--json").stdout)
    assert "acme_press" in [manifest["id"] for manifest in listed]
    package = place / "xingsha_acme_press"
    assert (package / "adapter.toml").is_file()
    assert (package / "quality.yaml").is_file()
    assert not (package / "tests").exists()


def test_from_its_device_to_the_platform(place, tmp_path):
    """Its simulator, the gateway and a broker, each a process; a subscriber counts."""

    async def main():
        async with embedded_broker() as broker, AsyncExitStack() as stack:
            config = tmp_path / "far.yaml"
            config.write_text(CONFIG.format(port=free_port(), broker=broker.port_v5), "utf-8")
            checked = run(place, "check", config)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            rows = []
            subscriber = Subscriber(lambda event: rows.extend(getattr(event, "rows", tuple)()))
            hearing = asyncio.create_task(subscriber.run("127.0.0.1", broker.port_v5))
            await subscriber.subscribed.wait()
            options = ("-s", "press-1.speed=ramp:0..1000/10s", "-s", "press-1.program=AX-7", "--every", "50ms")
            for arguments in (("sim", config, *options), ("run", config)):
                await start(stack, place, *arguments)
            async with asyncio.timeout(40):
                while len({row.value for row in rows if row.tag == "speed"}) < 5:
                    await asyncio.sleep(0.05)
            assert {row.value for row in rows if row.tag == "program" and row.value is not None} == {"AX-7"}
            speeds = [row.value for row in rows if row.tag == "speed" and row.value is not None]
            assert all(0 <= speed <= 1000 for speed in speeds)
            assert subscriber.reader.report().missing == {}
            hearing.cancel()

    asyncio.run(main())


async def start(stack, site, *arguments):
    process = await asyncio.create_subprocess_exec(
        *command(*arguments), cwd=site.parent, env={"PYTHONPATH": str(site), "PATH": ""}, stdout=subprocess.DEVNULL
    )

    async def end():
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)
