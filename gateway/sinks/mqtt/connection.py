"""One MQTT connection: aiomqtt, plus what it leaves out and a lane must know.

aiomqtt drops the reason code of a PUBACK and what the broker grants in its CONNACK, lets a publish wait for its
time-out when the connection is gone, and may not notice a reset. This subclass does, and can be torn down at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import aiomqtt
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.model.faults import Fault, LinkLost
from gateway.sinks.mqtt.codes import disconnect_fault

Acknowledged = Callable[[int, int, str], None]
"""Called with packet id, reason code and its name."""


def _ignore(_mid: int, _code: int, _name: str) -> None:
    """Nobody is told."""


class _LastWords(logging.Handler):
    """Keeps the last error that paho logs: for TLS alerts it is the only trace."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text."""
        self.text = record.getMessage()


def _dial(host: str, port: int, timeout: float) -> socket.socket:
    """Connect, in paho's place: to the broker that is configured, whatever proxy the environment names.

    A sound name in ASCII goes to the resolver as it is: Python then does not load what is known of other alphabets.
    Raises UnicodeError for a name that cannot be, OSError.
    """
    sound = host.isascii() and all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    name: Any = host.encode("ascii" if sound else "idna")
    return socket.create_connection((name, port), timeout)


class Connection(aiomqtt.Client):
    """See the module. Every argument is passed on to aiomqtt."""

    def __init__(self, hostname: str, port: int, *, connect_timeout: float, **settings: Any) -> None:
        self._words = _LastWords()
        logger = logging.Logger("mqtt", logging.ERROR)  # noqa: LOG001 - its own, so that no handler of the house sees it
        logger.addHandler(self._words)
        super().__init__(
            hostname,
            port,
            logger=logger,
            timeout=connect_timeout,
            max_inflight_messages=0,
            max_queued_incoming_messages=1,
            **settings,
        )
        self._client.connect_timeout = connect_timeout
        dial = partial(_dial, hostname, port, connect_timeout)
        self._client._create_socket_connection = dial  # type: ignore[method-assign]  # noqa: SLF001 - no other way in
        self.granted: dict[str, Any] = {}
        """What the broker granted in its CONNACK (MQTT 5), by property name."""
        self.acknowledged: Acknowledged = _ignore
        self.lost: Callable[[Fault], None] = lambda _fault: None
        """Called once, when a connection that stood is gone."""
        self._fault: Fault | None = None
        self._aborted = False

    @property
    def last_words(self) -> str:
        """The last error below MQTT, in words; empty: none."""
        return self._words.text

    def watch(self, acknowledged: Acknowledged, lost: Callable[[Fault], None]) -> None:
        """Name who is told of acknowledgements and of the end."""
        self.acknowledged, self.lost = acknowledged, lost
        self._disconnected.add_done_callback(self._ended)

    def send(self, topic: str, payload: bytes, *, retain: bool, properties: Properties | None = None) -> int:
        """Hand a message of QoS 1 to the connection and return its packet id. Raises LinkLost."""
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._fault or LinkLost("the connection to the broker is gone")
        return info.mid

    def abort(self) -> None:
        """Tear the connection down at once, whatever is still under way."""
        self._aborted = True
        self.acknowledged = _ignore  # bytes that arrive now may be half a TLS record
        sock = cast("socket.socket | None", self._client.socket())
        if sock is None:
            return
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        for _ in range(1000):  # what had already arrived is read first, then paho sees the end and cleans up
            if self._client.socket() is None or self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break

    def _on_socket_open(self, client: Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """As in aiomqtt, but read until nothing is left.

        When a reset arrives right behind data, uvloop calls a reader once and never again: who leaves the reset for the
        next call does not hear of it before the acknowledgements time out.
        """
        ready = select.poll()
        ready.register(sock.fileno(), select.POLLIN)

        def read() -> None:
            while client.socket() is sock:
                client.loop_read()
                if not (getattr(sock, "pending", int)() or ready.poll(0)):
                    return

        def begin() -> None:
            if sock.fileno() >= 0:
                self._loop.add_reader(sock.fileno(), self._guarded, read)
            self._misc_task = self._loop.create_task(self._misc_loop())

        self._loop.call_soon_threadsafe(begin)

    def _on_socket_register_write(self, client: Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """As in aiomqtt, but a socket that was closed before its turn came is let be.

        Its number is no longer its own by then: to watch it would fail, or watch somebody else's socket.
        """

        def begin() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), self._guarded, client.loop_write)

        self._loop.call_soon_threadsafe(begin)

    def _guarded(self, work: Callable[[], object]) -> None:
        """Read or write. paho raises what it likes; all of it ends the connection."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the lane opens a new connection
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_connect(
        self,
        client: Client,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if properties is not None:
            self.granted = properties.json()  # type: ignore[no-untyped-call]
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._connected.cancelled():
            return
        if not self._connected.done():  # refused below MQTT: aiomqtt would wait for its time-out
            if not self._aborted:
                self._connected.set_exception(aiomqtt.MqttError(self.last_words or "the broker closed the connection"))
            return
        if flags.is_disconnect_packet_from_server:
            self._fault = disconnect_fault(reason_code.value, str(reason_code))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: Client,  # noqa: ARG002 - paho's signature
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        self.acknowledged(mid, reason_code.value, str(reason_code))

    def _ended(self, ended: asyncio.Future[None]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if self._fault is None:
            words = self.last_words or (str(error) if error else "closed")
            self._fault = LinkLost(f"the connection to the broker is gone: {words}")
        self.lost(self._fault)
