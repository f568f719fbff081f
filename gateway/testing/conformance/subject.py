"""Subject: what the suite must be told about an adapter, because no manifest and no model can say it.

An adapter's folder has it in ``conformance.py``, as ``subject``. Everything has a default that suits a request and
answer protocol over TCP whose connection has ``host`` and ``port``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.model.types import Value

Settings = Mapping[str, Any]


class Receiver(Protocol):
    """A piece of the codec that takes bytes as they come: see `gateway.wire.link.Receiver`."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when something is complete. Raises ProtocolFault."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A message of which a standard, or a capture, says what it looks like."""

    service: str
    source: str
    """Clause or capture: ``V1.1b3, 6.3``."""
    made: Callable[[], object]
    """Builds the bytes, or takes them apart."""
    expected: object
    """What comes out; bytes may be given as hex text."""


def _refuse(device: Any, tag: Any) -> None:
    device.refuse(tag)


def _silence(device: Any, silent: bool) -> None:
    device.silent = silent


def _limits(simulator: Any, adapter: Any) -> dict[str, tuple[float, float]]:
    seen = simulator.counters
    return {
        "sessions": (seen.sessions_most, adapter.limits.sessions),
        "requests in flight": (seen.in_flight_most, adapter.limits.in_flight),
    }


@dataclass(frozen=True, slots=True)
class Subject:
    """See the module."""

    tags: Sequence[Settings]
    """At least three tags of one device with integer types that hold 0 to 30,000: all dynamic rules use them."""
    matrix: Sequence[tuple[Settings, Sequence[Value]]]
    """value-matrix: tags of every data type × order that the protocol has, each with values at its limits."""
    addresses: Sequence[str]
    """Examples of each form of address …"""
    wrong_addresses: Sequence[str]
    """… and texts that are none."""
    vectors: Sequence[Vector]
    receivers: Sequence[Callable[[], Receiver]]
    """Fresh receivers of the codec, to be fed with hostile bytes."""
    connection: Settings = field(default_factory=dict)
    """Settings beside adapter, timeout, retry and where to connect."""
    device: Settings = field(default_factory=dict)
    others: Sequence[Settings] = ()
    """Settings of further devices behind the same connection; empty: the protocol has one device for each."""
    second: Subject | None = None
    """reload: the same in the role of another client (its own client id …); None: this one will do."""
    at: Callable[[int], Settings] = lambda port: {"host": "127.0.0.1", "port": port}
    """Settings that have a connection go to a port on this machine."""
    refuse: Callable[[Any, Any], None] = _refuse
    """Have a simulated device refuse a tag from now on."""
    silence: Callable[[Any, bool], None] = _silence
    """Have a simulated device answer no more, or again."""
    limits: Callable[[Any, Any], Mapping[str, tuple[float, float]]] = _limits
    """limits-honoured: name → (most that the simulator saw, what the adapter declares)."""
    corpus: Sequence[Settings] = ()
    """planner: a seeded set of many scattered tags …"""
    requests_most: int = 0
    """… and how many requests for it are still near the optimum."""
    codes: Iterable[Any] = ()
    """fault-map: every error code of the specification …"""
    mapped: Callable[[Any], object] | None = None
    """… and what the codec makes of it: a Fault (instance or class) or a Quality. Raises KeyError for one it forgot."""
    source_time: Callable[[Any, int], None] | None = None
    """time-truth: set a simulated device's own clock, ns since the epoch, before the next value is set."""
    auth: Settings | None = None
    """probe-first: settings of a connection that the simulator refuses to let in; None: the protocol has no such."""
    sans_io: Sequence[str] = ("codec", "address")
    """Modules that must be pure."""
    harmful: Sequence[str] = ()
    """Names of mischief, beside the harmless, that this protocol cannot tell from what its peer meant: left out, for
    TCP prevents them."""
