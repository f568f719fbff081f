"""Browsing: what a server has, depth first, page by page; loops in its directory are followed once (Part 4, 5.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from adapters.opcua import status
from adapters.opcua.address import Address, NodeAddress, PathAddress
from adapters.opcua.resolve import Server, encoded, made_id
from adapters.opcua.values import TAG_TYPES
from gateway.model.types import DataType
from gateway.sdk import Access, Node, Quality, TagFault

MOST: Final = 1_000_000
"""Nodes that are remembered, so that a loop is seen; a directory of more is not told to its end."""
OBJECTS: Final = NodeAddress(0, 85)
SERVER_OBJECT: Final = 2253
"""The server's diagnostics: some thousand nodes that nobody asks for; shown when the path leads there."""
_PAGE: Final = 500
_HIERARCHICAL: Final = 33
_OBJECT, _VARIABLE = 1, 2
_ATTRIBUTES: Final = (14, 17, 5, 15)
"""DataType, AccessLevel, Description, ValueRank (Part 6, annex A.1)."""
_CURRENT_READ, _CURRENT_WRITE = 1, 2


@dataclass(slots=True)
class Place:
    """A node that was found, and how it was come to."""

    id: Any
    """asyncua's NodeId."""
    path: str
    variable: bool


async def browse(server: Server, root: str, path: str) -> AsyncIterator[Node]:
    """All objects and variables below the root, or below ``path`` from there. Raises a Fault."""
    start = await _start(server, root, path)
    seen = {start.id}
    stack = [start]
    if start.variable:
        for node in await _described(server, [start]):
            yield node
    while stack:
        some = [stack.pop() for _ in range(min(len(stack), server.bounds.browse))]
        found = [place for places in await _children(server, some) for place in places]
        fresh = []
        for place in found:
            if place.id in seen or len(seen) >= MOST or (not root and not path and place.id == _server()):
                continue
            seen.add(place.id)
            fresh.append(place)
        for first in range(0, len(fresh), max(1, server.bounds.read // 4)):
            for node in await _described(server, fresh[first : first + max(1, server.bounds.read // 4)]):
                yield node
        stack.extend(reversed(fresh))


def _server() -> Any:
    return made_id(SERVER_OBJECT, 0)


async def _start(server: Server, root: str, path: str) -> Place:
    """The node to begin with. Raises TagFault when there is none."""
    base = Address.parse(root) if root else OBJECTS
    if path.startswith(("/", "ns=", "nsu=", "i=", "s=")):
        base, path = Address.parse(path), ""
    node = (await server.find([base]))[base]
    if isinstance(node, Quality):
        raise TagFault(f"{base}: the server has no such node", quality=node)
    place = Place(_decoded(node), str(base) if isinstance(base, PathAddress) else "", False)
    if not path:
        ((_, kind, _),) = await server.values([node], 2)
        return Place(place.id, place.path.strip("/"), kind == _VARIABLE)
    for name in path.split("/"):
        children = (await _children(server, [place]))[0]
        match = [child for child in children if child.path.rpartition("/")[2] == name]
        if not match:
            raise TagFault(f"{path}: nothing is called {name!r} there", quality=Quality.ADDRESS_REFUSED)
        place = match[0]
    return place


def _decoded(node: bytes) -> Any:
    from asyncua.common.utils import Buffer
    from asyncua.ua.ua_binary import nodeid_from_binary

    return nodeid_from_binary(Buffer(node))


async def _children(server: Server, places: Sequence[Place]) -> list[list[Place]]:
    """Objects and variables right below some nodes, all pages."""
    request = ua.BrowseRequest()
    request.Parameters.RequestedMaxReferencesPerNode = _PAGE
    for place in places:
        asked = ua.BrowseDescription()
        asked.NodeId = place.id
        asked.BrowseDirection = ua.BrowseDirection.Forward
        asked.ReferenceTypeId = made_id(_HIERARCHICAL, 0)
        asked.IncludeSubtypes = True
        asked.NodeClassMask = _OBJECT | _VARIABLE
        asked.ResultMask = 0x3F
        request.Parameters.NodesToBrowse.append(asked)
    answer = await server.channel.service(request, ua.BrowseResponse)
    found: list[list[Place]] = [[] for _ in places]
    pages = list(zip(range(len(places)), answer.Results, strict=False))
    while pages:
        points = []
        for at, result in pages:
            if status.is_bad(result.StatusCode.value):
                continue  # no right to look there
            found[at] += [_place(places[at], one) for one in result.References]
            if result.ContinuationPoint and sum(map(len, found)) < MOST:
                points.append((at, result.ContinuationPoint))
        pages = []
        if points:
            more = ua.BrowseNextRequest()
            more.Parameters.ReleaseContinuationPoints = False
            more.Parameters.ContinuationPoints = [point for _, point in points]
            following = await server.channel.service(more, ua.BrowseNextResponse)
            pages = list(zip([at for at, _ in points], following.Parameters.Results, strict=False))
    return found


def _place(parent: Place, reference: Any) -> Place:
    name = str(reference.BrowseName.Name).replace("/", "∕")
    node = made_id(reference.NodeId.Identifier, reference.NodeId.NamespaceIndex)
    path = f"{parent.path}/{name}" if parent.path else name
    return Place(node, path, int(reference.NodeClass) == _VARIABLE)


async def _described(server: Server, places: Sequence[Place]) -> list[Node]:
    """Nodes as people want them: types and access of variables are asked for in few requests."""
    variables = [place for place in places if place.variable]
    nodes = [encoded(place.id) for place in variables]
    more: dict[Any, Node] = {}
    if nodes:
        columns = [await server.values(nodes, attribute) for attribute in _ATTRIBUTES]
        for place, kind, access, description, rank in zip(variables, *columns, strict=True):
            more[place.id] = Node(
                place.path,
                _address(server, place.id),
                _type(kind[1]) if rank[1] in (None, -1, -2, -3) else DataType.STRING,
                _access(access[1]),
                description=str(description[1] or ""),
            )
    return [more.get(place.id) or Node(place.path) for place in places]


def _address(server: Server, node: Any) -> str:
    index = node.NamespaceIndex
    namespace = server.namespaces[index] if 0 < index < len(server.namespaces) else index
    return str(NodeAddress(namespace, node.Identifier))


def _type(kind: object) -> DataType | None:
    """Type for a tag of the node id of a data type, as text; that of the device's own making has none."""
    if not isinstance(kind, str) or not kind.startswith("i="):
        return DataType.INT32 if isinstance(kind, str) and kind.startswith("ns=") else None
    return TAG_TYPES.get(int(kind[2:]))


def _access(level: object) -> Access:
    bits = level if isinstance(level, int) else _CURRENT_READ
    if bits & _CURRENT_WRITE:
        return Access.READ_WRITE if bits & _CURRENT_READ else Access.WRITE
    return Access.READ
