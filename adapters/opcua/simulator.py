"""An OPC UA server for tests, demonstrations and benchmarks: asyncua's server, scriptable node by node.

    async with Simulator() as plant:
        machine = plant.device(config)
        machine.set(tag, 21.5)
        ...  # read it at opc.tcp://127.0.0.1:{plant.port}

Nodes come to be when they are set, at the addresses that the tags have. It can fall silent, hang up, forget sessions
and subscriptions, and let single nodes be bad or gone.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds

from adapters.opcua.address import Address, Namespace, NodeAddress, PathAddress
from adapters.opcua.config import OpcUaConnection, OpcUaDevice, OpcUaTag
from adapters.opcua.resolve import made_id
from adapters.opcua.trust import Pki
from adapters.opcua.values import BUILT_IN
from gateway.model.types import Value
from gateway.sdk.simulator import raw_value

T = TypeVar("T")
Moment = datetime | None

VALUE: Final[Any] = AttributeIds.Value
NODE_UNKNOWN: Final = 0x80340000
PUBLISH: Final = (826).to_bytes(2, "little")
ROOT: Final = made_id(84)
OBJECTS: Final = made_id(85)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Result of a coroutine that waits for nothing, as those of asyncua's address space do."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("the address space had to wait")


@dataclass(slots=True)
class Counters:
    """What the server saw: for tests that a client keeps the limits it declares."""

    sessions: int = 0
    """Connections now open."""
    sessions_most: int = 0
    in_flight: int = 0
    in_flight_most: int = 0
    """Most requests without an answer; publish requests, which are meant to wait, left out. Unsecured channels only."""
    pdu_most: int = 0
    """Largest chunk received, bytes."""
    requests: int = 0
    """Messages received."""


class _Users:
    """Lets in who has the right password, or anybody where there is none."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password

    def get_user(self, _server: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        """Role of a client; None: refused. It is that of an administrator, who may write."""
        del certificate
        if self.user and (username, password) != (self.user, self.password):
            return None
        return User(role=UserRole.Admin)


class _Line(OPCUAProtocol):
    """One connection, watched."""

    def __init__(self, sim: Simulator, **more: Any) -> None:
        super().__init__(**more)
        self.sim = sim
        self.waiting: set[bytes] = set()
        """Ids of requests without an answer."""

    def connection_made(self, transport: Any) -> None:
        counters = self.sim.counters
        counters.sessions += 1
        counters.sessions_most = max(counters.sessions_most, counters.sessions)
        super().connection_made(_Watched(transport, self))  # type: ignore[arg-type]

    def connection_lost(self, ex: BaseException | None) -> None:
        counters = self.sim.counters
        counters.sessions -= 1
        counters.in_flight -= len(self.waiting)
        super().connection_lost(ex)

    def data_received(self, data: bytes) -> None:
        if self.sim.silent:
            return
        counters = self.sim.counters
        for chunk in _chunks(data):
            counters.requests += 1
            counters.pdu_most = max(counters.pdu_most, int.from_bytes(chunk[4:8], "little"))
            if chunk[:3] == b"MSG" and chunk[26:28] != PUBLISH and chunk[24:26] == b"\1\0":
                self.waiting.add(chunk[20:24])
                counters.in_flight += 1
                counters.in_flight_most = max(counters.in_flight_most, counters.in_flight)
        super().data_received(data)

    def sent(self, data: bytes) -> None:
        """Note what goes out."""
        for chunk in _chunks(data):
            if chunk[:4] == b"MSGF" and chunk[20:24] in self.waiting:
                self.waiting.discard(chunk[20:24])
                self.sim.counters.in_flight -= 1


def _chunks(data: bytes) -> list[bytes]:
    """Whole chunks at the beginning of some bytes."""
    found, at = [], 0
    while len(data) - at >= 8:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if size < 8:
            break
        found.append(data[at : at + size])
        at += size
    return found


class _Watched:
    """A transport whose writes are seen, and are lost while the server is silent."""

    def __init__(self, transport: Any, line: _Line) -> None:
        self._transport, self._line = transport, line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, unless silent."""
        if not self._line.sim.silent:
            self._line.sent(data)
            self._transport.write(data)


class _Binary(BinaryServer):
    sim: Simulator

    def _make_protocol(self) -> OPCUAProtocol:
        return _Line(
            self.sim,
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )


class Device:
    """A machine behind the server: its tags are nodes."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.clock: Moment = None
        """Time at which what is set next was measured; None: now."""

    @property
    def silent(self) -> bool:
        """The whole server answers nothing and sends nothing."""
        return self._sim.silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._sim.silent = silent

    def set(self, tag: OpcUaTag, value: Value, *, time: Moment = None, status: int = 0) -> None:
        """Set an engineering value, the time at which it was measured, and a status. Raises ValueError."""
        if tag.index:
            raise ValueError(f"{tag.name}: this server has no arrays")
        self._sim.put(tag, raw_value(tag, value), time or self.clock, status)

    def refuse(self, tag: OpcUaTag) -> None:
        """Take the node of a tag away; setting it brings it back."""
        self._sim.remove(tag)


class Simulator:
    """See the module."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pki: Path | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.host = host
        self.port = port
        """TCP port; 0: chosen at start."""
        self.silent = False
        """Answers nothing, and sends nothing."""
        self.counters = Counters()
        self.server: Server | None = None
        self.user, self.password = user, password
        self._pki = pki
        self._pending: list[tuple[OpcUaTag, Value, Moment, int]] = []
        self._nodes: dict[Address, ua.NodeId] = {}
        self._highest = 0
        self._device = Device(self)

    @classmethod
    def of(cls, connection: OpcUaConnection) -> Self:
        """Make the server that a gateway with this connection connects to; with security, in the folder simulator."""
        host, port = connection.address
        password = connection.password.get_secret_value() if connection.password else ""
        pki = connection.pki / "simulator" if connection.secure else None
        return cls(host=host, port=port, pki=pki, user=connection.user, password=password)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"opc.tcp://{self.host}:{self.port}"

    def device(self, config: OpcUaDevice) -> Device:
        """Return the machine that a configuration addresses: all are parts of the one server."""
        del config
        return self._device

    async def __aenter__(self) -> Self:
        server = self.server = Server(user_manager=_Users(self.user, self.password))  # type: ignore[arg-type]
        server.set_server_name("Xingsha simulator")
        await server.init()
        await server.set_application_uri("urn:xingsha:simulator")
        server.set_endpoint(self.url)
        policies = [ua.SecurityPolicyType.NoSecurity]
        if self._pki is not None:
            certificate, _ = Pki(self._pki, "urn:xingsha:simulator").own()
            await server.load_certificate(certificate, "der")
            await server.load_private_key(self._pki / "own/key.pem")
            policies += [kind for kind in ua.SecurityPolicyType if kind.name.startswith(("Basic256Sha256", "Aes"))]
        server.set_security_policy(policies)
        for address in [pending[0].address for pending in self._pending]:
            self._number(address)
        for pending in self._pending:
            self.put(*pending)
        self._pending.clear()
        binary = _Binary(server.iserver, self.host, self.port, server.limits)
        binary.sim = self
        await server._setup_server_nodes()  # noqa: SLF001 - as its start does, with our own lines
        await server.iserver.start()
        binary.set_policies(server._policies)  # noqa: SLF001 - likewise
        server.bserver = binary
        try:
            await binary.start()
        except OSError:
            await server.iserver.stop()
            raise
        self.port = binary.port
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.server is not None:
            self.hang_up()
            await self.server.stop()

    def hang_up(self, *, forget: bool = True) -> None:
        """Close every connection; ``forget``: sessions and subscriptions as well, as a device that restarts."""
        server = self._running()
        if forget:
            service = server.iserver.subscription_service
            for subscription in service.subscriptions.values():
                if (task := subscription._task) is not None:  # noqa: SLF001 - its stop waits
                    task.cancel()
            service.subscriptions.clear()
            for session in list(server.iserver._external_sessions.values()):  # noqa: SLF001 - no other way to them
                with suppress(RuntimeError):
                    at_once(session.close_session(delete_subs=False))
        for transport in list(server.iserver.asyncio_transports):
            transport.abort()

    # nodes

    def put(self, tag: OpcUaTag, value: Value, time: Moment, status: int) -> None:
        """Give a node a raw value."""
        if self.server is None:
            self._pending.append((tag, value, time, status))
            return
        kind = ua.VariantType(BUILT_IN[tag.type])
        node = self._nodes.get(tag.address) or self._made(tag, kind)
        moment: Any = time or datetime.utcnow()  # noqa: DTZ003 - asyncua wants it without a zone
        found = ua.DataValue(
            Value=ua.Variant(value, kind),
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=moment,
            ServerTimestamp=moment,
        )
        result = at_once(self.server.iserver.aspace.write_attribute_value(node, VALUE, found))
        result.check()

    def remove(self, tag: OpcUaTag) -> None:
        """Delete a node."""
        node = self._nodes.pop(tag.address, None)
        if node is None:
            return
        space = self._running().iserver.aspace
        gone = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(NODE_UNKNOWN)))
        at_once(space.write_attribute_value(node, VALUE, gone))  # whoever watches it is told
        space[node].attributes[VALUE].datachange_callbacks.clear()  # asyncua forgets to await them when it deletes
        at_once(self._running().delete_nodes([self._running().get_node(node)]))

    def _running(self) -> Server:
        assert self.server is not None, "the simulator is not started"
        return self.server

    def _number(self, address: Address) -> None:
        """Have all the namespaces that addresses name by index, before those named by URI are added."""
        spaces: list[Namespace] = []
        if isinstance(address, NodeAddress):
            spaces = [address.namespace]
        elif isinstance(address, PathAddress):
            spaces = [space for space, _ in address.steps]
        for space in spaces:
            if isinstance(space, int):
                while self._highest < space:
                    self._highest += 1
                    if self._highest > 1:
                        at_once(self._running().register_namespace(f"urn:xingsha:simulator:{self._highest}"))

    def _index(self, space: Namespace) -> int:
        if isinstance(space, int):
            return space
        return at_once(self._running().register_namespace(space))

    def _made(self, tag: OpcUaTag, kind: ua.VariantType) -> ua.NodeId:
        address, server = tag.address, self._running()
        self._number(address)
        if isinstance(address, NodeAddress):
            parent, index = server.get_node(OBJECTS), self._index(address.namespace)
            identifier: Any = address.identifier
            name = f"{identifier}"
            node_id = made_id(identifier, index)
        else:
            assert isinstance(address, PathAddress)
            parent = server.get_node(ROOT)
            for space, step in address.steps[:-1]:
                parent = self._child(parent, self._index(space), step)
            space, name = address.steps[-1]
            index = self._index(space)
            node_id = made_id(f"{address}", index)
        initial: Any = {ua.VariantType.String: "", ua.VariantType.ByteString: b""}.get(kind, 0)
        node = at_once(parent.add_variable(node_id, ua.QualifiedName(name, ua.UInt16(index)), initial, kind))
        at_once(node.set_writable())
        self._nodes[address] = node.nodeid
        return node.nodeid

    def _child(self, parent: Any, index: int, name: str) -> Any:
        """Object below a node, made on first use."""
        for child in at_once(parent.get_children()):
            found = at_once(child.read_browse_name())
            if (found.NamespaceIndex, found.Name) == (index, name):
                return child
        return at_once(parent.add_object(made_id(f"{parent.nodeid.to_string()}/{name}", index), f"{index}:{name}"))
