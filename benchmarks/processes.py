"""The processes around a gateway under test: broker, devices, subscriber, and the gateway itself, each on its own.

Real programs on loopback sockets and a real disk. Each is a context manager that ends what it started, by its own
process id; what a process says on standard error is kept in the folder of the run.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.machine import ROOT, Unfit, cpu_seconds_of, memory_mb_of, run_folder
from benchmarks.pattern import Pattern, Scoreboard
from gateway.testing.ports import free_port

__all__ = ["ROOT", "Broker", "Child", "Devices", "Gateway", "Plant", "Setting", "Subscriber", "Unfit", "run_folder"]

GATEWAY_ID: Final = "bench"


class Child:
    """One process. Lines go to its standard input, and one JSON line comes back for each."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.command = command
        self.log = folder / f"{name}.log"
        self.environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | (environment or {})
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; its standard error is appended to the log."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=self.environment,
                process_group=0,
            )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop(5.0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(5.0)

    @property
    def running(self) -> subprocess.Popen[str]:
        """The process. Raises Unfit, with the end of its log, when it is not there."""
        if self.process is None or self.process.poll() is not None:
            code = "not started" if self.process is None else f"ended with {self.process.returncode}"
            raise Unfit(f"{self.name} {code}:\n{self.tail()}")
        return self.process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.running.pid

    def tail(self, size: int = 2000) -> str:
        """Return the end of its log."""
        return self.log.read_text("utf-8", "replace")[-size:] if self.log.exists() else ""

    def hear(self) -> dict[str, Any]:
        """Wait for its next line."""
        output = self.running.stdout
        assert output is not None
        line = output.readline()
        if not line:
            self.running.wait(5)
            raise Unfit(f"{self.name} ended:\n{self.tail()}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise Unfit(f"{self.name}: {found['error']}")
        return found

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and wait for the answer."""
        given = self.running.stdin
        assert given is not None
        given.write(line + "\n")
        given.flush()
        return self.hear()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._gone(10.0)

    def stop(self, deadline: float) -> float:
        """SIGTERM and the end of its input; SIGKILL after ``deadline`` seconds. Seconds that it took."""
        if self.process is None:
            return 0.0
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(deadline)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._gone(10.0)
        return time.monotonic() - began

    def _gone(self, deadline: float) -> None:
        assert self.process is not None
        try:
            self.process.wait(deadline)
        finally:
            for stream in (self.process.stdin, self.process.stdout):
                with suppress(BrokenPipeError):
                    if stream is not None:
                        stream.close()

    def workers(self) -> list[int]:
        """Process ids of the processes that do its work; none where it does so itself."""
        return []

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, user and system, in full resolution (/proc/PID/stat has 10 ms)."""
        return cpu_seconds_of(self.pid)

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory now, and its highest mark."""
        return memory_mb_of(self.pid)


class Broker(Child):
    """Mosquitto on a free port, without limits on queues. It keeps sessions when it is stopped in order.

    ``host``: where it can be reached; ``inside``: the command in front of its own that puts it, and the subscriber
    with it, into a network namespace. `configure` takes effect at the next start, or with SIGHUP.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", inside: Sequence[str] = ()) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Unfit("mosquitto is not installed: apt-get install mosquitto")
        self.host = host
        self.inside = list(inside)
        self.port = free_port()
        self._store = folder / "mosquitto"
        self._store.mkdir()
        self._config = folder / "mosquitto.conf"
        self.configure()
        super().__init__("mosquitto", [*inside, program, "-c", str(self._config)], folder)

    def configure(self, *lines: str, persistence: bool = True) -> None:
        """Write the configuration anew, with these lines at its end."""
        address = "127.0.0.1" if self.host == "127.0.0.1" else ""
        self._config.write_text(
            f"user {getpass.getuser()}\nlistener {self.port} {address}\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nlog_type error\nlog_type warning\nlog_dest stderr\n"
            f"persistence {str(persistence).lower()}\nautosave_interval 0\npersistence_location {self._store}/\n"
            + "".join(f"{line}\n" for line in lines)
        )

    def start(self) -> None:
        """Start and wait until it takes connections."""
        super().start()
        deadline = time.monotonic() + 15
        while True:
            _ = self.running
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise Unfit(f"mosquitto does not take connections:\n{self.tail()}") from None
                time.sleep(0.02)
            else:
                return


class Devices(Child):
    """The device server; ``board`` shows what it served, even after its end. ``baud``: on serial lines, not TCP."""

    def __init__(self, folder: Path, pattern: Pattern, units_per_port: int = 1, baud: int = 0) -> None:
        self.board_path = folder / "board"
        self.pattern = pattern
        self.units_per_port = units_per_port
        self.ports: list[Any] = []
        """TCP ports, or names of serial ports."""
        module, line = ("benchmarks.serial_devices", [f"--baud={baud}"]) if baud else ("benchmarks.devices", [])
        command = [sys.executable, "-m", module, *pattern.arguments(), f"--board={self.board_path}", *line]
        super().__init__("devices", [*command, f"--units-per-port={units_per_port}"], folder)

    def start(self) -> None:
        """Start and wait until it listens on all ports."""
        super().start()
        self.ports = self.hear()["ports"]
        self.board = Scoreboard(self.board_path, self.pattern)

    def registers_served(self) -> int:
        """Registers served so far."""
        return int(self.board.array[Scoreboard.REGISTERS])


class Subscriber(Child):
    """The verifying subscriber."""

    def __init__(
        self,
        folder: Path,
        pattern: Pattern,
        port: int,
        prefix: str = "xingsha/v1",
        number: int = 1,
        inside: Sequence[str] = (),
    ) -> None:
        command = [
            *inside, sys.executable, "-m", "benchmarks.receiver", *pattern.arguments(), f"--board={folder / 'board'}",
            f"--port={port}", f"--gateway={GATEWAY_ID}", f"--prefix={prefix}", f"--client-id=subscriber-{number}",
        ]  # fmt: skip
        super().__init__(f"subscriber-{number}", command, folder)

    def start(self) -> None:
        """Start and wait until it is subscribed."""
        super().start()
        self.hear()

    def settle(self, quiet: float, deadline: float) -> None:
        """Wait until nothing has arrived for ``quiet`` seconds, at most ``deadline`` seconds."""
        until = time.monotonic() + deadline
        last, since = self.ask("mark")["batches"], time.monotonic()
        while time.monotonic() < until and time.monotonic() - since < quiet:
            time.sleep(min(0.1, quiet / 4))
            batches = self.ask("mark")["batches"]
            if batches != last:
                last, since = batches, time.monotonic()


class Gateway(Child):
    """The gateway, as `xingsha run` starts it. Its CPU and memory are those of its workers as well."""

    def __init__(self, folder: Path, config: Path, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(config)]
        super().__init__("gateway", command, folder, environment)

    def workers(self) -> list[int]:
        """Process ids of its workers; none where it is one process."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []

    def cpu_seconds(self) -> float:
        """CPU time of all its processes that are there now."""
        return super().cpu_seconds() + sum(map(cpu_seconds_of, self.workers()))

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory of all its processes, pages that they share counted for each; and their highest marks."""
        found = [super().memory_mb(), *map(memory_mb_of, self.workers())]
        return sum(now for now, _ in found), sum(most for _, most in found)


@dataclass
class Setting:
    """What is run: a plant, and how the gateway is told to read and forward it."""

    pattern: Pattern
    scan: str = "1s"
    """Scan rate; ``0s``: as fast as the devices answer."""
    units_per_port: int = 1
    baud: int = 0
    """Speed of the serial lines that the devices are on; 0: TCP."""
    lanes: int = 1
    workers: int = 1
    bus: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    lane: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)

    def prefix(self, lane: int) -> str:
        """First topic levels of a lane, counted from 1."""
        return "xingsha/v1" if lane == 1 else f"xingsha/v1/lane{lane}"

    def _reach(self, port: Any) -> dict[str, Any]:
        if self.baud:
            return {"transport": "rtu", "serial_port": port, "baudrate": self.baud}
        return {"host": "127.0.0.1", "port": port, "pipeline": 8}

    def configuration(self, ports: list[Any], broker_port: int) -> dict[str, Any]:
        """The whole configuration of the gateway."""
        tags = [
            {"name": f"r{number}", "address": f"hr:{number}", "type": "uint16", "scale": 0.1}
            for number in range(self.pattern.registers)
        ]
        connections = {
            f"c{number}": {"adapter": "modbus", "timeout": "2s"} | self._reach(port) | self.connection
            for number, port in enumerate(ports)
        }
        devices = {
            f"d{number}": {
                "connection": f"c{number // self.units_per_port}",
                "profile": "plain",
                "unit": number % self.units_per_port + 1,
            }
            for number in range(self.pattern.devices)
        }
        return {
            "gateway": {"id": GATEWAY_ID, "workers": self.workers},
            "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"} | self.bus,
            "profiles": {"plain": {"adapter": "modbus", "scan": self.scan, "tags": tags}},
            "connections": connections,
            "devices": devices,
            "lanes": {f"lane{number}": self._lane(number, broker_port) for number in range(1, self.lanes + 1)},
            "observe": {"http": "off", "log_format": "text"},
        }

    def _lane(self, number: int, port: int) -> dict[str, Any]:
        to = {"host": "127.0.0.1", "port": port} | self.sink
        if number > 1:
            prefix = self.prefix(number) + "/{gateway}"
            to["topics"] = {
                "data": f"{prefix}/data",
                "schema": f"{prefix}/schema/{{schema}}",
                "status": f"{prefix}/status",
                "device_status": f"{prefix}/device/{{device}}",
            }
        return {"sink": "mqtt", "to": to, "payload": "columnar"} | self.lane


