"""An idle gateway: what it takes when its only machine is switched off and its platform away. Memory, CPU, start.

    script/bench idle --seconds 10

The gateway runs with its defaults (journal, page for metrics) on one Modbus connection; nobody asks for its metrics.
Shared: memory of libraries that other processes of the same programs use as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import ROOT, Unfit, cpu_seconds_of, memory_mb_of, run_folder
from benchmarks.pipeline import circumstances
from gateway.testing.ports import free_ports

LIMIT_MB: Final = 60.0
"""What the house wants."""
SETTLED: Final = 5.0
"""Seconds after the start before it counts as idle."""
CONFIG: Final = """
gateway: {{id: idle}}
observe: {{http: "127.0.0.1:{page}"}}
connections:
  plc: {{adapter: modbus, host: 127.0.0.1, port: {plc}}}
devices:
  press-1: {{connection: plc, tags: [{{name: oil, type: int16, address: "hr:1"}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Start, wait, look, stop."""
    page, plc, broker = free_ports(3)
    config = folder / "idle.yaml"
    config.write_text(CONFIG.format(page=page, plc=plc, broker=broker), "utf-8")
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(config)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        time.sleep(SETTLED)
        started = cpu_seconds_of(process.pid)
        time.sleep(seconds)
        if process.poll() is not None:
            raise Unfit(f"the gateway ended with {process.returncode}")
        resident, peak = memory_mb_of(process.pid)
        return {
            "rss_mb": round(resident, 1),
            "rss_peak_mb": round(peak, 1),
            "shared_mb": round(_shared_mb(process.pid), 1),
            "start_cpu_s": round(started, 2),
            "idle_cpu_percent": round((cpu_seconds_of(process.pid) - started) / seconds * 100, 3),
        }
    finally:
        process.terminate()
        process.wait()  # up to its time to drain


def _shared_mb(pid: int) -> float:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["RssFile"].split()[0]) / 1024


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 when it takes more than the house wants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    try:
        with run_folder() as folder:
            result = measure(options.seconds, folder)
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({**result, "limit_mb": LIMIT_MB, **circumstances()}))
    return 0 if result["rss_mb"] <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
