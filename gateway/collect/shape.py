"""What the poll groups of like devices have in common: columns, rules, limits. Compiled once per profile.

A thousand devices of one profile then cost a thousand times their values, and not a thousand times their description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gateway.collect.ranges import Ranges
from gateway.collect.reading import Bytes, Span, spans
from gateway.collect.report import ReportPolicy
from gateway.config.base import Report, TagConfig
from gateway.model.schema import Column, Layout, Scale
from gateway.sdk.sharing import KEPT, Same
from gateway.wire.registers import RegisterTable


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Everything about a poll group that does not change and does not name its device."""

    layout: Layout
    columns: tuple[Column, ...]
    spans: list[Span]
    policy: ReportPolicy
    ranges: Ranges
    lists_from: int
    """Schema position of the first tag that is not packed; the number of tags when all are."""
    good: Bytes
    """Quality of a poll in which all is good; never written to."""


def shape_of(tags: Sequence[TagConfig], table: RegisterTable | None, report: Report) -> Shape:
    """Compile; the very same tags and table give the very same shape."""
    return _compiled(Same(tuple(tags)), Same(table), report)


@lru_cache(maxsize=KEPT)
def _compiled(of_tags: Same[tuple[TagConfig, ...]], of_table: Same[RegisterTable | None], report: Report) -> Shape:
    tags, table = of_tags.value, of_table.value
    layout = table.layout if table else Layout([tag.type for tag in tags])
    parts = spans(layout)
    scales = [Scale.of(tag.scale, tag.offset) for tag in tags]
    ordered, ordered_scales = [tags[tag] for tag in layout.order], [scales[tag] for tag in layout.order]
    good: Bytes = np.zeros(len(tags), np.uint8)
    good.flags.writeable = False
    return Shape(
        layout,
        layout.describe([tag.name for tag in tags], scales, [tag.unit for tag in tags]),
        parts,
        ReportPolicy(ordered, ordered_scales, parts, report),
        Ranges(ordered, ordered_scales, parts),
        next((span.first for span in parts if not span.type.packed), len(tags)),
        good,
    )