@dataclass
class Plant:
    """Broker, devices and subscribers at work, and a gateway that is configured but not yet started."""

    folder: Path
    setting: Setting
    broker: Broker
    devices: Devices
    subscribers: list[Subscriber]
    gateway: Child

    @property
    def subscriber(self) -> Subscriber:
        """The subscriber of the first lane."""
        return self.subscribers[0]

    def wait_for_data(self, deadline: float = 60.0, *, beyond: int = 0) -> float:
        """Wait until every device was read and more than ``beyond`` points have arrived. Seconds. Raises Unfit."""
        began = time.monotonic()
        while True:
            _ = self.gateway.running
            if (self.devices.board.served > 0).all() and self.subscriber.ask("mark")["points"] > beyond:
                return time.monotonic() - began
            if time.monotonic() - began > deadline:
                read = int((self.devices.board.served > 0).sum())
                raise Unfit(
                    f"after {deadline:g} s {read} of {self.setting.pattern.total} blocks were read, and "
                    f"{self.subscriber.ask('mark')['points']} points arrived\n{self.gateway.tail()}"
                )
            time.sleep(0.05)


@contextmanager
def plant(setting: Setting, folder: Path, broker: Broker | None = None) -> Iterator[Plant]:
    """Start everything around the gateway; end everything, the gateway first. ``broker``: one that is prepared."""
    with ExitStack() as stack:
        broker = stack.enter_context(broker or Broker(folder))
        devices = stack.enter_context(Devices(folder, setting.pattern, setting.units_per_port, setting.baud))
        subscribers = [
            stack.enter_context(
                Subscriber(folder, setting.pattern, broker.port, setting.prefix(lane), lane, broker.inside)
            )
            for lane in range(1, setting.lanes + 1)
        ]
        configuration = setting.configuration(devices.ports, broker.port)
        # JSON is YAML, and quick to write for thousands of tags
        (folder / "gateway.yaml").write_text(json.dumps(configuration, indent=1))
        run = Plant(folder, setting, broker, devices, subscribers, Gateway(folder, folder / "gateway.yaml"))
        stack.callback(lambda: run.gateway.stop(5.0))
        yield run
