"""Time and memory of loading a large configuration: 100 devices × 1000 tags, written out and by profile.

Each case runs in a process of its own, so that its memory is its own. Prints one JSON object a case.

    python benchmarks/config_load.py [--devices 100] [--tags 1000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.config.loader import load
from gateway.sdk import AdapterModels, ConnectionConfig, DeviceConfig, SinkConfig, TagConfig


class Connection(ConnectionConfig):
    host: str

    @property
    def endpoint(self) -> str:
        return self.host


class Device(DeviceConfig):
    unit: Annotated[int, Field(ge=0, le=255)] = 1


class Tag(TagConfig):
    address: Annotated[int, Field(ge=0, le=65_535)]


def tag_lines(tags: int, indent: str) -> list[str]:
    return [
        f"{indent}- {{name: value-{number}, address: {number}, type: int16, scale: 0.1, unit: °C, deadband: 0.5}}"
        for number in range(tags)
    ]


def write(path: Path, case: str, devices: int, tags: int) -> None:
    lines = ["gateway: {id: plant}", "connections:"]
    lines += [
        f"  link-{number}: {{adapter: any, host: 10.0.{number // 250}.{number % 250}}}" for number in range(devices)
    ]
    if case == "profile":
        lines += ["profiles:", "  model:", "    adapter: any", "    tags:", *tag_lines(tags, "      ")]
    lines.append("devices:")
    for number in range(devices):
        lines += [f"  device-{number}:", f"    connection: link-{number}"]
        lines += ["    profile: model"] if case == "profile" else ["    tags:", *tag_lines(tags, "      ")]
    path.write_text("\n".join(lines), "utf-8")


def measure(path: Path, case: str) -> None:
    def sink_model(_sink: str) -> type[SinkConfig]:
        return SinkConfig

    began = time.perf_counter()
    configuration = load(path, lambda _adapter: AdapterModels(Connection, Device, Tag), sink_model)
    seconds = time.perf_counter() - began
    found = {
        "case": case,
        "tags": sum(len(device.tags) for device in configuration.devices.values()),
        "file_mb": round(path.stat().st_size / 1e6, 2),
        "seconds": round(seconds, 2),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "CASE"))
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), options.measure[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        for case in ("inline", "profile"):
            path = Path(folder) / f"{case}.yaml"
            write(path, case, options.devices, options.tags)
            subprocess.run([sys.executable, __file__, "--measure", str(path), case], check=True)


if __name__ == "__main__":
    main()
