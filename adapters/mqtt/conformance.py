"""What the conformance suite must be told about MQTT as a source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.mqtt import codec
from adapters.mqtt.codec import V5, V311, Answer, Connect, Kind, Subscription
from adapters.mqtt.codes import (
    CONNACK,
    CONNACK_311,
    DISCONNECT,
    SUBACK,
    connect_fault,
    disconnect_fault,
    subscribe_fault,
)
from adapters.mqtt.conversation import Conversation
from gateway.testing.conformance import Receiver, Subject, Vector
from gateway.testing.conformance.limits import chosen

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _tag(name: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": f"$.{name}", "type": kind, **more}


def _matrix() -> list[tuple[dict[str, Any], list[Any]]]:
    limits = chosen(finite=True)
    del limits["bytes"]  # JSON has none
    return [(_tag(f"v_{kind}", kind), values) for kind, values in limits.items()]


def _receiver(level: int) -> Receiver:
    talk = Conversation("a broker", level, 1_000_000, 65_535, set())
    talk.expect(Kind.CONNACK, 1)
    return talk


def _clock(machine: Any, moment: int) -> None:
    machine.time = _EPOCH + timedelta(microseconds=moment // 1000)


def _mapped(code: tuple[str, int]) -> object:
    where, reason = code
    found = Answer(Kind.CONNACK, reasons=(reason,))
    if where == "connect":
        return connect_fault("a broker", found, V5)
    if where == "connect 3.1.1":
        return connect_fault("a broker", found, V311)
    if where == "subscribe":
        return subscribe_fault("a broker", reason, found)
    return disconnect_fault("a broker", found)


def _codes() -> list[tuple[str, int]]:
    tables = (("connect", CONNACK), ("connect 3.1.1", CONNACK_311), ("subscribe", SUBACK), ("disconnect", DISCONNECT))
    return [(where, reason) for where, table in tables for reason in table]


def _subject(client: str) -> Subject:
    return Subject(
        connection={"client_id": client, "keepalive": "1s", "session": "1h"},
        device={"topic": "plant/d0", "time": {"path": "$.at", "format": "us"}},
        at=lambda port: {"host": "127.0.0.1", "port": port},
        tags=[_tag(f"t{number}") for number in range(4)],
        matrix=_matrix(),
        addresses=["$", "$.a", "$.a.b[0].c", "$[3]", "$['a b']"],
        wrong_addresses=["$.", "$[", "$[x]", "$..a", "$.a[-1]"],
        vectors=[
            Vector(
                "CONNECT", "3.1.1, 3.1",
                Connect("gw", level=V311).encode, "10 0e 0004 4d515454 04 02 001e 0002 6777",
            ),
            Vector(
                "CONNECT", "5.0, 3.1.2.11",
                Connect("gw", clean=False, session_expiry=3600, receive_maximum=10).encode,
                "10 17 0004 4d515454 05 00 001e 08 11 00000e10 21 000a 0002 6777",
            ),
            Vector(
                "SUBSCRIBE", "3.1.1, 3.8.3, figure 3.23",
                lambda: codec.subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)], V311),
                "82 0e 000a 0003 612f62 01 0003 632f64 02",
            ),
            Vector(
                "SUBSCRIBE", "3.1.1, 3.9.3, SUBACK",
                lambda: codec.answer(Kind.SUBACK, b"\0\x0a\1\2\x80", V311).reasons,
                (1, 2, 0x80),
            ),
        ],
        receivers=[lambda: _receiver(V5), lambda: _receiver(V311)],
        limits=lambda simulator, adapter: {
            "sessions": (simulator.counters.sessions_most, adapter.limits.sessions),
            "messages in flight": (simulator.counters.in_flight_most, adapter.connection.receive_maximum),
        },
        codes=_codes(),
        mapped=_mapped,
        source_time=_clock,
    )  # fmt: skip


subject = _subject("suite")
