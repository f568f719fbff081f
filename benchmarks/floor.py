"""Builds and starts `floor.c` in the gateway's place, so that both are measured by the same devices and subscriber."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.processes import GATEWAY_ID, Child, Plant, Unfit
from gateway.config.fields import parse_duration
from gateway.model.schema import Layout, Scale, schema_id
from gateway.model.types import DataType

_SOURCE = Path(__file__).with_name("floor.c")


class Floor(Child):
    """The program, its schemas already published."""

    def __init__(self, run: Plant) -> None:
        setting, folder = run.setting, run.folder
        scan = round(parse_duration(setting.scan) * 1000)
        in_flight = setting.connection.get("pipeline", 8)
        arguments = [run.broker.port, scan, setting.pattern.registers, in_flight]
        super().__init__("floor", [str(build(folder)), *map(str, arguments)], folder)
        self._run = run

    def start(self) -> None:
        """Publish the schemas, start, and tell it its devices."""
        devices = self._run.setting.pattern.devices
        ids = publish_schemas(self._run.broker.port, devices, self._run.setting.pattern.registers)
        super().start()
        given = self.running.stdin
        assert given is not None
        share = self._run.setting.units_per_port
        for device, identity in enumerate(ids):
            given.write(f"{self._run.devices.ports[device // share]} {device % share + 1} {identity}\n")
        given.close()


def build(folder: Path) -> Path:
    """Compile it. Raises Unfit where there is no C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unfit("no C compiler: apt-get install gcc libc6-dev")
    program = folder / "floor"
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(_SOURCE)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise Unfit(f"floor.c does not compile:\n{made.stderr}")
    return program


def publish_schemas(port: int, devices: int, registers: int) -> list[str]:
    """Publish a retained schema for each device; their ids in hex."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "floor-schemas")
    client.connect("127.0.0.1", port)
    client.loop_start()
    layout = Layout([DataType.UINT16] * registers)
    names = [f"r{number}" for number in range(registers)]
    ids = []
    try:
        for device in range(devices):
            schema = layout.schema(f"d{device}", "floor", names, [Scale.of(0.1)] * registers, [""] * registers)
            ids.append(schema_id(schema.encode()).hex())
            sent = client.publish(f"xingsha/v1/{GATEWAY_ID}/schema/{ids[-1]}", schema.encode(), 1, retain=True)
        deadline = time.monotonic() + 30
        while not sent.is_published():
            if time.monotonic() > deadline:
                raise Unfit("the broker does not acknowledge the schemas")
            time.sleep(0.01)
    finally:
        client.disconnect()
        client.loop_stop()
    return ids
