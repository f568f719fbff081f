"""The MQTT sink and its session: QoS 1, acknowledged by PUBACK, within what the broker grants."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.model.faults import ConfigFault, Fault, LinkLost
from gateway.sdk.sink import Message, Rejected, SinkSession
from gateway.sinks.mqtt.codes import connect_fault, publish_error, transport_fault
from gateway.sinks.mqtt.config import MAX_PACKET, MqttSinkConfig
from gateway.sinks.mqtt.connection import Connection
from gateway.sinks.mqtt.tls import BrokerContext, tls_context

_VERSION: Final = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
_NO_DELAY: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""Without it the kernel holds a second message back until the broker has answered the first."""
_FAREWELL: Final = 2.0
"""Seconds that leaving in order may take."""


class MqttSink:
    """One broker, one client id."""

    def __init__(self, config: MqttSinkConfig, client: str, folder: Path = Path()) -> None:
        self._config = config
        self._client = config.client_id or client
        self._folder = folder
        self._where = f"{config.host}:{config.effective_port}"
        self.in_flight = config.in_flight
        self.topics = config.topics.topics()

    @asynccontextmanager
    async def open(
        self, *, will: Message | None = None, birth: Message | None = None, farewell: Message | None = None
    ) -> AsyncIterator[SinkSession]:
        """See `gateway.sdk.sink.Sink.open`."""
        tls = self._config.tls
        context = await asyncio.to_thread(tls_context, tls, self._folder) if tls is not None else None
        connection = self._connection(will, context)
        try:
            await self._connect(connection)
            session = MqttSession(connection, self._config, self._where)
            try:
                await session.greet(birth)
                yield session
            except asyncio.CancelledError:
                await session.leave(farewell)
                raise
            await session.leave(farewell)
        finally:
            connection.abort()
            if context is not None:
                context.close()

    def _connection(self, will: Message | None, context: BrokerContext | None) -> Connection:
        config = self._config
        return Connection(
            config.host,
            config.effective_port,
            connect_timeout=config.connect_timeout,
            identifier=self._client,
            username=config.username if config.username or config.password is None else "",
            password=config.password.get_secret_value() if config.password else None,
            protocol=_VERSION[config.protocol],
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retain) if will is not None else None,
            keepalive=round(config.keepalive),
            tls_context=context,
            socket_options=_NO_DELAY,
            tls_insecure=True if config.tls is not None and not config.tls.verify else None,
        )

    async def _connect(self, connection: Connection) -> None:
        """Connect. A connect that is cancelled is waited for, because its thread cannot be stopped."""
        connecting = asyncio.ensure_future(connection.__aenter__())
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await asyncio.gather(connecting, return_exceptions=True)
            raise
        except aiomqtt.MqttCodeError as error:
            if isinstance(error.rc, ReasonCode):
                raise connect_fault(error.rc.value, str(error.rc)) from error
            raise LinkLost(f"{self._where}: {error}") from error
        except aiomqtt.MqttError as error:
            cause = error.__context__ if isinstance(error.__context__, OSError) else error
            raise transport_fault(cause, self._where) from error
        except ValueError as error:
            raise ConfigFault(f"{self._where}: {error}", code="config_invalid") from error


