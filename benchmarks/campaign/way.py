"""The way from the gateway to its broker, made so that it can be hurt while the subscriber's own way stays whole.

`Proxied`: a TCP proxy in a process of its own (benchmarks/campaign/proxy.py). `Cabled`, as root: the broker and the
subscriber live in a network namespace behind a pair of virtual interfaces, where packets are really dropped and the
bandwidth is really narrow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, Protocol, Self

from benchmarks.processes import Broker, Child, Unfit

_NUMBERS: Final = count()


class Way(Protocol):
    """What can be done to a way. ``host`` and ``port`` are where the gateway is told to find its broker."""

    host: str
    port: int
    kind: str
    """How it is done, in words."""
    broker: Broker

    def drop(self) -> None:
        """Let nothing through, and tell nobody."""

    def restore(self) -> None:
        """Let everything through again."""

    def narrow(self, bits: int) -> None:
        """Let so many bits per second through, at most."""


class Proxied(Child):
    """A broker behind a proxy."""

    kind = "proxy"
    host = "127.0.0.1"

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.broker = broker
        self.port = 0
        command = [sys.executable, "-m", "benchmarks.campaign.proxy", f"--to={broker.host}:{broker.port}"]
        super().__init__("proxy", command, folder)

    def start(self) -> None:
        """Start and wait until it listens."""
        super().start()
        self.port = int(self.hear()["port"])

    def drop(self) -> None:
        """See `Way.drop`."""
        self.ask("hold")

    def restore(self) -> None:
        """See `Way.restore`."""
        self.ask("open")

    def narrow(self, bits: int) -> None:
        """See `Way.narrow`."""
        self.ask(f"rate {bits // 8}")


class Cabled:
    """A broker in a network namespace of its own."""

    kind = "network namespace"

    def __init__(self, folder: Path) -> None:
        number = next(_NUMBERS)
        self.name = f"xg{os.getpid() % 1_000_000}n{number}"
        self._near, self._far = f"{self.name}a", f"{self.name}b"
        block = (os.getpid() * 8 + number) % (1 << 14)  # a /30 of 198.18.0.0/16, which is for tests of networks
        base = 4 * block
        self._own = f"198.18.{base >> 8}.{base % 256 + 1}"
        self.host = f"198.18.{base >> 8}.{base % 256 + 2}"
        self.broker = Broker(folder, host=self.host, inside=["ip", "netns", "exec", self.name])
        self.port = self.broker.port

    def __enter__(self) -> Self:
        try:
            _do(f"ip netns add {self.name}")
            _do(f"ip link add {self._near} type veth peer name {self._far} netns {self.name}")
            _do(f"ip addr add {self._own}/30 dev {self._near}")
            _do(f"ip link set {self._near} up")
            self._inside(f"ip addr add {self.host}/30 dev {self._far}")
            self._inside(f"ip link set {self._far} up")
            self._inside("ip link set lo up")
        except Unfit:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # the pair of interfaces goes with the namespace
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)

    def _inside(self, command: str) -> None:
        _do(f"ip netns exec {self.name} {command}")

    def drop(self) -> None:
        """See `Way.drop`."""
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
            self._inside(f"iptables -A {chain} {way} {self._far} -j DROP")

    def restore(self) -> None:
        """See `Way.restore`."""
        self._inside("iptables -F")

    def narrow(self, bits: int) -> None:
        """See `Way.narrow`."""
        limit = f"root tbf rate {bits}bit burst 4kb latency 400ms"
        _do(f"tc qdisc replace dev {self._near} {limit}")
        self._inside(f"tc qdisc replace dev {self._far} {limit}")


def _do(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"{command}: {done.stderr.strip()}")


@contextmanager
def way(folder: Path) -> Iterator[Way]:
    """Give a way over a namespace where this machine can make one, and over a proxy elsewhere."""
    if os.geteuid() == 0 and all(map(shutil.which, ("ip", "iptables", "tc"))):
        try:
            cabled = Cabled(folder).__enter__()
        except Unfit as why:
            print(f"\n{why}; a proxy takes its place", file=sys.stderr)
        else:
            try:
                yield cabled
            finally:
                cabled.__exit__()
            return
    with proxied(folder) as found:
        yield found


@contextmanager
def proxied(folder: Path) -> Iterator[Proxied]:
    """Give a way over a proxy."""
    with Proxied(folder, Broker(folder)) as found:
        yield found
