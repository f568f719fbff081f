"""Poll groups: the tags of one device that share a scan rate. The only place where tags are grouped.

The collector schedules groups, the forecast adds them up, and a group's name is the group of its schema; so all three
must see the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gateway.config.base import TagConfig
from gateway.config.fields import format_duration
from gateway.config.root import Device
from gateway.sdk.sharing import KEPT, Same


@dataclass(frozen=True, slots=True)
class PollGroup:
    """What is read from one device in one go, every ``scan`` seconds; 0: back to back."""

    device: Device
    scan: float
    """Seconds between two polls."""
    tags: tuple[TagConfig, ...]
    """In the device's order; the device's own tuple when there is only one group."""

    @property
    def name(self) -> str:
        """The scan rate as people write it, such as ``500ms``; unique within the device."""
        return format_duration(self.scan)


def poll_groups(device: Device) -> list[PollGroup]:
    """Groups of a device, fastest first. A tag without a scan rate of its own has the device's."""
    return [PollGroup(device, scan, tags) for scan, tags in _by_scan(Same(device.tags), device.config.scan)]


@lru_cache(maxsize=KEPT)
def _by_scan(tags: Same[tuple[TagConfig, ...]], default: float) -> list[tuple[float, tuple[TagConfig, ...]]]:
    """Scan rates and their tags: the same tuples for all devices that share their tags."""
    found: dict[float, list[TagConfig]] = {}
    for tag in tags.value:
        found.setdefault(default if tag.scan is None else tag.scan, []).append(tag)
    if len(found) == 1:
        return [(next(iter(found)), tags.value)]
    return [(scan, tuple(found[scan])) for scan in sorted(found)]
