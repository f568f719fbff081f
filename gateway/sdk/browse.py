"""Browsing: what a device says that it has. Page by page, bounded, and given up whenever nobody wants more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.config.base import Access, DeviceConfig
from gateway.model.types import DataType


@dataclass(frozen=True, slots=True)
class Node:
    """One thing that a device has."""

    path: str
    """Where it is, for people and for `Browses.browse`: ``Machine/Axes/X``."""
    address: str = ""
    """What a tag's ``address`` says to read it; empty: it has no value, only others below it."""
    type: DataType | None = None
    """Type of its value; None: none, or one that no tag can have."""
    access: Access = Access.READ
    unit: str = ""
    description: str = ""


@runtime_checkable
class Browses(Protocol):
    """Capability of an adapter: it can list what a device has."""

    def browse(self, device: DeviceConfig, path: str = "") -> AsyncIterator[Node]:
        """Connect, and tell all that is at or below ``path``, one by one, changing nothing. Raises a Fault.

        The caller may stop at any moment. A loop in the device's own directory is followed once.
        """
