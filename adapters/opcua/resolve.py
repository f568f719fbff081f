"""What a server tells of itself at the start, and where in it the addresses of tags lead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from asyncua import ua

from adapters.opcua import services, status
from adapters.opcua.address import Address, Namespace, NodeAddress, PathAddress
from adapters.opcua.channel import Channel
from adapters.opcua.codec import node_id
from adapters.opcua.config import OpcUaConnection
from adapters.opcua.plan import PROFILES
from gateway.sdk import Quality

Found = bytes | Quality
"""Encoded node id, or why there is none."""

NAMESPACES: Final = 2255
UNLIMITED: Final = 1000
"""Nodes in one request to a server that says it has no limit: more takes long at both ends."""
HIGHEST: Final = 100
"""Nodes whose history is asked for at once: each has a page of values."""
OPERATION_LIMITS: Final[dict[str, int]] = {
    "read": 11705, "history": 12165, "write": 11707, "browse": 11710, "paths": 11712, "items": 11714,
}  # fmt: skip
"""Field of `Bounds` → variable of the server with its limit (Part 5, 6.3.11)."""


class Server:
    """Namespaces and limits of a server, and the node ids of addresses."""

    def __init__(self, connection: OpcUaConnection, channel: Channel) -> None:
        self.channel = channel
        self.bounds = PROFILES[connection.limits]
        self.namespaces: list[str] = []
        self._most = connection.max_nodes
        self._known: dict[Address, bytes] = {}

    async def meet(self) -> None:
        """Ask for namespaces and limits. Raises a Fault."""
        nodes = [NAMESPACES, *OPERATION_LIMITS.values()]
        found = []
        for first in range(0, len(nodes), self.bounds.read):
            found += await self.values([node_id(0, node) for node in nodes[first : first + self.bounds.read]])
        uris = found[0][1]
        self.namespaces = [str(uri) for uri in uris] if isinstance(uris, list) else []
        told: dict[str, Any] = {}
        for field, (_, value, code) in zip(OPERATION_LIMITS, found[1:], strict=True):
            if isinstance(value, int) and not status.is_bad(code):
                told[field] = min(value or UNLIMITED, HIGHEST if field == "history" else 10 * UNLIMITED)
        self.bounds = replace(self.bounds, **told)
        if self._most is not None:
            self.bounds = self.bounds.lowered(self._most)

    async def values(self, nodes: Sequence[bytes], attribute: int = services.VALUE) -> list[tuple[int, Any, int]]:
        """Read a few nodes: (built-in type, value, status) of each. Raises a Fault."""
        body = services.read_body([services.value_id(node, attribute=attribute) for node in nodes])
        reader = await self.channel.ask(services.READ, body)
        found: list[tuple[int, Any, int]] = [(0, None, 0)] * len(nodes)
        for column in services.parse_read(reader, len(nodes)):
            listed = column.values if isinstance(column.values, list) else column.values.tolist()
            codes = [0] * len(listed) if column.statuses is None else column.statuses.tolist()
            for place, value, code in zip(column.keys.tolist(), listed, codes, strict=True):
                found[place] = (column.kind, value, code)
        return found

    def index(self, namespace: Namespace) -> int | None:
        """Index of a namespace; None when the server does not have it."""
        if isinstance(namespace, int):
            return namespace
        return self.namespaces.index(namespace) if namespace in self.namespaces else None

    async def find(self, addresses: Iterable[Address]) -> dict[Address, Found]:
        """Node ids of addresses, in one go. Raises a Fault."""
        found: dict[Address, Found] = {}
        paths: list[PathAddress] = []
        for address in dict.fromkeys(addresses):
            if address in self._known:
                found[address] = self._known[address]
            elif isinstance(address, NodeAddress):
                index = self.index(address.namespace)
                missing = Quality.ADDRESS_REFUSED
                found[address] = missing if index is None else node_id(index, address.identifier)
            elif isinstance(address, PathAddress):
                if None in map(self.index, (namespace for namespace, _ in address.steps)):
                    found[address] = Quality.ADDRESS_REFUSED
                else:
                    paths.append(address)
        for first in range(0, len(paths), self.bounds.paths):
            found.update(await self._translate(paths[first : first + self.bounds.paths]))
        self._known.update({address: node for address, node in found.items() if isinstance(node, bytes)})
        return found

    async def _translate(self, paths: Sequence[PathAddress]) -> dict[Address, Found]:
        """Follow browse paths from the root folder (Part 4, 5.8.4)."""
        request = ua.TranslateBrowsePathsToNodeIdsRequest()
        request.Parameters.BrowsePaths = [self._path(path) for path in paths]
        answer = await self.channel.service(request, ua.TranslateBrowsePathsToNodeIdsResponse)
        found: dict[Address, Found] = {}
        for path, result in zip(paths, answer.Results, strict=False):
            if status.is_bad(result.StatusCode.value):
                found[path] = status.quality(result.StatusCode.value)
                continue
            targets = [one.TargetId for one in result.Targets if one.RemainingPathIndex == 0xFFFFFFFF]
            found[path] = encoded(targets[0]) if targets else Quality.ADDRESS_REFUSED
        return dict.fromkeys(paths, Quality.ADDRESS_REFUSED) | found

    def _path(self, path: PathAddress) -> ua.BrowsePath:
        made = ua.BrowsePath(StartingNode=made_id(84, 0))
        for namespace, name in path.steps:
            step: Any = ua.RelativePathElement()
            step.ReferenceTypeId = made_id(33, 0)  # hierarchical references
            step.IncludeSubtypes = True
            step.IsInverse = False
            step.TargetName = ua.QualifiedName(name, self.index(namespace) or 0)
            made.RelativePath.Elements.append(step)
        return made


def made_id(identifier: Any, namespace: Any = 0) -> Any:
    """Node id of asyncua's."""
    return ua.NodeId(identifier, namespace)


def encoded(node: Any) -> bytes:
    """Node id of asyncua's, encoded."""
    return node_id(node.NamespaceIndex, node.Identifier)