class MqttSession:
    """See `gateway.sdk.sink.SinkSession`. Messages leave in the order in which they are given."""

    def __init__(self, connection: Connection, config: MqttSinkConfig, where: str) -> None:
        granted = connection.granted
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._where = where
        self._v5 = config.protocol == "5"
        self._max_packet = min(config.max_packet or MAX_PACKET, granted.get("MaximumPacketSize", MAX_PACKET))
        self._most = min(config.in_flight, granted.get("ReceiveMaximum", 65_535))
        self._most_bytes = config.in_flight_bytes
        self._ack_timeout = config.ack_timeout
        self._waiting: deque[tuple[Message, asyncio.Future[None]]] = deque()
        self._pending: dict[int, tuple[Message, asyncio.Future[None]]] = {}
        self._bytes = 0
        self._fault: Fault | None = None
        self._progress = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._properties: dict[str, Properties] = {}
        self._end: asyncio.Future[Fault] = self._loop.create_future()
        topics = config.topics.topics()
        longest = max(len(topic.encode()) for topic in (topics.data, topics.schema, topics.status))
        self.max_payload = self._max_packet - _packet_size(longest + 512, "", 0)
        connection.watch(self._acknowledged, self._lost)

    async def send(self, message: Message) -> None:
        """Return on PUBACK."""
        if self._fault is not None:
            raise self._fault
        size = _packet_size(len(message.topic.encode()), message.content_type, len(message.payload))
        if size > self._max_packet:
            text = f"{self._where}: a packet of {size} bytes, the broker takes {self._max_packet}"
            raise Rejected(text, code="packet_too_large")
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((message, done))
        self._pump()
        await done

    async def watch(self) -> NoReturn:
        """Raise the fault that ends the session, when it does."""
        raise await asyncio.shield(self._end)

    async def greet(self, birth: Message | None) -> None:
        """Say that we are here. A platform that refuses even this needs somebody to look at it: ConfigFault."""
        if birth is None:
            return
        try:
            await self.send(birth)
        except Rejected as error:
            raise ConfigFault(str(error), code=error.code) from error

    async def leave(self, farewell: Message | None) -> None:
        """Say farewell and disconnect in order, in at most two seconds; a link that is lost is let go."""
        try:
            async with asyncio.timeout(_FAREWELL):
                if farewell is not None:
                    await self.send(farewell)
                self._connection.timeout = _FAREWELL
                await self._connection.__aexit__(None, None, None)
        except (Fault, Rejected, TimeoutError, aiomqtt.MqttError):
            return

    def _pump(self) -> None:
        """Hand over what there is room for."""
        while self._waiting and self._has_room(len(self._waiting[0][0].payload)):
            message, done = self._waiting.popleft()
            if done.done():
                continue
            try:
                mid = self._connection.send(
                    message.topic, message.payload, retain=message.retain, properties=self._content(message)
                )
            except Fault as fault:
                done.set_exception(fault)
                continue
            if not self._pending:
                self._progress = self._loop.time()
            self._pending[mid] = message, done
            self._bytes += len(message.payload)
        if self._pending and self._watchdog is None:
            self._watchdog = self._loop.call_at(self._progress + self._ack_timeout, self._watch)

    def _has_room(self, size: int) -> bool:
        return not self._pending or (len(self._pending) < self._most and self._bytes + size <= self._most_bytes)

    def _content(self, message: Message) -> Properties | None:
        if not self._v5 or not message.content_type:
            return None
        if message.content_type not in self._properties:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = message.content_type
            self._properties[message.content_type] = properties
        return self._properties[message.content_type]

    def _acknowledged(self, mid: int, code: int, name: str) -> None:
        if mid not in self._pending:
            return
        message, done = self._pending.pop(mid)
        self._bytes -= len(message.payload)
        self._progress = self._loop.time()
        if not done.done():
            if code < 0x80:
                done.set_result(None)
            else:
                done.set_exception(publish_error(code, name, message.topic))
        self._pump()

    def _lost(self, fault: Fault) -> None:
        if self._fault is None:
            self._fault = fault
            self._end.set_result(fault)
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        for _, done in (*self._pending.values(), *self._waiting):
            if not done.done():
                done.set_exception(self._fault)
        self._pending.clear()
        self._waiting.clear()
        self._bytes = 0

    def _watch(self) -> None:
        """The broker may be gone without a sign: with messages pending, acknowledgements must come."""
        self._watchdog = None
        if not self._pending:
            return
        due = self._progress + self._ack_timeout
        if self._loop.time() < due:
            self._watchdog = self._loop.call_at(due, self._watch)
            return
        text = f"{self._where}: nothing was acknowledged for {self._ack_timeout:g} s"
        self._lost(LinkLost(text, code="no_acknowledgement"))


def _packet_size(topic: int, content_type: str, payload: int) -> int:
    """Bytes of a PUBLISH (MQTT 5 clause 3.3): fixed header, topic, packet id, properties, payload."""
    properties = 1 + (3 + len(content_type.encode()) if content_type else 0)
    return 5 + 2 + topic + 2 + properties + payload
