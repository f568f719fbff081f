"""Planning: how the tags of one poll group become few requests, and which bytes of the answers are whose. Pure.

The image of a plan has the values' bytes cluster by cluster, whatever the size of a PDU: which bytes come in which
request is decided for the PDU that is expected, and again, by the same pure function, for the one that is granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from adapters.s7.codec import DATA, READ_ITEM, READ_OVERHEAD, Place, ask_read
from adapters.s7.config import S7Connection, S7Device, S7Tag
from adapters.s7.exchange import Chunk
from adapters.s7.packing import Cluster, Job, Piece, Room, Telegram, cost, pack_reads
from adapters.s7.values import Conversion, field, room
from gateway.sdk import DeviceConfig, Plan
from gateway.sdk.sharing import KEPT, Same
from gateway.wire.registers import RegisterTable

Step = tuple[Chunk, tuple[Job, ...]]
"""What goes out in one write, and the items in it."""


@dataclass(frozen=True, slots=True)
class S7Plan(Plan):
    """A plan, and what is needed to pack it anew for another PDU."""

    clusters: tuple[Cluster, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    max_gap: int = 0
    max_items: int = 20
    pdu: int = 0
    """The PDU size that ``requests`` are packed for."""


def make_plan(connection: S7Connection, device: S7Device, tags: Sequence[S7Tag]) -> S7Plan:
    """Merge tags into items, and items into requests of the size that this CPU will probably grant."""
    clusters, conversions, table = _laid_out(Same(tuple(tags)), _Alike(device))
    jobs = packed(Same(clusters), connection.expected_pdu, device.max_items, device.max_gap)
    return S7Plan(
        requests=tuple(map(Telegram.of, jobs)),
        table=table,
        wire_bytes=sum(map(_wire_bytes, jobs)),
        turnarounds=-(-len(jobs) // connection.pipeline),
        clusters=clusters,
        conversions=conversions,
        max_gap=device.max_gap,
        max_items=device.max_items,
        pdu=connection.expected_pdu,
    )


def _wire_bytes(job: Job) -> int:
    return 2 * DATA + sum(READ_OVERHEAD) + sum(READ_ITEM + cost(read.size) for read in job)


class _Alike:
    """Key: a device, equal to all whose tags are laid out in the same way."""

    __slots__ = ("_key", "device")

    def __init__(self, device: S7Device) -> None:
        self.device = device
        self._key = tuple(getattr(device, name) for name in S7Device.model_fields if name not in _EVERY_DEVICE)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and other._key == self._key


_EVERY_DEVICE = frozenset(DeviceConfig.model_fields)


@lru_cache(maxsize=KEPT)
def _laid_out(
    of_tags: Same[tuple[S7Tag, ...]], alike: _Alike
) -> tuple[tuple[Cluster, ...], tuple[Conversion, ...], RegisterTable]:
    """Clusters, conversions and the table: the same objects for all devices that are alike."""
    tags, device = of_tags.value, alike.device
    clusters = _clusters(tags, device.max_gap)
    size = sum(_extent(cluster.pieces) for cluster in clusters)
    begins = {
        tag: cluster.start + piece.address - cluster.address
        for cluster in clusters
        for piece in cluster.pieces
        for tag in piece.tags
    }
    conversions: list[Conversion] = []
    fields = []
    for position, tag in enumerate(tags):
        begin = begins[position]
        if (needed := room(tag)) and tag.kind is not None:
            conversions.append(Conversion(position, begin, tag.size, size, needed, tag.kind, tag.type))
            begin = size
            size += needed
        fields.append(field(device, tag, begin))
    return clusters, tuple(conversions), RegisterTable(size, fields)


def _clusters(tags: Sequence[S7Tag], max_gap: int) -> tuple[Cluster, ...]:
    found: dict[Place, dict[tuple[int, int], list[int]]] = {}
    for position, tag in enumerate(tags):
        found.setdefault(tag.address.place, {}).setdefault((tag.address.offset, tag.size), []).append(position)
    clusters: list[Cluster] = []
    start = 0
    for place in sorted(found):
        pieces = [Piece(*key, tuple(positions)) for key, positions in sorted(found[place].items())]
        group: list[Piece] = []
        end = 0
        for piece in [*pieces, None]:
            if group and (piece is None or piece.address - end > max_gap):
                clusters.append(Cluster(place, group[0].address, start, tuple(group)))
                start += _extent(group)
                group = []
            if piece is not None:
                end = max(end, piece.end) if group else piece.end
                group.append(piece)
    return tuple(clusters)


def _extent(pieces: Sequence[Piece]) -> int:
    return max(piece.end for piece in pieces) - pieces[0].address


@lru_cache(maxsize=KEPT)
def packed(clusters: Same[tuple[Cluster, ...]], pdu: int, max_items: int, max_gap: int) -> tuple[Job, ...]:
    """Requests that read all clusters, none and no answer to it larger than ``pdu`` bytes."""
    return pack_reads(clusters.value, Room.of(pdu, max_items), max_gap)


def make_steps(jobs: Sequence[Job], window: int) -> tuple[Step, ...]:
    """Group requests into writes, as many in each as may be under way together."""
    return tuple(
        (make_chunk(jobs[first : first + window]), tuple(jobs[first : first + window]))
        for first in range(0, len(jobs), window)
    )


def make_chunk(jobs: Sequence[Job]) -> Chunk:
    """Requests as bytes."""
    return Chunk(
        [
            ask_read([(read.place, read.address, read.size) for read in job], [read.start for read in job])
            for job in jobs
        ]
    )


def sizes(job: Job) -> tuple[int, int]:
    """Bytes of the PDUs of a request and of its answer."""
    answer = READ_OVERHEAD[1] + sum(cost(read.size) for read in job) - (job[-1].size & 1)
    return READ_OVERHEAD[0] + READ_ITEM * len(job), answer
