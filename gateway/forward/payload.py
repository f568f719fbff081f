"""What a payload codec is: batch → bytes in the form that a platform expects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.model.batch import Batch
from gateway.model.frame import Frame
from gateway.model.schema import SchemaId, decode_schema
from gateway.model.view import FrameView, SchemaLayout, slice_frame

Schemas = Mapping[SchemaId, bytes]
"""Encoded schemas by id: those that a batch names."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A frame that cannot be sent, and why: it is set aside while the rest of its batch goes on."""

    frame: Frame
    points: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The messages that one batch becomes, in order."""

    parts: list[bytes]
    poison: list[Poison] = field(default_factory=list)


class Payload(Protocol):
    """A payload codec. The same batch under the same limit always gives the same messages."""

    content_type: str

    def direct(self, batch: Batch, limit: int) -> bytes | None:
        """Return the one message that this batch is, where that takes no work; None: `encode` it."""

    def encode(self, batch: Batch, limit: int, schemas: Schemas) -> Encoded:
        """Messages of at most ``limit`` bytes each. Raises ValueError when the batch itself is damaged.

        May be long; touches nothing but its arguments and its own cache, so that it can run beside the event loop.
        """

    def schema(self, encoded: bytes) -> bytes:
        """Form in which a schema is published."""


class Layouts:
    """Checked schemas by id; the most recently used stay."""

    LIMIT: Final = 4096

    def __init__(self) -> None:
        self._known: OrderedDict[SchemaId, SchemaLayout] = OrderedDict()

    def find(self, identity: SchemaId, schemas: Schemas) -> SchemaLayout:
        """Return the layout of a schema. Raises ValueError when it is not among ``schemas`` or not sound."""
        layout = self._known.get(identity)
        if layout is not None:
            self._known.move_to_end(identity)
            return layout
        if identity not in schemas:
            raise ValueError(f"schema {identity.hex()} is not known")
        layout = self._known[identity] = SchemaLayout(decode_schema(schemas[identity]))
        while len(self._known) > self.LIMIT:
            self._known.popitem(last=False)
        return layout

    def points(self, frame: Frame, schemas: Schemas) -> int:
        """Return how many values a frame holds; 0 when that cannot be told."""
        try:
            return FrameView(self.find(frame.schema, schemas), frame).points
        except ValueError:
            return 0


def cut(layouts: Layouts, schemas: Schemas, frame: Frame, poison: list[Poison]) -> list[Frame]:
    """Two halves of a frame that is too large; none, and an entry in ``poison``, when it cannot be cut."""
    try:
        layout = layouts.find(frame.schema, schemas)
        size = FrameView(layout, frame).size
    except ValueError as error:
        poison.append(Poison(frame, 0, "frame_unreadable", str(error)))
        return []
    if size < 2:
        poison.append(Poison(frame, size, "value_too_large", "a single value is larger than the platform accepts"))
        return []
    half = size // 2
    return [slice_frame(layout, frame, first, last) for first, last in ((0, half), (half, size))]
